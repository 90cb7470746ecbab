"""Laws that hold for all policies, and a slow, plain statement of the order of rules to compare with."""

from hypothesis import given
from hypothesis import strategies as st

from chancery.kit.request import Operation
from chancery.policy.acl import ACL
from chancery.policy.model import Capability, PathRule, Policy

CAPABILITIES = [Capability.READ, Capability.UPDATE, Capability.LIST, Capability.CREATE, Capability.SUDO]

segments = st.sampled_from(["a", "b", "ab", ""])
paths = st.lists(segments, min_size=1, max_size=4).map("/".join).filter(lambda path: not path.startswith("/"))
patterns = st.builds(
    lambda parts, end: "/".join(parts) + ("" if parts[-1] == "+" and end == "*" else end),
    st.lists(st.sampled_from(["a", "b", "ab", "+", ""]), min_size=1, max_size=4),
    st.sampled_from(["", "*", "/"]),
)
grants = st.frozensets(st.sampled_from(CAPABILITIES), max_size=3)
rules = st.builds(PathRule, patterns, grants)
policies = st.builds(lambda found: Policy("p", tuple(found)), st.lists(rules, max_size=5))


def _matches(pattern: str, path: str) -> bool:
    """The documentation's words: `*` ends a prefix, `+` is one segment."""
    if not any(part == "+" for part in pattern.split("/")):
        return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
    is_prefix, parts = pattern.endswith("*"), pattern.removesuffix("*").split("/")
    given_parts = path.split("/")
    if len(given_parts) < len(parts) or (not is_prefix and len(given_parts) != len(parts)):
        return False
    return all(
        wanted in {"+", part} or (is_prefix and index == len(parts) - 1 and part.startswith(wanted))
        for index, (wanted, part) in enumerate(zip(parts, given_parts, strict=False))
    )


def _priority(pattern: str) -> tuple[int, bool, int, int, str]:
    """The documentation's order, each criterion only when those before it are equal."""
    body = pattern.removesuffix("*")
    marks = [position for position, mark in enumerate(pattern) if mark == "+" or position == len(body)]
    plus = sum(part == "+" for part in body.split("/"))
    return min(marks), not pattern.endswith("*"), -plus, len(body), body


@given(policies, policies, paths)
def test_the_compiled_order_is_the_documented_one(one: Policy, other: Policy, path: str) -> None:
    written = [*one.rules, *other.rules]
    exact = [rule.pattern for rule in written if rule.pattern == path]
    wild = [
        rule.pattern
        for rule in written
        if ("+" in rule.pattern.split("/") or rule.pattern.endswith("*")) and _matches(rule.pattern, path)
    ]
    winner = (exact or sorted(wild, key=_priority))[-1:]
    expected = frozenset().union(*(rule.capabilities for rule in written if rule.pattern in winner))
    actual = ACL.compile([one, other]).capabilities(path) - {Capability.DENY}
    if not path.endswith("/"):
        assert actual == expected


@given(policies, paths, st.sampled_from(list(Operation)))
def test_denying_every_written_path_denies_everything(policy: Policy, path: str, operation: Operation) -> None:
    denial = Policy("d", tuple(PathRule(rule.pattern, frozenset({Capability.DENY})) for rule in policy.rules))
    for order in ([policy, denial], [denial, policy]):
        acl = ACL.compile(order)
        assert not acl.allows(operation, path).allowed
        assert acl.capabilities(path) == {Capability.DENY}


@given(policies, paths, st.lists(grants, min_size=5, max_size=5))
def test_saying_more_about_the_same_paths_never_takes_away(
    policy: Policy, path: str, more: list[frozenset[Capability]]
) -> None:
    added = Policy("q", tuple(PathRule(rule.pattern, more[i]) for i, rule in enumerate(policy.rules)))
    before = ACL.compile([policy]).capabilities(path) - {Capability.DENY}
    if not path.endswith("/"):  # granting list to one rule may let it speak for another path's LIST
        assert before <= ACL.compile([policy, added]).capabilities(path)


@given(policies, policies, paths)
def test_the_order_of_policies_does_not_matter(one: Policy, other: Policy, path: str) -> None:
    assert ACL.compile([one, other]).capabilities(path) == ACL.compile([other, one]).capabilities(path)


@given(policies, paths, st.sampled_from(list(Operation)))
def test_what_is_allowed_is_a_capability_of_the_path(policy: Policy, path: str, operation: Operation) -> None:
    acl = ACL.compile([policy])
    if operation is not Operation.LIST and not path.endswith("/") and acl.allows(operation, path).allowed:
        assert operation.value in acl.capabilities(path)
