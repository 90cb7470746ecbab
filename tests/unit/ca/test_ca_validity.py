"""From when until when: requests, roles, mounts and issuers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.durations import in_words
from ca.errors import RequestRefused
from ca.validity import Asked, LeafNotAfter, Limits, ValidityRules, decide

NOW = datetime(2030, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SECOND = NOW.replace(microsecond=0)
HOUR, DAY = 3600, 86400
LIMITS = Limits(default_ttl=32 * DAY, max_ttl=64 * DAY)


def until(asked: Asked = Asked(), rules: ValidityRules = ValidityRules(), limits: Limits = LIMITS) -> timedelta:  # noqa: B008  # frozen
    return decide(asked, rules, limits, NOW).not_after - SECOND


@pytest.mark.parametrize(
    ("asked", "rules", "days"),
    [
        (Asked(), ValidityRules(), 32),
        (Asked(), ValidityRules(ttl=DAY), 1),
        (Asked(ttl=2 * DAY), ValidityRules(ttl=DAY), 2),
        (Asked(ttl=100 * DAY), ValidityRules(), 64),
        (Asked(ttl=100 * DAY), ValidityRules(max_ttl=10 * DAY), 10),
        (Asked(), ValidityRules(max_ttl=10 * DAY), 10),
        (Asked(ttl=70 * DAY), ValidityRules(max_ttl=80 * DAY), 70),
        (Asked(not_after="2030-06-11T12:00:00Z"), ValidityRules(max_ttl=DAY), 10),
        (Asked(not_after="2030-06-11T14:00:00+02:00"), ValidityRules(), 10),
        (Asked(), ValidityRules(not_after="2030-06-11T12:00:00Z", ttl=DAY), 10),
    ],
)
def test_the_end_of_validity(asked: Asked, rules: ValidityRules, days: int) -> None:
    assert until(asked, rules) == timedelta(days=days)


def test_a_shortened_life_is_told() -> None:
    validity = decide(Asked(ttl=2 * HOUR), ValidityRules(max_ttl=HOUR), LIMITS, NOW)
    assert validity.warnings == ('TTL "2h0m0s" is longer than permitted maxTTL "1h0m0s", so maxTTL is being used',)


def test_the_start_is_dated_back_and_whole() -> None:
    assert decide(Asked(), ValidityRules(backdate=30), LIMITS, NOW).not_before == SECOND - timedelta(seconds=30)


ISSUER_ENDS = SECOND + timedelta(days=10)


@pytest.mark.parametrize(
    ("behavior", "days"), [(LeafNotAfter.TRUNCATE, 10), (LeafNotAfter.PERMIT, 20), (LeafNotAfter.ERR, None)]
)
def test_a_certificate_that_would_outlive_its_issuer(behavior: LeafNotAfter, days: int | None) -> None:
    limits = Limits(32 * DAY, 64 * DAY, ISSUER_ENDS, behavior)
    if days is None:
        with pytest.raises(RequestRefused, match="beyond the expiration of the CA certificate at 2030-06-11T12:00:00Z"):
            until(Asked(ttl=20 * DAY), limits=limits)
    else:
        assert until(Asked(ttl=20 * DAY), limits=limits) == timedelta(days=days)


@pytest.mark.parametrize(
    ("asked", "rules", "words"),
    [
        (Asked(ttl=-1), ValidityRules(), "ttl cannot be negative"),
        (Asked(ttl=1, not_after="2031-01-01T00:00:00Z"), ValidityRules(), "Either ttl or not_after"),
        (Asked(ttl=1), ValidityRules(not_after="2031-01-01T00:00:00Z"), "Either ttl or not_after"),
        (Asked(not_after="2020-01-01T00:00:00Z"), ValidityRules(), "is later than the certificate's Not After"),
        (Asked(not_after="tomorrow"), ValidityRules(), "not_after must be a time such as"),
        (Asked(not_after="2031-01-01T00:00:00"), ValidityRules(), "not_after must be a time such as"),
        (Asked(not_before="2030-01-01T00:00:00Z"), ValidityRules(not_before_bound="forbid"), "cannot be provided"),
        (Asked(not_before="2030-06-01T10:00:00Z"), ValidityRules(not_before_bound="duration", backdate=HOUR), "1h0m0s"),
        (Asked(not_after="2030-06-02T00:00:00Z"), ValidityRules(not_after_bound="forbid"), "cannot be provided"),
        (Asked(not_after="2030-09-01T00:00:00Z"), ValidityRules(not_after_bound="ttl-limited"), "TTL of 1536h0m0s"),
        (
            Asked(not_after="2030-09-01T00:00:00Z"),
            ValidityRules(not_after_bound="2030-08-01T00:00:00Z"),
            "beyond the max",
        ),
    ],
)
def test_refusals_say_why(asked: Asked, rules: ValidityRules, words: str) -> None:
    with pytest.raises(RequestRefused, match=words):
        until(asked, rules)


def test_a_far_future_is_the_end_of_time() -> None:
    forever = Limits(default_ttl=DAY, max_ttl=10_000_000_000)
    assert (
        decide(Asked(ttl=9_999_999_999_999), ValidityRules(max_ttl=9_999_999_999_999), forever, NOW).not_after.year
        == 9999
    )
    assert decide(Asked(not_after="9999-12-31T23:59:59Z"), ValidityRules(), LIMITS, NOW).not_after.year == 9999


@given(st.integers(0, 200 * DAY), st.integers(0, 200 * DAY), st.integers(0, 200 * DAY), st.integers(1, 300 * DAY))
def test_no_request_gets_more_than_the_least_limit(ttl: int, role_ttl: int, role_max: int, issuer_life: int) -> None:
    limits = Limits(32 * DAY, 64 * DAY, SECOND + timedelta(seconds=issuer_life), LeafNotAfter.TRUNCATE)
    life = until(Asked(ttl=ttl), ValidityRules(ttl=role_ttl, max_ttl=role_max), limits)
    assert life <= timedelta(seconds=min(role_max or 64 * DAY, issuer_life))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (2764800, "768h0m0s"), (-90, "-1m30s")],
)
def test_durations_in_go_s_words(seconds: int, words: str) -> None:
    assert in_words(seconds) == words
