"""Which rule speaks for a path, and what it permits: Vault's documented order, merging and limits."""

import pytest

from chancery.kit.request import Operation
from chancery.policy.acl import ACL, Decision
from chancery.policy.defaults import ROOT_POLICY
from chancery.policy.model import Capability
from chancery.policy.parse import parse_policy

READ, LIST, UPDATE, CREATE = Operation.READ, Operation.LIST, Operation.UPDATE, Operation.CREATE
ALLOWED, NO_RULE, NOT_GRANTED = Decision.ALLOWED, Decision.NO_RULE, Decision.NOT_GRANTED


def _acl(*texts: str) -> ACL:
    return ACL.compile(parse_policy(f"p{index}", text) for index, text in enumerate(texts))


def _rules(**rules: str) -> ACL:
    return _patterns(rules)


def _patterns(rules: dict[str, str]) -> ACL:
    return _acl("\n".join(f'path "{path}" {{ capabilities = ["{name}"] }}' for path, name in rules.items()))


@pytest.mark.parametrize(
    ("patterns", "path", "winner"),
    [
        (["secret/foo", "secret/*"], "secret/foo", "secret/foo"),
        (["secret/foo", "secret/*"], "secret/foobar", "secret/*"),
        (["secret/*", "secret/super-*"], "secret/super-x", "secret/super-*"),
        (["secret/*", "secret/super-*"], "secret/x", "secret/*"),
        (["secret/*"], "secret/", "secret/*"),
        (["secret/*"], "secret", None),
        (["secret/foo*"], "secret/foobar/baz", "secret/foo*"),
        (["*", "a*"], "b", "*"),
        (["a*", "ab*", "b*"], "aa", "a*"),
        (["a/+/c"], "a/b/c", "a/+/c"),
        (["a/+/c"], "a/b/d/c", None),
        (["a/+/c"], "a//c", "a/+/c"),
        (["a/+/"], "a/b/", "a/+/"),
        (["+"], "a", "+"),
        (["+"], "a/b", None),
        (["+/b*"], "a/bc/d", "+/b*"),
        (["a/+/c*"], "a/x/cd/e", "a/+/c*"),
        (["secret/*", "secret/+/team"], "secret/a/team", "secret/+/team"),
        (["secret/+/team", "secret/a/+"], "secret/a/team", "secret/a/+"),
        (["secret/+/+", "secret/+/team"], "secret/a/team", "secret/+/team"),
        (["secret/+/+/x", "secret/+/+/+"], "secret/a/b/x", "secret/+/+/x"),
        (["secret/+/te*", "secret/+/team"], "secret/a/team", "secret/+/team"),
        (["secret/+/te*", "secret/+/t*"], "secret/a/team", "secret/+/te*"),
        (["secret/a*", "secret/+/team"], "secret/a/team", "secret/a*"),
        (["+/+", "a*"], "a/b", "a*"),
        (["*", "+/b"], "a/b", "+/b"),
        (["a/b*", "a/+bar/c"], "a/+bar/c", "a/+bar/c"),
        (["a*b"], "axb", None),
        (["a*b"], "a*b", "a*b"),
        ([""], "", ""),
    ],
)
def test_the_most_specific_rule_speaks_alone(patterns: list[str], path: str, winner: str | None) -> None:
    capabilities = [Capability.READ, Capability.UPDATE, Capability.DELETE]
    by_pattern = dict(zip(patterns, capabilities, strict=False))
    for ordered in (patterns, patterns[::-1]):
        acl = _patterns({pattern: by_pattern[pattern] for pattern in ordered})
        expected = {by_pattern[winner]} if winner is not None else {Capability.DENY}
        assert acl.capabilities(path) == expected


@pytest.mark.parametrize(
    ("rules", "path", "decision"),
    [
        ({"x": "list"}, "x/", ALLOWED),
        ({"x/": "list"}, "x/", ALLOWED),
        ({"x/": "list"}, "x", NO_RULE),
        ({"x/*": "list"}, "x/", ALLOWED),
        ({"x*": "list"}, "x/", ALLOWED),
        ({"a/+": "list"}, "a/b/", ALLOWED),
        ({"a/+/": "list"}, "a/b/", ALLOWED),
        ({"a/+": "list", "a/b/*": "deny"}, "a/b/", NOT_GRANTED),
        ({"a/+": "list", "a/*": "deny"}, "a/b/", ALLOWED),
        ({"a*": "list", "a/b/*": "read"}, "a/b/", ALLOWED),
        ({"a/b/*": "read"}, "a/b/", NOT_GRANTED),
        ({"x/": "read", "x": "list"}, "x/", NOT_GRANTED),
    ],
)
def test_list_looks_at_a_path_with_and_without_its_slash(rules: dict[str, str], path: str, decision: Decision) -> None:
    assert _patterns(rules).allows(LIST, path) is decision


@pytest.mark.parametrize("operation", list(Operation))
def test_each_operation_needs_its_own_capability(operation: Operation) -> None:
    granted = _rules(x=operation.value)
    for other in Operation:
        assert granted.allows(other, "x").allowed is (other is operation)


