"""Times, claims and roles: whom a verified token lets in."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.auth.globs import glob_matches
from chancery.auth.jose.tokens import TokenRefused
from chancery.auth.jwt.claims import copied, demand_bound, find_claim, groups
from chancery.auth.jwt.roles import Role, WriteRole, changed, vouch
from chancery.auth.jwt.times import Leeways, demand_valid_at
from chancery.kit.errors import BadInput

NOW = 1_800_000_000.0
NONE = Leeways(clock_skew=-1, expiration=-1, not_before=-1)


@pytest.mark.parametrize(
    ("claims", "leeways"),
    [
        ({"exp": NOW + 1, "iat": NOW}, NONE),
        ({"exp": NOW - 59}, Leeways()),
        ({"exp": NOW - 9}, Leeways(clock_skew=10)),
        ({"iat": NOW - 100}, Leeways()),
        ({"iat": NOW - 209}, Leeways()),
        ({"nbf": NOW, "iat": NOW}, Leeways(clock_skew=-1)),
        ({"nbf": NOW + 59, "exp": NOW + 100}, Leeways()),
        ({"exp": NOW + 10, "iat": NOW, "auth_time": NOW - 100}, Leeways(max_age=100)),
        ({"exp": NOW + 149}, Leeways(clock_skew=-1)),
    ],
)
def test_valid_at_the_moment(claims: dict[str, Any], leeways: Leeways) -> None:
    demand_valid_at(claims, leeways, NOW)


@pytest.mark.parametrize(
    ("claims", "leeways"),
    [
        ({}, Leeways()),
        ({"sub": "x"}, Leeways()),
        ({"exp": NOW, "iat": NOW - 1}, NONE),
        ({"exp": NOW + 1}, NONE),
        ({"exp": NOW - 60}, Leeways()),
        ({"exp": 0}, Leeways()),
        ({"exp": -1}, Leeways()),
        ({"exp": "9999999999"}, Leeways()),
        ({"exp": True}, Leeways()),
        ({"exp": [NOW + 1]}, Leeways()),
        ({"exp": NOW + 10, "nbf": "0"}, Leeways()),
        ({"iat": NOW - 210}, Leeways()),
        ({"iat": NOW - 1}, NONE),
        ({"iat": NOW + 61, "exp": NOW + 100}, Leeways()),
        ({"nbf": NOW + 61, "exp": NOW + 100}, Leeways()),
        ({"exp": NOW + 211}, Leeways()),
        ({"exp": NOW + 10, "iat": NOW}, Leeways(max_age=100)),
        ({"exp": NOW + 10, "iat": NOW, "auth_time": NOW - 161}, Leeways(max_age=100)),
        ({"exp": NOW + 10, "iat": NOW, "auth_time": "now"}, Leeways(max_age=100)),
    ],
)
def test_not_valid_at_the_moment(claims: dict[str, Any], leeways: Leeways) -> None:
    with pytest.raises(TokenRefused):
        demand_valid_at(claims, leeways, NOW)


CLAIMS: Mapping[str, Any] = {
    "team": "blue",
    "level": 3,
    "admin": True,
    "groups": ["ops", "dev"],
    "a/b": "slash",
    "deep": {"list": [{"name": "first"}], "": "empty", "~x": "tilde"},
    "ratio": 1.5,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("team", "blue"),
        ("a/b", "slash"),
        ("/team", "blue"),
        ("/a~1b", "slash"),
        ("/deep/list/0/name", "first"),
        ("/deep/~0x", "tilde"),
        ("/deep/", "empty"),
        ("/deep/list/1", None),
        ("/deep/list/-1", None),
        ("/deep/list/00000000000000000000", {"name": "first"}),
        ("/team/0", None),
        ("missing", None),
        ("/missing/deeper", None),
    ],
)
def test_claims_are_found_by_name_and_by_pointer(name: str, value: Any) -> None:
    assert find_claim(CLAIMS, name) == value


@pytest.mark.parametrize(
    ("bound", "as_globs"),
    [
        ({}, False),
        ({"team": "blue"}, False),
        ({"team": ["red", "blue"]}, False),
        ({"groups": "dev"}, False),
        ({"groups": ["sales", "ops"]}, False),
        ({"level": 3}, False),
        ({"level": 3.0}, False),
        ({"admin": True}, False),
        ({"/deep/list/0/name": "first"}, False),
        ({"team": "b*e"}, True),
        ({"team": ["r*", "*"]}, True),
        ({"team": "blue", "groups": "o*"}, True),
    ],
)
def test_bound_claims_that_agree(bound: dict[str, Any], as_globs: bool) -> None:
    demand_bound(CLAIMS, bound, as_globs=as_globs)


@pytest.mark.parametrize(
    ("bound", "as_globs"),
    [
        ({"team": "red"}, False),
        ({"team": "Blue"}, False),
        ({"team": "b*e"}, False),
        ({"team": []}, False),
        ({"groups": ["ops,dev"]}, False),
        ({"admin": 1}, False),
        ({"admin": "true"}, False),
        ({"level": "3"}, False),
        ({"level": True}, False),
        ({"missing": "x"}, False),
        ({"missing": None}, False),
        ({"deep": {"list": []}}, False),
        ({"team": "blue", "missing": "x"}, False),
        ({"team": "r*"}, True),
        ({"team": "b?ue"}, True),
        ({"team": "[b]lue"}, True),
        ({"level": "*"}, True),
    ],
)
def test_bound_claims_that_do_not(bound: dict[str, Any], as_globs: bool) -> None:
    with pytest.raises(TokenRefused):
        demand_bound(CLAIMS, bound, as_globs=as_globs)


def test_claims_become_metadata() -> None:
    mappings = {"team": "team", "level": "lvl", "admin": "is_admin", "/deep/list/0/name": "who", "missing": "m"}
    assert copied(CLAIMS, mappings) == {"team": "blue", "lvl": "3", "is_admin": "true", "who": "first"}
    with pytest.raises(TokenRefused):
        copied(CLAIMS, {"groups": "g"})


def test_groups_are_a_list_of_text() -> None:
    assert groups(CLAIMS, "groups") == ("ops", "dev")
    assert groups(CLAIMS, "team") == ("blue",)
    for name in ("missing", "level", "deep"):
        with pytest.raises(TokenRefused):
            groups(CLAIMS, name)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_globs_mean_any_text(pattern: str, text: str) -> None:
    def slow(wanted: str, given: str) -> bool:
        if not wanted:
            return not given
        if wanted[0] == "*":
            return slow(wanted[1:], given) or (bool(given) and slow(wanted, given[1:]))
        return bool(given) and wanted[0] == given[0] and slow(wanted[1:], given[1:])

    assert glob_matches(pattern, text) == slow(pattern, text)


def _role(**fields: Any) -> Role:
    return changed(None, WriteRole.parse({"name": "r", "role_type": "jwt", "user_claim": "sub"} | fields))


GOOD = {"sub": "jane", "aud": ["chancery", "other"], "exp": NOW + 10, "iat": NOW}


def test_a_login_carries_what_the_role_says() -> None:
    role = _role(
        bound_audiences="chancery", policies="a,b", ttl="1h", claim_mappings={"sub": "who"}, alias_metadata={"x": "y"}
    )
    login = vouch("r", role, GOOD, NOW)
    assert (login.alias, login.display_name, login.policies, login.ttl) == ("jane", "jane", ("a", "b"), 3600)
    assert login.metadata == {"role": "r", "who": "jane"}
    assert login.alias_metadata == {"x": "y", "role": "r", "who": "jane"}


def test_a_pointer_may_name_the_user() -> None:
    role = _role(bound_audiences="chancery", user_claim="/u/0/name", user_claim_json_pointer=True)
    assert vouch("r", role, GOOD | {"u": [{"name": "deep"}]}, NOW).alias == "deep"
    literal = _role(bound_audiences="chancery", user_claim="/u/0/name")
    assert vouch("r", literal, GOOD | {"/u/0/name": "flat"}, NOW).alias == "flat"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": []},
        {"aud": None},
        {"aud": [["chancery"]]},
        {"aud": {"chancery": 1}},
        {"sub": ""},
        {"sub": 7},
        {"sub": None},
        {"exp": NOW - 100},
        {"team": "red"},
        {"grp": "x"},
    ],
)
def test_any_wrong_claim_keeps_out(claims: dict[str, Any]) -> None:
    role = _role(bound_audiences="chancery", bound_claims={"team": "blue"}, groups_claim="groups")
    good = GOOD | {"team": "blue", "groups": ["g"]}
    vouch("r", role, good, NOW)
    wrong = {name: value for name, value in (good | claims).items() if value is not None}
    if "grp" in claims:
        del wrong["groups"]
    with pytest.raises(TokenRefused):
        vouch("r", role, wrong, NOW)


def test_a_token_for_some_audience_needs_a_role_for_it() -> None:
    role = _role(bound_subject="jane")
    with pytest.raises(TokenRefused):
        vouch("r", role, GOOD, NOW)
    assert vouch("r", role, {name: value for name, value in GOOD.items() if name != "aud"}, NOW).alias == "jane"
    with pytest.raises(TokenRefused):
        vouch("r", _role(bound_subject="joan", bound_audiences="chancery"), GOOD, NOW)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "at least one bound constraint"),
        ({"user_claim": "", "bound_subject": "x"}, "user claim"),
        ({"role_type": "oidc", "bound_subject": "x"}, "browser flow"),
        ({"role_type": "", "bound_subject": "x"}, "browser flow"),
        ({"bound_claims_type": "regex", "bound_subject": "x"}, "string or glob"),
        ({"bound_claims": {"a": {"b": 1}}}, "bound_claims"),
        ({"bound_claims": {"a": []}}, "bound_claims"),
        ({"bound_claims": {"a": 1}, "bound_claims_type": "glob"}, "glob"),
        ({"bound_claims": "{"}, "bound_claims"),
        ({"claim_mappings": {"a": "role"}, "bound_subject": "x"}, "reserved"),
        ({"claim_mappings": {"a": "m", "b": "m"}, "bound_subject": "x"}, "multiple keys"),
        ({"user_claim_json_pointer": True, "bound_subject": "x"}, "JSON pointer"),
        ({"max_age": -1, "bound_subject": "x"}, "max_age"),
        ({"verbose_oidc_logging": True, "bound_subject": "x"}, "never logged"),
        ({"token_ttl": 20, "token_max_ttl": 10, "bound_subject": "x"}, "token_ttl"),
        ({"ttl": -5, "bound_subject": "x"}, "negative"),
    ],
)
def test_roles_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        _role(**fields)


def test_a_write_changes_only_what_it_says() -> None:
    role = _role(bound_subject="jane", token_ttl=60, policies="old")
    changed_role = changed(role, WriteRole.parse({"name": "r", "bound_audiences": "a", "token_policies": "new"}))
    assert changed_role.bound_subject == "jane"
    assert changed_role.bound_audiences == ("a",)
    assert changed_role.token_ttl == 60
    assert changed_role.token_policies == ("new",)
    assert changed_role.shows_old == ()
    assert role.shows_old == ("policies",)
    with pytest.raises(BadInput, match="bound constraint"):
        changed(role, WriteRole.parse({"name": "r", "bound_subject": ""}))
