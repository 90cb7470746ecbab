"""What a lease is, and the arithmetic of its life. Pure; moments in whole seconds since 1970, durations in seconds."""

from dataclasses import dataclass

from chancery.auth.lifetimes import Lifetime, Limits, Wish, grant
from chancery.auth.tokens import TokenEntry, TokenType
from chancery.kit.errors import BadInput
from chancery.kit.request import Lease
from chancery.kit.storage import Stored

MAX_ATTEMPTS = 6
"""A lease that could not be taken back as often as this is irrevocable: it waits for an operator."""

_FIRST_PAUSE = 10
_LONGEST_PAUSE = 3600


class Terms(Stored):
    """The sealed part of a lease."""

    path: str
    """Of the request that the secret answered, below the namespace."""
    mount_accessor: str
    revocation: dict[str, str]
    """What the engine wants to know to take the secret back."""
    ttl: int
    """Granted last, by issue or renewal."""
    max_ttl: int
    """From issue, renewals included."""
    renewable: bool
    last_renewal: int = 0


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease on record."""

    namespace: str
    id: str
    mount: str
    """The mount's uuid."""
    issued_at: int
    expires_at: int
    due_at: int | None
    """When to take the secret back, or to try again; None when it was tried too often in vain."""
    attempts: int
    error: str
    """Why the last attempt failed."""
    terms: Terms

    def is_over(self, now: int) -> bool:
        """Tell whether the secret is to be taken back already."""
        return self.due_at is None or self.due_at <= now or self.attempts > 0


def granted_ttl(lease: Lease, default_ttl: int, max_ttl: int, entry: TokenEntry | None, now: int) -> tuple[int, int]:
    """Return the TTL and the maximum TTL of a new lease within the limits of its mount.

    A batch token leaves nothing behind: it has no row that could take its leases along, so they end with it.
    """
    longest = min(lease.max_ttl, max_ttl) if lease.max_ttl else max_ttl
    if entry is not None and entry.type is TokenType.BATCH and entry.expires_at is not None:
        longest = min(longest, max(1, int(entry.expires_at.timestamp()) - now))
    return min(lease.ttl or default_ttl, longest), longest


def renewal(record: LeaseRecord, increment: int, now: int) -> Lifetime:
    """Return what a renewal grants from now on. Raises BadInput when the lease cannot be renewed."""
    terms = record.terms
    if increment < 0:
        raise BadInput.of("increment", "must be positive")
    if not terms.renewable:
        raise BadInput("lease is not renewable")
    if record.is_over(now):
        raise BadInput("lease expired")
    wish = Wish(increment or terms.ttl, explicit_max_ttl=terms.max_ttl)
    return grant(wish, Limits(terms.ttl, terms.max_ttl), created_at=record.issued_at, now=now)


def next_attempt(attempts: int, now: int) -> int | None:
    """Return when to try again after so many failures: later each time, None when it was enough."""
    if attempts >= MAX_ATTEMPTS:
        return None
    return now + min(_LONGEST_PAUSE, _FIRST_PAUSE << 2 * (attempts - 1))
