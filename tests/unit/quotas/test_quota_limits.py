"""Which limit concerns a request, and how budgets are spent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.quotas import buckets
from chancery.quotas.buckets import Buckets, client_of
from chancery.quotas.model import ALWAYS_EXEMPT, Exemptions, Limits, RateLimit, Subject


def limit(
    namespace: str = "", mount: str = "", below: str = "", role: str = "", *, inheritable: bool = False
) -> RateLimit:
    return RateLimit(
        path=namespace + mount + below, namespace=namespace, mount=mount, rate=1, role=role, inheritable=inheritable
    )


LIMITS = Limits(
    {
        "global": limit(inheritable=True),
        "team": limit("team/"),
        "org": limit("org/", inheritable=True),
        "pki": limit(mount="pki/"),
        "issue": limit(mount="pki/", below="issue/*"),
        "issue-w": limit(mount="pki/", below="issue/w*"),
        "issue-web": limit(mount="pki/", below="issue/web"),
        "jwt": limit(mount="auth/jwt/"),
        "jwt-ci": limit(mount="auth/jwt/", role="ci"),
        "team-pki": limit("team/", "pki/"),
    }
)


@pytest.mark.parametrize(
    ("namespace", "path", "mount", "fields", "name"),
    [
        ("", "pki/issue/web", "pki/", {}, "issue-web"),
        ("", "pki/issue/www", "pki/", {}, "issue-w"),
        ("", "pki/issue/api", "pki/", {}, "issue"),
        ("", "pki/issue", "pki/", {}, "pki"),
        ("", "pki/issuers", "pki/", {}, "pki"),
        ("", "secret/issue/web", "secret/", {}, "global"),
        ("", "no/such/mount", "", {}, "global"),
        ("", "auth/jwt/login", "auth/jwt/", {"role": "ci"}, "jwt-ci"),
        ("", "auth/jwt/login", "auth/jwt/", {"role": "cd"}, "jwt"),
        ("", "auth/jwt/login", "auth/jwt/", {"role": ["ci"]}, "jwt"),
        ("team/", "pki/issue/web", "pki/", {}, "team-pki"),
        ("team/", "sys/mounts", "sys/", {}, "team"),
        ("team/dev/", "sys/mounts", "sys/", {}, "global"),
        ("org/", "sys/mounts", "sys/", {}, "org"),
        ("org/dev/", "sys/mounts", "sys/", {}, "org"),
        ("org/dev/x/", "pki/issue/web", "pki/", {}, "org"),
    ],
)
def test_the_most_specific_limit_alone_concerns_a_request(
    namespace: str, path: str, mount: str, fields: dict[str, object], name: str
) -> None:
    kind = mount.split("/")[-2] if mount else ""
    assert LIMITS.of(Subject(namespace, path, mount, kind, fields)) == name


def test_without_a_fitting_limit_there_is_none() -> None:
    assert Limits({"team": limit("team/")}).of(Subject("", "sys/mounts", "sys/", "system", {})) is None


@pytest.mark.parametrize(
    ("path", "exempt", "verdict"),
    [
        ("sys/health", ALWAYS_EXEMPT, True),
        ("sys/healthy", ALWAYS_EXEMPT, False),
        ("sys/generate-root/attempt", ALWAYS_EXEMPT, True),
        ("sys/mounts", ALWAYS_EXEMPT, False),
        ("pki/crl/pem", ("pki/crl",), True),
        ("pki/crls", ("pki/crl",), False),
        ("pki/crls", ("pki/crl*",), True),
    ],
)
def test_exempt_paths(path: str, exempt: tuple[str, ...], verdict: bool) -> None:
    assert Exemptions(exempt).include(path) is verdict


def test_a_budget_is_spent_and_fills_evenly() -> None:
    budget = Buckets(rate=2, interval=4, block_interval=0)
    assert [budget.take("a", 0.0) for _ in range(4)] == [0, 0, 2, 2]
    assert budget.take("b", 0.0) == 0
    assert budget.take("a", 1.9) == 1
    assert budget.take("a", 2.0) == 0
    assert budget.take("a", 2.0) == 2


def test_rates_below_one_admit_one_at_a_time() -> None:
    budget = Buckets(rate=0.5, interval=1, block_interval=0)
    assert [budget.take("a", moment) for moment in (0.0, 1.0, 2.0)] == [0, 1, 0]


def test_whoever_exceeds_is_blocked_for_as_long_as_configured() -> None:
    budget = Buckets(rate=1, interval=1, block_interval=10)
    assert [budget.take("a", moment) for moment in (0.0, 0.5, 1.0, 10.0, 10.5)] == [0, 10, 10, 1, 0]
    assert budget.take("b", 0.5) == 0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing_away() -> None:
    budget = Buckets(rate=1, interval=1, block_interval=0)
    assert [budget.take("a", moment) for moment in (5.0, 4.0, 5.0)] == [0, 1, 1]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.integers(1, 5))
def test_no_client_gets_more_than_its_rate(pauses: list[float], rate: int) -> None:
    budget, now, admitted = Buckets(rate=rate, interval=1, block_interval=0), 0.0, 0
    for pause in pauses:
        now += pause
        admitted += budget.take("a", now) == 0
    assert admitted <= rate + rate * now + 1e-6


def test_crowds_are_forgotten_those_in_debt_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "_MOST_CLIENTS", 10)
    budget = Buckets(rate=1, interval=100, block_interval=1000)
    budget.take("greedy", 0.0)
    assert budget.take("greedy", 0.0) == 1000
    for number in range(50):
        budget.take(str(number), float(number))
    assert len(budget._budgets) <= 10
    assert budget.take("greedy", 900.0) == 100


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_who_counts_as_one_client(address: str, client: str) -> None:
    assert client_of(address) == client
