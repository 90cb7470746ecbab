"""Time as an argument: rules take a moment, services take a `Clock`."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where services read the time. Tests put their own here."""

    def now(self) -> datetime:
        """Return the wall-clock time, timezone-aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for deadlines and intervals."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the monotonic clock in seconds."""
        return time.monotonic()


def rfc3339(moment: datetime) -> str:
    """Render a moment as Vault does: RFC 3339 in UTC with `Z`, fractional seconds only when there are any."""
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{utc:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def moment_of(seconds: int) -> datetime:
    """Return the moment that many whole seconds after 1970 began, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
