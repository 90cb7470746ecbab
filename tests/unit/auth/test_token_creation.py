"""The rules for new tokens and for roles, without storage: what is granted, what is refused and in which words."""

from typing import Any

import pytest

from chancery.auth.creation import CreateToken, Creator, Plan, plan
from chancery.auth.lifetimes import Limits
from chancery.auth.roles import TokenRole, WriteRole, merged
from chancery.auth.sealed import fresh
from chancery.auth.tokens import NewToken
from chancery.kit.engine import ROOT_NAMESPACE
from chancery.kit.errors import BadInput

HOUR = 3600
MAX = 768 * HOUR
LIMITS = Limits(default_ttl=MAX, max_ttl=MAX)
NOW = 1_795_334_400


def _role(**fields: Any) -> TokenRole:
    return merged(TokenRole(), WriteRole.parse({"role_name": "r", **fields}), LIMITS)[0]


def _plan(
    fields: dict[str, Any],
    *,
    parent: tuple[str, ...] = ("adm", "default"),
    sudo: bool = False,
    role: TokenRole | None = None,
    **of_parent: Any,
) -> Plan:
    entry = fresh(NewToken(policies=parent, path="auth/token/create", ttl=HOUR, **of_parent), b"p" * 32, "a", NOW)
    creator = Creator(parent=entry, has_sudo=sudo, path="auth/token/create", now=NOW, namespace_id=ROOT_NAMESPACE)
    return plan(CreateToken.parse(fields), creator, "r" if role is not None else "", role, LIMITS)


def _refusal(fields: dict[str, Any], **circumstances: Any) -> str:
    with pytest.raises(BadInput) as caught:
        _plan(fields, **circumstances)
    return caught.value.message


@pytest.mark.parametrize(
    ("fields", "policies"),
    [
        ({}, ("adm", "default")),
        ({"policies": []}, ("adm", "default")),
        ({"policies": ["adm"]}, ("adm", "default")),
        ({"policies": "adm,default"}, ("adm", "default")),
        ({"policies": ["ADM", " adm "]}, ("adm", "default")),
        ({"policies": ["default"]}, ("default",)),
        ({"no_default_policy": True}, ("adm",)),
        ({"no_default_policy": "true", "policies": ["default"]}, ()),
    ],
)
def test_policies_of_children(fields: dict[str, Any], policies: tuple[str, ...]) -> None:
    assert _plan(fields).new.policies == policies


def test_default_is_not_given_to_children_of_parents_without_it() -> None:
    assert _plan({"policies": ["adm"]}, parent=("adm",)).new.policies == ("adm",)
    assert _plan({"policies": ["adm"]}, parent=("adm",), sudo=True).new.policies == ("adm", "default")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"policies": ["other"]}, "child policies must be subset of parent"),
        ({"policies": ["root"]}, "child policies must be subset of parent"),
        ({"no_parent": True}, "root or sudo privileges required to create orphan token"),
        ({"id": "abcd"}, "root or sudo privileges required to specify token id"),
        ({"period": "1h"}, "root or sudo privileges required to create periodic token"),
        ({"type": "batch", "num_uses": 3}, 'batch tokens cannot have "num_uses" set'),
        ({"type": "batch", "period": "1h"}, 'batch tokens cannot have "period" set'),
        ({"type": "batch", "explicit_max_ttl": "1h"}, 'batch tokens cannot have "explicit_max_ttl" set'),
        ({"type": "zzz"}, "type: invalid 'token_type' value; use service or batch"),
        ({"type": "default-service"}, "type: invalid 'token_type' value; use service or batch"),
        ({"entity_alias": "x"}, "'entity_alias' is only allowed in combination with token role"),
        ({"ttl": "-1h"}, "ttl must be positive"),
        ({"explicit_max_ttl": "-1h"}, "explicit_max_ttl must be positive"),
        ({"num_uses": -1}, "number of uses cannot be negative"),
    ],
)
def test_refusals_without_sudo(fields: dict[str, Any], message: str) -> None:
    assert _refusal(fields) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"policies": ["root"]}, "root tokens may not be created without parent token being root"),
        ({"policies": ["response-wrapping"]}, 'cannot assign policy "response-wrapping"'),
        ({"id": "s.abc"}, "custom token ID cannot have the 's.' prefix"),
        ({"id": "hvs.abc"}, "custom token ID cannot have the 'hvs.' prefix"),
        ({"id": "a.b"}, "custom token ID cannot have a '.' in the value"),
        ({"id": "a b"}, "custom token ID must be at most 512 printable ASCII characters without spaces"),
        ({"id": "é"}, "custom token ID must be at most 512 printable ASCII characters without spaces"),
        ({"id": "x", "type": "batch"}, 'batch tokens cannot have "id" set'),
    ],
)
def test_refusals_with_sudo(fields: dict[str, Any], message: str) -> None:
    assert _refusal(fields, sudo=True) == message


@pytest.mark.parametrize(
    ("fields", "ttl", "warnings"),
    [
        ({}, MAX, 0),
        ({"ttl": "1000h"}, MAX, 1),
        ({"ttl": "0"}, MAX, 0),
        ({"ttl": ""}, MAX, 0),
        ({"lease": "2h"}, 2 * HOUR, 0),
        ({"ttl": "1h", "lease": "2h"}, HOUR, 0),
        ({"explicit_max_ttl": "2h", "ttl": "3h"}, 2 * HOUR, 1),
        ({"explicit_max_ttl": "10000h"}, MAX, 0),
        ({"type": "batch"}, MAX, 0),
    ],
)
def test_lifetimes(fields: dict[str, Any], ttl: int, warnings: int) -> None:
    planned = _plan(fields)
    assert planned.new.ttl == ttl
    assert len(planned.warnings) == warnings


