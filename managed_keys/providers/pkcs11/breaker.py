"""When to try again what failed: the rule for restarts and for tokens that are away. Pure."""

import math
from dataclasses import dataclass

FIRST_DELAY = 0.25
LONGEST_DELAY = 30.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row, and the moment (monotonic seconds) before which nothing is tried.

    The delay doubles up to half a minute. One success closes the breaker.
    """

    failures: int = 0
    until: float = 0.0

    def failed(self, now: float, *, first_is_free: bool = False) -> "Breaker":
        """Return the breaker after one more failure.

        `first_is_free`: a process that worked and then died is replaced at once, unless that happens again.
        """
        if first_is_free and not self.failures:
            return Breaker(1, now)
        return Breaker(min(self.failures + 1, 20), now + min(FIRST_DELAY * 2**self.failures, LONGEST_DELAY))

    def is_open(self, now: float) -> bool:
        """Tell whether it is too early to try."""
        return now < self.until

    def retry_after(self, now: float) -> int:
        """Return whole seconds until the next try, at least 1: what Retry-After says."""
        return max(1, math.ceil(self.until - now))


CLOSED = Breaker()
