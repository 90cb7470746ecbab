"""Leases on record: bound to tokens, listed by path, renewed, counted."""

import asyncio

import pytest

from chancery.auth.tokens import TokenType
from chancery.kit.errors import BadInput, Corrupted, Denied
from chancery.leases import rows
from chancery.namespaces.model import ROOT, Namespace
from chancery.storage.schema import LEASES
from tests.support.leases_world import LeasesWorld


async def test_a_lease_can_be_found_by_its_identifier_alone(leases: LeasesWorld) -> None:
    lease_id = await leases.give("s1", ttl=60)
    assert lease_id.startswith("secrets/creds/web/")
    assert len(lease_id.rpartition("/")[2]) == 24
    found = await leases.find(lease_id)
    assert found is not None
    assert found.expires_at - found.issued_at == 60
    assert found.terms.revocation == {"secret": "s1"}
    assert await leases.find(lease_id + "x") is None
    assert await leases.book.find("elsewhere", lease_id) is None


async def test_what_an_engine_wants_to_know_is_sealed_to_the_lease(leases: LeasesWorld) -> None:
    first, second = await leases.give("hush-hush"), await leases.give("other")
    database = leases.world.database
    row = await database.read(lambda at: rows.find(at, (ROOT.id, first)))
    assert row is not None
    assert b"hush-hush" not in row.sealed
    await database.write(lambda at: at.execute(LEASES.update().where(LEASES.c.id == second).values(sealed=row.sealed)))
    with pytest.raises(Corrupted):
        await leases.find(second)


async def test_a_lease_whose_token_is_gone_is_refused_and_its_secret_taken_back(leases: LeasesWorld) -> None:
    created = await leases.world.make()
    await leases.world.tokens.revoke(created.entry.token_hash)
    with pytest.raises(Denied):
        await leases.give("orphaned", created.entry)
    assert leases.woken == 1
    await leases.work_off()
    assert leases.engine.revoked == {"orphaned": 1}


async def test_leases_go_with_their_token_and_everything_below_it(leases: LeasesWorld) -> None:
    world = leases.world
    parent = await world.make()
    child = await world.make(parent=parent.entry.token_hash)
    batch = await world.make(type=TokenType.BATCH, parent=child.entry.token_hash, ttl=3600)
    bystander = await world.make()
    for secret, entry in (("p", parent), ("c", child), ("b", batch), ("x", bystander)):
        await leases.give(secret, entry.entry, ttl=3600)
    await leases.give("free", ttl=3600)
    await leases.work_off()
    assert not leases.engine.revoked
    await world.tokens.revoke(parent.entry.token_hash)
    await leases.work_off()
    assert leases.engine.revoked == {"p": 1, "c": 1, "b": 1}


async def test_leases_go_with_tokens_that_expire_or_are_revoked_alone(leases: LeasesWorld) -> None:
    world = leases.world
    brief, parent = await world.make(ttl=10), await world.make()
    child = await world.make(parent=parent.entry.token_hash)
    for secret, entry in (("brief", brief), ("parent", parent), ("child", child)):
        await leases.give(secret, entry.entry, ttl=3600)
    await world.tokens.revoke_orphan(parent.entry.token_hash)
    await leases.work_off()
    assert leases.engine.revoked == {"parent": 1}
    world.clock.advance(11)
    assert await world.tokens.any_to_tidy(world.now())
    await world.tokens.tidy(world.now())
    assert not await world.tokens.any_to_tidy(world.now())
    await leases.work_off()
    assert leases.engine.revoked == {"parent": 1, "brief": 1}


async def test_children_are_names_and_folders_in_order(leases: LeasesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chancery.leases.book._PAGE", 2)
    for path in ("secrets/a", "secrets/a/b", "secrets/a/b", "secrets/a/b", "secrets/c", "secrets/c", "z"):
        await leases.give("s", path=path)
    await leases.give("s", path="secrets/hidden", namespace=Namespace("other", "other/"))
    children = leases.book.children
    assert await children(ROOT.id, "") == ["secrets/", "z/"]
    assert await children(ROOT.id, "secrets/") == ["a/", "c/"]
    below_a = await children(ROOT.id, "secrets/a/")
    assert below_a == sorted(below_a)
    assert "b/" in below_a
    assert len(below_a) == 2
    assert len(await children(ROOT.id, "secrets/a/b/")) == 3
    assert await children(ROOT.id, "secrets/hidden/") == []
    assert await children(ROOT.id, "nothing/") == []


async def test_renewing_postpones_the_end(leases: LeasesWorld) -> None:
    lease_id = await leases.give("s", ttl=60, renewable=True)
    leases.world.clock.advance(50)
    record, warnings = await leases.book.renew(ROOT.id, lease_id, 100)
    assert record.terms.ttl == 100
    assert not warnings
    leases.world.clock.advance(60)
    await leases.work_off()
    assert not leases.engine.revoked
    leases.world.clock.advance(41)
    await leases.work_off()
    assert leases.engine.revoked == {"s": 1}
    with pytest.raises(BadInput, match="lease not found"):
        await leases.book.renew(ROOT.id, lease_id, 0)


async def test_renewing_never_wins_over_a_revocation(leases: LeasesWorld) -> None:
    lease_id = await leases.give("s", ttl=60, renewable=True)
    await leases.revoker.mark_due(rows.one(ROOT.id, lease_id))
    with pytest.raises(BadInput, match="lease expired"):
        await leases.book.renew(ROOT.id, lease_id, 0)
    other = await leases.give("t", ttl=60, renewable=True)
    renewed, _ = await asyncio.gather(
        leases.book.renew(ROOT.id, other, 0), leases.revoker.mark_due(rows.one(ROOT.id, other)), return_exceptions=True
    )
    await leases.work_off()
    found = await leases.find(other)
    assert found is None, f"{renewed}: whichever came first, the lease was revoked"


async def test_leases_are_counted_by_mount(leases: LeasesWorld) -> None:
    for _ in range(3):
        await leases.give("s")
    assert await leases.book.count_by_mount(ROOT.id, irrevocable_only=False) == {"m-1": 3}
    assert await leases.book.count_by_mount(ROOT.id, irrevocable_only=True) == {}
    assert await leases.book.count_by_mount("elsewhere", irrevocable_only=False) == {}
