"""Secrets taken back: due, on demand, by prefix, by force; and every way in which that can go wrong."""

import asyncio
from datetime import timedelta

import pytest

from chancery.kit.errors import Unavailable
from chancery.leases import rows
from chancery.leases.model import MAX_ATTEMPTS
from chancery.leases.revoker import RevocationFailed
from chancery.namespaces.model import ROOT
from chancery.storage.schema import LEASES
from tests.support.leases_world import MOUNT, LeasesWorld


async def test_only_what_is_due_is_taken_back(leases: LeasesWorld) -> None:
    await leases.give("soon", ttl=60)
    await leases.give("later", ttl=600)
    now = leases.world.now()
    assert not await leases.revoker.any_due(now)
    leases.world.clock.advance(60)
    assert await leases.revoker.any_due(leases.world.now())
    await leases.work_off()
    assert leases.engine.revoked == {"soon": 1}
    assert not await leases.revoker.any_due(leases.world.now())


async def test_a_clock_set_back_an_hour_neither_loses_nor_doubles(leases: LeasesWorld) -> None:
    await leases.give("due", ttl=60)
    await leases.give("failing", ttl=60)
    leases.engine.fails.add("failing")
    leases.world.clock.advance(60)
    await leases.work_off()
    leases.world.clock.advance(-3600)
    await leases.give("new", ttl=60)
    await leases.work_off()
    assert leases.engine.revoked == {"due": 1}
    leases.engine.fails.clear()
    leases.world.clock.advance(3600 + 60)
    await leases.work_off()
    assert leases.engine.revoked == {"due": 1, "failing": 1, "new": 1}


async def test_a_clock_set_back_in_the_midst_of_it_tries_each_lease_once(leases: LeasesWorld) -> None:
    await leases.give("failing", ttl=60)
    leases.engine.fails.add("failing")
    leases.world.clock.advance(60)
    now = leases.world.now()
    leases.world.clock.advance(-3600)
    await leases.revoker.work_off(now)
    [record] = await leases.book.page(rows.all_of(ROOT.id), ("", ""), 10)
    assert record.attempts == 1


async def test_a_failing_secret_is_tried_again_and_then_left_to_the_operator(leases: LeasesWorld) -> None:
    lease_id = await leases.give("stuck", ttl=60)
    await leases.give("fine", ttl=60)
    leases.engine.fails.add("stuck")
    leases.world.clock.advance(60)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await leases.work_off()
        record = await leases.find(lease_id)
        assert record is not None
        assert (record.attempts, record.error) == (attempt, "the other side is away")
        leases.world.clock.advance(4000)
    assert record is not None
    assert record.due_at is None
    assert leases.engine.revoked == {"fine": 1}
    assert not await leases.revoker.any_due(leases.world.now())
    assert [one.id for one in await leases.book.irrevocable(ROOT.id, 10)] == [lease_id]
    leases.engine.fails.clear()
    await leases.revoker.revoke(rows.one(ROOT.id, lease_id))
    assert await leases.find(lease_id) is None


