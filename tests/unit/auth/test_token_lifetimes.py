"""The arithmetic of lifetimes, and where tokens may be used from."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.auth.lifetimes import Limits, Wish, format_seconds, grant
from chancery.auth.sealed import fresh
from chancery.auth.tokens import NewToken, permitted_from
from chancery.kit.errors import BadInput
from chancery.kit.networks import format_cidr, parse_cidr

HOUR = 3600
LIMITS = Limits(default_ttl=10 * HOUR, max_ttl=100 * HOUR)


@pytest.mark.parametrize(
    ("wish", "age", "ttl", "warned"),
    [
        (Wish(), 0, 10 * HOUR, False),
        (Wish(ttl=5), 0, 5, False),
        (Wish(ttl=101 * HOUR), 0, 100 * HOUR, True),
        (Wish(ttl=50 * HOUR), 60 * HOUR, 40 * HOUR, True),
        (Wish(ttl=3 * HOUR, explicit_max_ttl=2 * HOUR), 0, 2 * HOUR, True),
        (Wish(ttl=3 * HOUR, explicit_max_ttl=200 * HOUR), 0, 3 * HOUR, False),
        (Wish(explicit_max_ttl=HOUR), 0, HOUR, True),
        (Wish(period=HOUR), 0, HOUR, False),
        (Wish(period=HOUR), 5000 * HOUR, HOUR, False),
        (Wish(period=HOUR, ttl=5), 0, HOUR, False),
        (Wish(period=101 * HOUR), 0, 100 * HOUR, True),
        (Wish(period=HOUR, explicit_max_ttl=HOUR // 2), 0, HOUR // 2, True),
        (Wish(period=HOUR, explicit_max_ttl=3 * HOUR), 3 * HOUR - 60, 60, True),
    ],
)
def test_grants(wish: Wish, age: int, ttl: int, warned: bool) -> None:
    lifetime = grant(wish, LIMITS, created_at=1000, now=1000 + age)
    assert lifetime.ttl == ttl
    assert bool(lifetime.warnings) is warned


@pytest.mark.parametrize(("wish", "age"), [(Wish(), 100 * HOUR), (Wish(period=5, explicit_max_ttl=HOUR), HOUR)])
def test_past_the_maximum_nothing_is_granted(wish: Wish, age: int) -> None:
    with pytest.raises(BadInput, match="past the max TTL"):
        grant(wish, LIMITS, created_at=0, now=age)


@given(
    st.builds(Wish, *[st.integers(0, 300 * HOUR)] * 3),
    st.integers(0, 99 * HOUR),
)
def test_no_grant_is_longer_than_what_limits_it(wish: Wish, age: int) -> None:
    try:
        ttl = grant(wish, LIMITS, created_at=0, now=age).ttl
    except BadInput:
        assert wish.explicit_max_ttl
        assert age >= wish.explicit_max_ttl
        return
    assert 0 < ttl <= LIMITS.max_ttl
    if wish.explicit_max_ttl:
        assert age + ttl <= wish.explicit_max_ttl
    if not wish.period:
        assert age + ttl <= LIMITS.max_ttl


def test_warnings_say_durations_as_vault_does() -> None:
    (warning,) = grant(Wish(ttl=9000 * HOUR), LIMITS, created_at=0, now=0).warnings
    assert warning == ('TTL of "9000h" exceeded the effective max_ttl of "100h"; TTL value is capped accordingly')
    assert [format_seconds(value) for value in (0, 59, 60, 5400, 3661)] == ["0s", "59s", "1m", "1h30m", "1h1m1s"]


@pytest.mark.parametrize(
    ("cidrs", "address", "permitted"),
    [
        ((), "", True),
        ((), "10.0.0.1", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.1",), "10.0.0.1", True),
        (("10.0.0.1",), "10.0.0.2", False),
        (("10.0.0.0/8", "fd00::/8"), "fd00::1", True),
        (("fd00::/8",), "10.0.0.1", False),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "unix", False),
    ],
)
def test_where_tokens_may_be_used_from(cidrs: tuple[str, ...], address: str, permitted: bool) -> None:
    entry = fresh(NewToken(policies=(), path=""), b"", "", 0)
    assert permitted_from(replace(entry, bound_cidrs=cidrs), address) is permitted


@pytest.mark.parametrize(
    ("text", "shown"),
    [("10.0.0.1", "10.0.0.1"), ("10.0.0.1/32", "10.0.0.1"), ("10.1.2.3/8", "10.0.0.0/8"), (" ::1 ", "::1")],
)
def test_networks_are_shown_as_vault_does(text: str, shown: str) -> None:
    assert format_cidr(parse_cidr(text)) == shown


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a network"):
        parse_cidr("zz")
