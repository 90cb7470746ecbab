"""From text to rules: what Vault accepts, what it refuses, and what is named in the refusal."""

import pytest

from chancery.kit.errors import BadInput
from chancery.policy.defaults import DEFAULT_TEXT
from chancery.policy.model import Capability, Limits, PathRule
from chancery.policy.parse import MAX_POLICY_BYTES, parse_policy

READ, LIST = Capability.READ, Capability.LIST


def _rules(text: str) -> tuple[PathRule, ...]:
    return parse_policy("p", text).rules


def test_rules_come_in_the_order_written_with_their_capabilities() -> None:
    text = 'path "a" { capabilities = ["read", "list"] }\npath "/b/*" { capabilities = ["deny", "read"] }'
    assert _rules(text) == (
        PathRule("a", frozenset({READ, LIST})),
        PathRule("b/*", frozenset({Capability.DENY})),
    )


@pytest.mark.parametrize(
    ("old", "capabilities"),
    [
        ("read", {"read", "list"}),
        ("write", {"create", "read", "update", "delete", "list"}),
        ("sudo", {"create", "read", "update", "delete", "list", "sudo"}),
        ("deny", {"deny"}),
    ],
)
def test_old_policies_stand_for_capabilities(old: str, capabilities: set[str]) -> None:
    (rule,) = _rules(f'path "a" {{ policy = "{old}" }}')
    assert rule.capabilities == capabilities


def test_limits() -> None:
    (rule,) = _rules(
        """path "a" {
          capabilities = ["update"]
          comment = "for the web team"
          allowed_parameters = { "Name" = ["web-*"], "*" = [] }
          denied_parameters = { "ttl" = [10, "never"] }
          required_parameters = ["CSR", "csr", "name"]
          min_wrapping_ttl = "1m"
          max_wrapping_ttl = 3600
        }"""
    )
    assert rule.limits == Limits(
        allowed={"name": ("web-*",), "*": ()},
        denied={"ttl": (10, "never")},
        required=("csr", "name"),
        min_wrapping_ttl=60,
        max_wrapping_ttl=3600,
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"path": {"a": {"capabilities": ["read", "list"]}}}',
        '{"path": [{"a": {"capabilities": ["read", "list"]}}]}',
        '{"path": {"a": [{"capabilities": ["read"]}, {"capabilities": ["list"]}]}}',
        '{"path": {"a": {"capabilities": ["read"]}, "a": {"capabilities": ["list"]}}}',
        'path "a" { capabilities = ["read"] capabilities = ["list"] }',
        'name = "x"\npath "a" { capabilities = ["read"] }\npath "a" { capabilities = ["list"] }',
    ],
)
def test_forms_that_say_the_same(text: str) -> None:
    united: set[Capability] = set()
    for rule in _rules(text):
        assert rule.pattern == "a"
        united |= rule.capabilities
    assert united == {READ, LIST}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('path "a" { capabilities = ["bogus"] }', 'path "a": invalid capability "bogus"'),
        ('path "a" { capabilities = ["READ"] }', 'path "a": invalid capability "READ"'),
        ('path "a" { capabilities = ["root"] }', 'path "a": invalid capability "root"'),
        ('path "a" { capabilities = "read" }', 'path "a": capabilities: expected a list of quoted strings'),
        ('path "a" { policy = "bad" }', 'path "a": invalid policy "bad"'),
        ('path "a" { foo = 1 }', 'path "a": invalid key "foo" on line 1'),
        ('foo "x" {}', 'invalid key "foo" on line 1'),
        ('path "a" "b" {}', "a path block has one label on line 1"),
        ('path = "a"', "path: expected a block in braces on line 1"),
        ('path { capabilities = ["read"] }', 'path "capabilities": expected a block in braces'),
        ('{"path": {"a": 1}}', 'path "a": expected a block in braces'),
        ('path "a+*" { capabilities = ["read"] }', "path \"a+*\": invalid use of wildcards ('+*' is forbidden)"),
        ('path "{{identity.entity.id" {}', "unbalanced templating characters"),
        ('path "a" { min_wrapping_ttl = "2m" max_wrapping_ttl = "1m" }', "max_wrapping_ttl cannot be less"),
        ('path "a" { min_wrapping_ttl = "x" }', 'path "a": min_wrapping_ttl: expected a duration'),
        ('path "a" { min_wrapping_ttl = -1 }', "min_wrapping_ttl: a duration cannot be negative"),
        ('path "a" { allowed_parameters = "x" }', "allowed_parameters: expected an object"),
        ('path "a" { allowed_parameters = { x = "y" } }', 'allowed_parameters: expected a list of values for "x"'),
        ('path "a" { required_parameters = [1] }', "required_parameters: expected a list of quoted strings"),
        ('path "a" { control_group = {} }', 'key "control_group" on line 1 is not supported'),
        ('path "a" { mfa_methods = ["x"] }', 'key "mfa_methods" on line 1 is not supported'),
        ("path a {", "line 1, column 9: expected a name, found the end of the text"),
    ],
)
def test_refusals(text: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_policy("p", text)
    assert caught.value.message.startswith("failed to parse policy: ")
    assert reason in caught.value.message


def test_every_problem_is_reported_with_its_path() -> None:
    text = 'path "a" { capabilities = ["x"] foo = 1 }\npath "b" { policy = "y" }\nbar {}'
    with pytest.raises(BadInput) as caught:
        parse_policy("p", text)
    assert {problem.field for problem in caught.value.problems} == {'path "a"', 'path "b"', ""}
    assert len(caught.value.problems) == 4


def test_a_flood_of_problems_is_cut() -> None:
    with pytest.raises(BadInput) as caught:
        parse_policy("p", f'path "{"x" * 500}" {{ bad = 1 }}\n' * 1000)
    assert "and 980 more" in caught.value.message
    assert len(caught.value.message) < 20_000


def test_long_text_is_refused() -> None:
    with pytest.raises(BadInput, match="longer than"):
        parse_policy("p", "#" * (MAX_POLICY_BYTES + 1))


@pytest.mark.parametrize("pattern", ["a*b", "a/*/b", "a/+b", "x+/y", "a/b+"])
def test_wildcards_that_are_none_are_pointed_out(pattern: str) -> None:
    policy = parse_policy("p", f'path "{pattern}" {{ capabilities = ["read"] }}')
    assert len(policy.warnings) == 1
    assert pattern in policy.warnings[0]


@pytest.mark.parametrize("pattern", ["a", "a*", "*", "+", "+/a", "a/+/b*", "", "a/{{identity.entity.id}}/*"])
def test_ordinary_patterns_give_no_warning(pattern: str) -> None:
    assert parse_policy("p", f'path "{pattern}" {{ capabilities = ["read"] }}').warnings == ()


def test_the_default_policy_is_without_fault() -> None:
    policy = parse_policy("default", DEFAULT_TEXT)
    assert policy.rules
    assert not policy.warnings