@pytest.mark.parametrize("step", ["before the engine", "the engine, unheard", "after the engine"])
async def test_killed_at_each_step_of_a_revocation(
    leases: LeasesWorld, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the step, the next process calls the engine again, and the secret is gone in the end."""
    lease_id = await leases.give("s", ttl=60)
    leases.world.clock.advance(60)
    with monkeypatch.context() as dying:
        if step == "before the engine":
            leases.engine.fails.add("s")
        elif step == "the engine, unheard":
            leases.engine.fails_after.add("s")
        else:
            dying.setattr(rows, "remove", _die)
        if step == "after the engine":
            with pytest.raises(Unavailable, match="killed"):
                await leases.work_off()
        else:
            await leases.work_off()
    assert await leases.find(lease_id) is not None
    leases.engine.fails.clear()
    leases.world.clock.advance(3600)
    await leases.work_off()
    assert await leases.find(lease_id) is None
    assert leases.engine.revoked["s"] == (1 if step == "before the engine" else 2)


async def test_revoking_says_what_resisted_and_takes_back_the_rest(leases: LeasesWorld) -> None:
    stuck = await leases.give("stuck")
    await leases.give("fine")
    await leases.give("elsewhere", path="secrets/creds/webs")
    leases.engine.fails.add("stuck")
    below = rows.of_namespace(ROOT.id, "secrets/creds/web")
    with pytest.raises(RevocationFailed, match=f"failed to revoke {stuck}: the other side is away; it is tried again"):
        await leases.revoker.revoke(below)
    assert leases.engine.revoked == {"fine": 1}
    await leases.revoker.force(below)
    assert await leases.find(stuck) is None
    assert [one.terms.revocation["secret"] for one in await leases.book.page(_everything(), ("", ""), 9)] == [
        "elsewhere"
    ]


async def test_pages_of_leases_are_all_taken_back(leases: LeasesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chancery.leases.revoker._PAGE", 3)
    for number in range(10):
        await leases.give(f"s{number}", path=f"secrets/{number % 2}")
    await leases.revoker.revoke(rows.of_mount(MOUNT.uuid))
    assert leases.engine.revoked == {f"s{number}": 1 for number in range(10)}


async def test_a_lease_whose_mount_is_not_there_waits(leases: LeasesWorld) -> None:
    lease_id = await leases.give("s", ttl=60)
    await leases.world.database.write(lambda at: at.execute(LEASES.update().values(mount="gone")))
    leases.world.clock.advance(60)
    await leases.work_off()
    record = await leases.find(lease_id)
    assert record is not None
    assert "no mounted engine knows the lease" in record.error


async def test_an_engine_with_a_mistake_spoils_nothing_and_tells_nobody(
    leases: LeasesWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease_id = await leases.give("s", ttl=60)

    async def broken(*_arguments: object) -> None:
        raise KeyError("password-1234")

    monkeypatch.setattr(type(leases.engine), "revoke_lease", broken)
    leases.world.clock.advance(60)
    await leases.work_off()
    record = await leases.find(lease_id)
    assert record is not None
    assert record.error == "internal error, see the server's log"
    assert "revoking the lease" in caplog.text


async def test_an_engine_that_hangs_is_given_up(leases: LeasesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chancery.leases.revoker._DEADLINE", 0.01)
    monkeypatch.setattr(type(leases.engine), "revoke_lease", lambda *_: asyncio.Event().wait())
    lease_id = await leases.give("s")
    with pytest.raises(RevocationFailed, match="took longer"):
        await leases.revoker.revoke(rows.one(ROOT.id, lease_id))


async def test_tidying_finds_leases_that_lost_their_token(leases: LeasesWorld) -> None:
    created = await leases.world.make()
    await leases.give("lost", created.entry, ttl=3600)
    await leases.give("free", ttl=3600)
    await leases.world.database.write(
        lambda at: at.execute(LEASES.update().where(LEASES.c.token_hash.is_not(None)).values(token_hash=b"x" * 32))
    )
    await leases.revoker.mark_due(rows.without_token())
    assert leases.woken == 1
    await leases.revoker.work_off(leases.world.now() + timedelta(seconds=1))
    assert leases.engine.revoked == {"lost": 1}


async def test_leases_of_a_mount_that_is_gone_are_forgotten_loudly(
    leases: LeasesWorld, caplog: pytest.LogCaptureFixture
) -> None:
    await leases.give("s")
    await leases.revoker.abandon(rows.of_mount(MOUNT.uuid))
    assert "1 leases forgotten with their mount" in caplog.text
    assert not await leases.book.page(_everything(), ("", ""), 9)


def _everything() -> rows.Condition:
    return rows.all_of(ROOT.id)


def _die(*_arguments: object) -> None:
    raise Unavailable("killed")