@pytest.mark.parametrize(
    ("asked", "name"),
    [("", "token"), ("Foo b$r_x-", "token-Foo-b-r-x"), ("a/b", "token-a-b"), ("é", "token-")],
)
def test_display_names(asked: str, name: str) -> None:
    assert _plan({"display_name": asked}).new.display_name == name


def test_children_inherit_networks_and_orphans_do_not() -> None:
    near = ("127.0.0.1",)
    assert _plan({}, bound_cidrs=near).new.bound_cidrs == near
    assert _plan({"no_parent": True}, sudo=True, bound_cidrs=near).new.bound_cidrs == ()
    assert _plan({}, bound_cidrs=near, role=_role()).new.bound_cidrs == ()


@pytest.mark.parametrize(
    ("role", "fields", "policies"),
    [
        ({}, {}, ("adm", "default")),
        ({"allowed_policies": ["p1"]}, {}, ("default", "p1")),
        ({"allowed_policies": ["p1"]}, {"no_default_policy": True}, ("p1",)),
        ({"allowed_policies": ["p1"]}, {"policies": ["default"]}, ("default",)),
        ({"allowed_policies": ["p1"], "token_no_default_policy": True}, {"policies": ["p1"]}, ("p1",)),
        ({"allowed_policies_glob": ["p*"]}, {"policies": ["p1"]}, ("default", "p1")),
        ({"allowed_policies_glob": ["p*"]}, {}, ("default",)),
        ({"disallowed_policies": ["p1"]}, {"policies": ["p2", "p3"]}, ("default", "p2", "p3")),
        ({"disallowed_policies": ["p1"]}, {}, ("adm", "default")),
        ({"disallowed_policies": ["default"]}, {"policies": ["p1"]}, ("p1",)),
    ],
)
def test_policies_by_a_role(role: dict[str, Any], fields: dict[str, Any], policies: tuple[str, ...]) -> None:
    assert _plan(fields, role=_role(**role)).new.policies == policies


@pytest.mark.parametrize(
    ("role", "fields", "message"),
    [
        ({}, {"policies": ["other"]}, "child policies must be subset of parent"),
        (
            {"allowed_policies_glob": ["p*"]},
            {"policies": ["p1", "q"]},
            'token policies (["default" "p1" "q"]) must be subset of the role\'s allowed policies (["default"]) '
            'or glob policies (["p*"])',
        ),
        (
            {"allowed_policies_glob": ["p[1]"]},
            {"policies": ["p1"]},
            'token policies (["default" "p1"]) must be subset of the role\'s allowed policies (["default"]) '
            'or glob policies (["p[1]"])',
        ),
        ({"disallowed_policies": ["p1"]}, {"policies": ["p1"]}, 'token policy "p1" is disallowed by this role'),
        ({"disallowed_policies_glob": ["p*"]}, {"policies": ["p1"]}, 'token policy "p1" is disallowed by this role'),
        ({"disallowed_policies": ["default"]}, {}, 'token policy "default" is disallowed by this role'),
        ({"allowed_policies": ["root"]}, {}, "root tokens may not be created without parent token being root"),
        (
            {"allowed_entity_aliases": ("y",)},
            {"entity_alias": "x"},
            "invalid 'entity_alias' value: the role's allowed_entity_aliases do not contain it",
        ),
        ({}, {"id": "x"}, "root or sudo privileges required to specify token id"),
    ],
)
def test_refusals_by_a_role(role: dict[str, Any], fields: dict[str, Any], message: str) -> None:
    assert _refusal(fields, role=_role(**role)) == message


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"path_suffix": "a/../b"}, "given role path suffix contains invalid characters"),
        ({"token_type": "x"}, "invalid 'token_type' value"),
        ({"token_type": ""}, "invalid 'token_type' value"),
        ({"token_bound_cidrs": ["zz"]}, "neither an IP address nor a network"),
        ({"token_type": "batch"}, "cannot be 'batch' when role is set to generate non-orphan tokens"),
        ({"token_type": "batch", "orphan": True}, "generate renewable tokens"),
        ({"token_type": "batch", "token_period": "1h"}, "generate periodic tokens"),
        ({"token_type": "default-batch", "token_period": "1h"}, "cannot be 'batch' or 'default_batch'"),
        ({"period": "-1h"}, "cannot provide negative value"),
        ({"token_num_uses": -1}, "'token_num_uses' cannot be negative"),
    ],
)
def test_refused_roles(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        _role(**fields)
    assert reason in caught.value.message


def test_every_problem_of_a_role_is_named() -> None:
    with pytest.raises(BadInput) as caught:
        _role(path_suffix="a b", token_bound_cidrs=["x", "y"], token_type="z", token_num_uses=-1)
    fields = [problem.field for problem in caught.value.problems]
    assert sorted(fields) == ["path_suffix", "token_bound_cidrs", "token_bound_cidrs", "token_num_uses", "token_type"]
