"""Policies kept: names, protected ones, and that compiled ACLs follow every change."""

import asyncio

import pytest

from chancery.kit.errors import BadInput, Corrupted
from chancery.kit.request import Operation
from chancery.policy.defaults import DEFAULT_TEXT
from chancery.policy.store import PolicyStore, StoredPolicy
from tests.support.auth_world import Process, World

READS = 'path "x" { capabilities = ["read"] }'
UPDATES = 'path "x" { capabilities = ["update"] }'


async def _may(policies: PolicyStore, operation: Operation, *names: str) -> bool:
    return (await policies.acl_for(names)).allows(operation, "x").allowed


async def test_names_texts_and_protected_policies(world: World) -> None:
    policies = world.policies
    assert await policies.names() == ["default", "root"]
    assert await policies.get("default") == DEFAULT_TEXT
    assert await policies.get("root") == ""
    assert await policies.get("absent") is None
    await policies.put(" FOO ", READS)
    assert await policies.names() == ["default", "foo", "root"]
    assert await policies.get("Foo") == READS
    await policies.delete("fOO")
    await policies.delete("foo")
    assert not await policies.exists("foo")
    for name, message in (("root", 'cannot delete "root" policy'), ("Default", "cannot delete default policy")):
        with pytest.raises(BadInput, match=message):
            await policies.delete(name)
    with pytest.raises(BadInput, match='cannot update "root" policy'):
        await policies.put("ROOT", READS)
    for name in ("", "  ", "a\nb", "x" * 513):
        with pytest.raises(BadInput, match="name"):
            await policies.put(name, READS)


async def test_the_default_policy_can_be_rewritten_and_stays_so(world: World) -> None:
    await world.policies.put("default", READS)
    await world.policies.start()
    assert await world.policies.get("default") == READS


async def test_a_text_with_problems_changes_nothing(world: World) -> None:
    await world.policies.put("p", READS)
    with pytest.raises(BadInput, match='invalid capability "x"'):
        await world.policies.put("p", 'path "x" { capabilities = ["x"] }')
    assert await world.policies.get("p") == READS


async def test_acls_follow_writes_and_deletions_at_once(world: World) -> None:
    policies = world.policies
    assert not await _may(policies, Operation.READ, "p", "q")
    await policies.put("p", READS)
    assert await _may(policies, Operation.READ, "p", "q")
    assert await policies.acl_for(("p", "q")) is await policies.acl_for(("p", "q"))
    await policies.put("q", UPDATES)
    assert await _may(policies, Operation.UPDATE, "p", "q")
    await policies.put("p", UPDATES)
    assert not await _may(policies, Operation.READ, "p", "q")
    await policies.delete("p")
    await policies.delete("q")
    assert not await _may(policies, Operation.UPDATE, "p", "q")
    assert (await policies.acl_for(("root",))).is_root


async def test_another_process_follows_once_it_is_told(world: World) -> None:
    other = Process.over(world.database, world.barrier, world.clock)
    await other.documents.poll()
    await world.policies.put("p", READS)
    await other.documents.poll()
    other.policies.changed()
    assert await _may(other.policies, Operation.READ, "p")
    await world.policies.put("p", UPDATES)
    assert await _may(other.policies, Operation.READ, "p")
    polled = await other.documents.poll()
    assert [(place.scope, place.kind, place.name) for place in polled.changed] == [("policy/root", "policy", "p")]
    other.policies.changed()
    assert not await _may(other.policies, Operation.READ, "p")


async def test_an_acl_compiled_while_a_policy_changes_is_not_kept(world: World) -> None:
    policies = world.policies
    for _ in range(10):
        await policies.put("p", READS)
        await asyncio.gather(*(policies.acl_for(("p",)) for _ in range(3)), policies.put("p", UPDATES))
        assert await _may(policies, Operation.UPDATE, "p")


async def test_a_stored_policy_that_cannot_be_read_denies_loudly(world: World) -> None:
    documents = world.process.documents.scope("policy/root").collection("policy", StoredPolicy)
    await documents.put("p", StoredPolicy(text='path "x" {'))
    world.policies.forget()
    with pytest.raises(Corrupted, match='policy "p" cannot be used'):
        await world.policies.acl_for(("p",))


async def test_long_texts_are_parsed_beside_the_loop(world: World) -> None:
    text = "\n".join(f'path "x{index}" {{ capabilities = ["read"] }}' for index in range(2000))
    policy = await world.policies.put("long", text)
    assert len(policy.rules) == 2000
