"""Patterns that name the caller: rendered for each entity, and never wider than written."""

from dataclasses import replace

import pytest

from chancery.kit.errors import BadInput
from chancery.kit.request import Operation
from chancery.policy.acl import ACL
from chancery.policy.parse import parse_policy
from chancery.policy.store import PolicyStore
from chancery.policy.templates import ActsAsPattern, Rendered, Subject, SubjectAlias, Template
from tests.support.auth_world import World

ALICE = Subject(
    id="e-1",
    version=1,
    name="alice",
    metadata={"team": "red", "empty": "", "dotted.key": "d"},
    aliases={"auth_userpass_1": SubjectAlias("a-1", "al", {"k": "v"}, {"c": "w"})},
)


def _acl(text: str, subject: Subject | None = ALICE) -> ACL:
    return ACL.compile([parse_policy("p", text)], subject)


def _may(acl: ACL, path: str) -> bool:
    return acl.allows(Operation.READ, path).allowed


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ("identity.entity.id", "e-1"),
        ("identity.entity.name", "alice"),
        (" identity.entity.name ", "alice"),
        ("identity.entity.metadata.team", "red"),
        ("identity.entity.metadata.dotted.key", "d"),
        ("identity.entity.aliases.auth_userpass_1.id", "a-1"),
        ("identity.entity.aliases.auth_userpass_1.name", "al"),
        ("identity.entity.aliases.auth_userpass_1.metadata.k", "v"),
        ("identity.entity.aliases.auth_userpass_1.custom_metadata.c", "w"),
    ],
)
def test_selectors_have_values(selector: str, value: str) -> None:
    template = Template.parse(f"a/{{{{{selector}}}}}/b")
    assert template.unknown() == []
    assert template.render(ALICE) == Rendered(f"a/{value}/b", is_torn=False)


@pytest.mark.parametrize(
    "selector",
    [
        "identity.entity.metadata.other",
        "identity.entity.metadata.empty",
        "identity.entity.aliases.auth_cert_9.name",
        "identity.entity.aliases.auth_userpass_1.metadata.x",
        "identity.entity.policies",
        "identity.groups.names.ops.id",
        "",
        "entity.id",
    ],
)
def test_what_has_no_value_matches_nothing(selector: str) -> None:
    acl = _acl(f'path "a/{{{{{selector}}}}}*" {{ capabilities = ["read"] }}')
    assert not any(_may(acl, path) for path in ("a/", "a/x", "a", "a/{{}}"))


def test_selectors_that_can_never_match_are_pointed_out() -> None:
    policy = parse_policy("p", 'path "a/{{identity.entity.nmae}}" { capabilities = ["read"] }')
    assert "nothing is known as" in policy.warnings[0]


@pytest.mark.parametrize("pattern", ["a/{{identity.entity.id", "a/}}x{{", "a/{{identity.entity.id}}}}", "{{ {{a}} }}"])
def test_braces_pair(pattern: str) -> None:
    with pytest.raises(BadInput, match="unbalanced"):
        parse_policy("p", f'path "{pattern}" {{ capabilities = ["read"] }}')


def test_without_an_identity_templated_rules_say_nothing() -> None:
    text = 'path "a/{{identity.entity.id}}" { capabilities = ["read"] }\npath "b" { capabilities = ["read"] }'
    acl = _acl(text, None)
    assert _may(acl, "b")
    assert not _may(acl, "a/e-1")
    assert not _may(acl, "a/{{identity.entity.id}}")


@pytest.mark.parametrize("value", ["*", "x*", "*x", "x*y", "+", "x/+", "+/x", "x/+/y"])
def test_values_never_become_wildcards(value: str) -> None:
    subject = replace(ALICE, name=value)
    with pytest.raises(ActsAsPattern, match=r"identity\.entity\.name"):
        _acl('path "a/{{identity.entity.name}}" { capabilities = ["read"] }', subject)


@pytest.mark.parametrize("value", ["a+b", "bob+tag@example.com", "++", "-", "a b", "ä", "{{x}}", "a.b"])
def test_values_that_mean_nothing_in_patterns_are_taken_as_they_are(value: str) -> None:
    acl = _acl('path "a/{{identity.entity.name}}/x" { capabilities = ["read"] }', replace(ALICE, name=value))
    assert _may(acl, f"a/{value}/x")
    assert not _may(acl, "a/other/x")


def test_a_value_with_a_slash_denies_where_it_would_grant() -> None:
    text = """
    path "secret/*" { capabilities = ["read"] }
    path "secret/{{identity.entity.name}}/*" { capabilities = ["read", "update"] }
    """
    acl = _acl(text, replace(ALICE, name="bob/private"))
    assert not _may(acl, "secret/bob/private/x")
    assert not acl.allows(Operation.UPDATE, "secret/bob/private/x").allowed
    assert _may(acl, "secret/bob/x")


async def test_compiled_rules_follow_the_version_of_the_entity(world: World) -> None:
    store: PolicyStore = world.policies
    await store.put("own", 'path "homes/{{identity.entity.metadata.team}}/*" { capabilities = ["read"] }')
    red = await store.acl_for(("default", "own"), ALICE)
    assert _may(red, "homes/red/x")
    assert await store.acl_for(("default", "own"), ALICE) is red
    blue = await store.acl_for(("default", "own"), replace(ALICE, version=2, metadata={"team": "blue"}))
    assert not _may(blue, "homes/red/x")
    assert _may(blue, "homes/blue/x")
    other = await store.acl_for(("default", "own"), replace(ALICE, id="e-2", metadata={"team": "green"}))
    assert _may(other, "homes/green/x")
    await store.put("own", 'path "else/{{identity.entity.id}}" { capabilities = ["read"] }')
    assert _may(await store.acl_for(("default", "own"), ALICE), "else/e-1")


async def test_policies_without_templates_are_compiled_once_for_everybody(world: World) -> None:
    store = world.policies
    assert await store.acl_for(("default",), ALICE) is await store.acl_for(("default",))


async def test_an_identity_that_would_be_a_wildcard_permits_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    store = world.policies
    await store.put(
        "own", 'path "a/{{identity.entity.name}}" { capabilities = ["read"] }\npath "b" { policy = "read" }'
    )
    acl = await store.acl_for(("own",), replace(ALICE, name="x*"))
    assert not _may(acl, "b")
    assert "identity.entity.name" in caplog.text
    assert "x*" not in caplog.text
