"""The arithmetic of leases."""

import pytest

from chancery.auth.sealed import fresh
from chancery.auth.tokens import NewToken, TokenEntry, TokenType
from chancery.kit.errors import BadInput
from chancery.kit.request import Lease
from chancery.leases.model import MAX_ATTEMPTS, LeaseRecord, Terms, granted_ttl, next_attempt, renewal

NOW = 1_800_000_000


def record(*, ttl: int = 600, max_ttl: int = 3600, renewable: bool = True, **changes: int | None) -> LeaseRecord:
    terms = Terms(path="p", mount_accessor="a", revocation={}, ttl=ttl, max_ttl=max_ttl, renewable=renewable)
    due_at = changes.get("due_at", NOW + ttl)
    return LeaseRecord("root", "p/1", "m", NOW, NOW + ttl, due_at, changes.get("attempts") or 0, "", terms)


def batch_token(ttl: int) -> TokenEntry:
    return fresh(NewToken(policies=(), path="p", ttl=ttl, type=TokenType.BATCH), b"", "", NOW)


@pytest.mark.parametrize(
    ("ttl", "max_ttl", "granted"),
    [
        (60, 0, (60, 7200)),
        (0, 0, (600, 7200)),
        (9999, 0, (7200, 7200)),
        (600, 300, (300, 300)),
        (60, 99_999, (60, 7200)),
    ],
)
def test_a_lease_keeps_within_its_mount(ttl: int, max_ttl: int, granted: tuple[int, int]) -> None:
    assert granted_ttl(Lease(ttl, {}, max_ttl=max_ttl), 600, 7200, None, NOW) == granted


def test_a_lease_of_a_batch_token_ends_with_it() -> None:
    assert granted_ttl(Lease(600, {}), 600, 7200, batch_token(100), NOW) == (100, 100)
    assert granted_ttl(Lease(60, {}), 600, 7200, batch_token(100), NOW) == (60, 100)
    assert granted_ttl(Lease(60, {}), 600, 7200, batch_token(100), NOW + 200) == (1, 1)


@pytest.mark.parametrize(
    ("increment", "later", "granted"), [(0, 100, 600), (60, 100, 60), (9999, 100, 3500), (600, 3300, 300)]
)
def test_renewing_counts_from_now_and_ends_at_the_maximum(increment: int, later: int, granted: int) -> None:
    lease = record(due_at=NOW + 99_999)
    assert renewal(lease, increment, NOW + later).ttl == granted


@pytest.mark.parametrize(
    ("lease", "increment", "later", "reason"),
    [
        (record(renewable=False), 0, 1, "not renewable"),
        (record(), -1, 1, "must be positive"),
        (record(), 0, 600, "lease expired"),
        (record(attempts=1, due_at=NOW + 99), 0, 1, "lease expired"),
        (record(due_at=None), 0, 1, "lease expired"),
        (record(due_at=NOW + 99_999), 0, 3600, "past the max TTL"),
    ],
)
def test_what_cannot_be_renewed(lease: LeaseRecord, increment: int, later: int, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        renewal(lease, increment, NOW + later)


def test_attempts_come_later_and_later_and_end() -> None:
    pauses = [next_attempt(attempts, 0) for attempts in range(1, MAX_ATTEMPTS + 1)]
    assert pauses == [10, 40, 160, 640, 2560, None]