def test_deny_wins_over_all_policies_with_the_same_path() -> None:
    granting = 'path "x/*" { capabilities = ["read", "sudo"] }'
    denying = 'path "x/*" { capabilities = ["deny"] }'
    for texts in ([granting, denying], [denying, granting], [granting, denying, granting]):
        acl = _acl(*texts)
        assert acl.allows(READ, "x/a") is NOT_GRANTED
        assert acl.capabilities("x/a") == {Capability.DENY}


def test_capabilities_of_equal_paths_unite() -> None:
    acl = _acl('path "x" { capabilities = ["read"] }', 'path "/x" { capabilities = ["update"] }')
    assert acl.capabilities("x") == {Capability.READ, Capability.UPDATE}


def test_a_rule_without_capabilities_hides_broader_ones_and_grants_nothing() -> None:
    acl = _acl('path "x/*" { capabilities = ["read"] }\npath "x/a" {}')
    assert acl.allows(READ, "x/a") is NOT_GRANTED
    assert acl.capabilities("x/a") == {Capability.DENY}


def test_sudo() -> None:
    acl = _acl('path "x" { capabilities = ["read"] }\npath "y" { capabilities = ["read", "sudo"] }')
    assert acl.allows(READ, "x", sudo_needed=True) is Decision.NEEDS_SUDO
    assert acl.allows(READ, "y", sudo_needed=True) is ALLOWED
    assert (acl.has_sudo("x"), acl.has_sudo("y")) == (False, True)


def test_root_may_do_everything() -> None:
    acl = ACL.compile([ROOT_POLICY])
    assert acl.allows(UPDATE, "anything", sudo_needed=True) is ALLOWED
    assert acl.capabilities("anything") == {Capability.ROOT}
    assert acl.has_sudo("anything")
    assert acl.mentions("anything/")


def test_no_policies_permit_nothing() -> None:
    acl = ACL.compile([])
    assert acl.allows(READ, "x") is NO_RULE
    assert acl.capabilities("x") == {Capability.DENY}


def test_rules_for_the_identity_of_the_caller_match_nothing_without_one() -> None:
    acl = _acl('path "users/{{identity.entity.name}}/*" { capabilities = ["read"] }')
    assert acl.allows(READ, "users/{{identity.entity.name}}/x") is NO_RULE


def test_parameters_are_judged_for_reads_and_writes() -> None:
    acl = _acl('path "x" { capabilities = ["read", "update", "list"] denied_parameters = { "a" = [] } }')
    assert acl.allows(UPDATE, "x", data={"a": 1}) is Decision.PARAMETERS
    assert acl.allows(READ, "x", data={"a": 1}) is Decision.PARAMETERS
    assert acl.allows(UPDATE, "x", data={"b": 1}) is ALLOWED
    assert acl.allows(UPDATE, "x") is ALLOWED


@pytest.mark.parametrize(
    ("limit", "permitted"),
    [
        ("min_wrapping_ttl = 60", {0: False, 59: False, 60: True, 7200: True}),
        ("max_wrapping_ttl = 60", {0: False, 1: True, 60: True, 61: False}),
        ("min_wrapping_ttl = 10 max_wrapping_ttl = 60", {9: False, 10: True, 60: True, 61: False}),
    ],
)
def test_wrapping_limits(limit: str, permitted: dict[int, bool]) -> None:
    acl = _acl(f'path "x" {{ capabilities = ["read"] {limit} }}')
    for seconds, expected in permitted.items():
        assert acl.allows(READ, "x", wrap_ttl=seconds).allowed is expected


def test_merged_limits_follow_vault() -> None:
    acl = _acl(
        """path "x" { capabilities = ["update"] allowed_parameters = { a = ["1"], b = ["1"], c = ["1"] }
           required_parameters = ["a"] max_wrapping_ttl = 100 }""",
        """path "x" { capabilities = ["update"] allowed_parameters = { a = ["2"], b = [] }
           required_parameters = ["b"] max_wrapping_ttl = 50 }""",
    )
    ok = {"a": "2", "b": "anything", "c": "1"}
    assert acl.allows(UPDATE, "x", data=ok, wrap_ttl=50) is ALLOWED
    assert acl.allows(UPDATE, "x", data=ok, wrap_ttl=51) is Decision.WRAPPING
    assert acl.allows(UPDATE, "x", data={**ok, "a": "3"}, wrap_ttl=50) is Decision.PARAMETERS
    assert acl.allows(UPDATE, "x", data={"a": "1"}, wrap_ttl=50) is Decision.PARAMETERS


@pytest.mark.parametrize(
    ("rules", "mentioned"),
    [
        ({"pki/issue/x": "update"}, True),
        ({"pki/*": "read"}, True),
        ({"pk*": "read"}, True),
        ({"pki/": "read"}, True),
        ({"pki": "read"}, False),
        ({"pki2/*": "read"}, False),
        ({"pki/*": "deny"}, False),
        ({"+/issue/x": "update"}, True),
        ({"+": "read"}, False),
        ({"other/+/x": "read"}, False),
        ({"pki/+/x": "deny"}, False),
        ({"+/x*": "read"}, True),
    ],
)
def test_mentions(rules: dict[str, str], mentioned: bool) -> None:
    assert _patterns(rules).mentions("pki/") is mentioned
