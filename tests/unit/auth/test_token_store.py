"""The life of tokens in the store: found, cached, expired, counted, revoked, and never in clear anywhere."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from chancery.auth.tokens import TokenType
from chancery.kit.errors import BadInput, Corrupted, Denied, Sealed, Unavailable
from chancery.storage.schema import TOKENS
from tests.support.auth_world import DAY, START, Process, World
from tests.support.storage_open import count


async def test_a_created_token_is_found_with_everything_it_was_given(world: World) -> None:
    created = await world.make(
        policies=("a", "b"), meta={"k": "v"}, ttl=60, num_uses=0, bound_cidrs=("10.0.0.0/8",), role="r", period=60
    )
    assert created.token.startswith("hvs.")
    assert len(created.token) == 36
    assert len(created.entry.accessor) == 24
    world.tokens.changed()
    assert await world.find(created.token) == created.entry
    assert await world.tokens.by_accessor(created.entry.accessor, world.now()) == created.entry
    assert created.entry.seconds_left(START) == 60


async def test_a_warm_lookup_reads_no_database(world: World) -> None:
    created = await world.make()
    await world.find(created.token)
    before = world.database.reads
    for _ in range(5):
        assert await world.find(created.token) == created.entry
    assert world.database.reads == before


@pytest.mark.parametrize("text", ["", "x", "hvs.unknown", "hvb.unknown", "hvb.", "hvb.*", "hvs.\ud800", "x" * 100_000])
async def test_what_is_no_token_is_not_found(world: World, text: str) -> None:
    assert await world.find(text) is None


async def test_expiry_is_checked_on_each_lookup(world: World) -> None:
    created = await world.make(ttl=60)
    world.clock.advance(59)
    assert await world.find(created.token) is not None
    world.clock.advance(1)
    assert await world.find(created.token) is None
    assert await world.tokens.by_accessor(created.entry.accessor, world.now()) is None


async def test_a_token_dies_with_the_expiry_of_any_above_it(world: World) -> None:
    grandparent = await world.make(ttl=60)
    parent = await world.make(ttl=DAY, parent=grandparent.entry.token_hash)
    child = await world.make(ttl=0, parent=parent.entry.token_hash)
    assert await world.find(child.token) is not None
    world.clock.advance(60)
    assert await world.find(child.token) is None
    assert await world.find(parent.token) is None


async def test_renewing_a_parent_lets_its_cached_children_live(world: World) -> None:
    parent = await world.make(ttl=60)
    child = await world.make(parent=parent.entry.token_hash)
    await world.find(child.token)
    await world.tokens.renew(parent.entry, 120, world.now())
    world.clock.advance(100)
    assert await world.find(child.token) is not None


async def test_shortening_a_parent_shortens_its_cached_children(world: World) -> None:
    parent = await world.make(ttl=DAY)
    child = await world.make(parent=parent.entry.token_hash)
    await world.find(child.token)
    await world.tokens.renew(parent.entry, 30, world.now())
    world.clock.advance(31)
    assert await world.find(child.token) is None


async def test_revoking_ends_the_whole_tree_and_nothing_else(world: World) -> None:
    parent = await world.make()
    children = [await world.make(parent=parent.entry.token_hash) for _ in range(3)]
    grandchild = await world.make(parent=children[0].entry.token_hash)
    batch = await world.make(type=TokenType.BATCH, parent=grandchild.entry.token_hash)
    other = await world.make()
    everyone = [parent, *children, grandchild, batch]
    for created in [*everyone, other]:
        assert await world.find(created.token) is not None
    await world.tokens.revoke(parent.entry.token_hash)
    for created in everyone:
        assert await world.find(created.token) is None
    assert await world.find(other.token) is not None
    assert await count(world.database, TOKENS) == 2


async def test_revoking_what_does_not_exist_is_fine(world: World) -> None:
    await world.tokens.revoke(b"\0" * 32)


async def test_children_of_a_token_revoked_alone_live_on_as_orphans(world: World) -> None:
    parent = await world.make(ttl=60)
    child = await world.make(parent=parent.entry.token_hash)
    batch = await world.make(type=TokenType.BATCH, parent=parent.entry.token_hash)
    grandchild = await world.make(parent=child.entry.token_hash)
    await world.find(grandchild.token)
    await world.tokens.revoke_orphan(parent.entry.token_hash)
    world.clock.advance(120)
    found = await world.find(child.token)
    assert found is not None
    assert found.orphan
    assert await world.find(grandchild.token) is not None
    assert await world.find(parent.token) is None
    assert await world.find(batch.token) is None


async def test_nobody_is_born_to_a_parent_that_is_gone(world: World) -> None:
    parent = await world.make(ttl=60)
    await world.make(parent=parent.entry.token_hash)
    world.clock.advance(60)
    with pytest.raises(Denied, match="no longer valid"):
        await world.make(parent=parent.entry.token_hash)
    await world.tokens.revoke(parent.entry.token_hash)
    with pytest.raises(Denied, match="no longer valid"):
        await world.make(parent=parent.entry.token_hash)


async def test_a_client_that_hangs_up_revokes_all_the_same(world: World) -> None:
    created = await world.make()
    await world.find(created.token)
    revoking = asyncio.create_task(world.tokens.revoke(created.entry.token_hash))
    await asyncio.sleep(0)
    revoking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await revoking
    other = await world.make()
    await world.tokens.revoke(other.entry.token_hash)  # revocations are carried out in order
    assert await world.find(created.token) is None


async def test_a_lookup_that_overlaps_a_revocation_does_not_bring_the_token_back(world: World) -> None:
    created = await world.make()
    for _ in range(20):
        world.tokens.changed()
        await asyncio.gather(*(world.find(created.token) for _ in range(5)))
    world.tokens.changed()
    await asyncio.gather(
        *(world.find(created.token) for _ in range(10)),
        world.tokens.revoke(created.entry.token_hash),
        *(world.find(created.token) for _ in range(10)),
    )
    assert await world.find(created.token) is None


async def test_another_process_learns_of_revocations_by_its_poll(world: World) -> None:
    other = Process.over(world.database, world.barrier, world.clock)
    await other.documents.poll()
    created = await world.make()
    assert await other.tokens.lookup(created.token, world.now()) is not None
    await world.tokens.revoke(created.entry.token_hash)
    polled = await other.documents.poll()
    assert ("token/root", "revocation") in {(place.scope, place.kind) for place in polled.changed}
    other.tokens.changed()
    assert await other.tokens.lookup(created.token, world.now()) is None


async def test_the_last_use_goes_to_one_of_two_racing_requests(world: World) -> None:
    created = await world.make(num_uses=3)
    taken = await asyncio.gather(*(world.tokens.use(created.token) for _ in range(8)), return_exceptions=True)
    assert sum(result is None for result in taken) == 3
    assert sum(isinstance(result, Denied) for result in taken) == 5
    assert await world.find(created.token) is None
    last = await world.tokens.lookup(created.token, world.now(), spent=True)
    assert last is not None
    assert last.num_uses == -1
    assert await world.tokens.by_accessor(created.entry.accessor, world.now()) is None
    assert created.entry.accessor not in await world.tokens.accessors(world.now(), "root")


async def test_uses_are_counted_durably(world: World) -> None:
    created = await world.make(num_uses=2)
    await world.tokens.use(created.token)
    found = await Process.over(world.database, world.barrier, world.clock).tokens.lookup(created.token, world.now())
    assert found is not None
    assert found.num_uses == 1


async def test_renewing_moves_the_expiry_and_survives_the_cache(world: World) -> None:
    created = await world.make(ttl=60)
    world.clock.advance(30)
    renewed = await world.tokens.renew(created.entry, 100, world.now())
    assert renewed.last_renewal == int(world.now().timestamp())
    world.clock.advance(99)
    assert await world.find(created.token) == renewed
    world.clock.advance(1)
    assert await world.find(created.token) is None


async def test_renewing_a_revoked_token_is_refused(world: World) -> None:
    created = await world.make()
    await world.tokens.revoke(created.entry.token_hash)
    with pytest.raises(BadInput, match="token not found"):
        await world.tokens.renew(created.entry, 100, world.now())


async def test_batch_tokens_carry_themselves(world: World) -> None:
    rows = await count(world.database, TOKENS)
    created = await world.make(type=TokenType.BATCH, policies=("a",), meta={"k": "v"}, ttl=60, renewable=True)
    assert created.token.startswith("hvb.")
    assert created.entry.accessor == ""
    assert not created.entry.renewable
    assert await count(world.database, TOKENS) == rows
    fresh = Process.over(world.database, world.barrier, world.clock)
    assert await fresh.tokens.lookup(created.token, world.now()) == created.entry
    world.clock.advance(60)
    assert await fresh.tokens.lookup(created.token, world.now()) is None


async def test_a_changed_batch_token_is_no_token(world: World) -> None:
    created = await world.make(type=TokenType.BATCH)
    for position in range(4, len(created.token), 7):
        other = "A" if created.token[position] != "A" else "B"
        changed = created.token[:position] + other + created.token[position + 1 :]
        with suppress(Unavailable):  # the number of a newer key, which may come
            assert await world.find(changed) is None


async def test_a_chosen_text_is_taken_once_until_it_expires(world: World) -> None:
    await world.make(token_id="chosen", ttl=60)
    with pytest.raises(BadInput, match="duplicate ID"):
        await world.make(token_id="chosen")
    world.clock.advance(60)
    again = await world.make(token_id="chosen", ttl=0)
    assert await world.find("chosen") == again.entry


async def test_tidy_removes_what_is_over_with_everything_below_it(world: World) -> None:
    parent = await world.make(ttl=60)
    await world.make(ttl=DAY, parent=parent.entry.token_hash)
    spent = await world.make(num_uses=1)
    await world.tokens.use(spent.token)
    kept = await world.make()
    world.clock.advance(60)
    assert await world.tokens.tidy(world.now()) == 3
    assert await world.tokens.tidy(world.now()) == 0
    assert await world.find(kept.token) is not None
    assert sorted(await world.tokens.accessors(world.now(), "root")) == sorted(
        entry.accessor for entry in [kept.entry, await world.find(world.root)] if entry is not None
    )


async def test_a_row_cannot_have_the_powers_of_another(world: World) -> None:
    weak = await world.make(policies=("weak",))
    world.tokens.changed()
    strong = (await world.database.read(lambda at: at.execute(TOKENS.select()).all()))[0]
    move = update(TOKENS).where(TOKENS.c.hash == weak.entry.token_hash).values(sealed=strong.sealed)
    if strong.hash == weak.entry.token_hash:
        move = move.values(sealed=b"\x01" + b"\0" * 60)
    await world.database.write(lambda at: at.execute(move))
    with pytest.raises(Corrupted):
        await world.find(weak.token)


async def test_tokens_and_accessors_are_nowhere_in_clear(world: World, tmp_path: Path) -> None:
    created = await world.make(policies=("secret-policy",), token_id="chosen-by-somebody")
    await world.find(created.token)
    await world.database.close()
    stored = await asyncio.to_thread(lambda: b"".join(path.read_bytes() for path in tmp_path.iterdir()))
    for text in (created.token, created.entry.accessor, "secret-policy"):
        assert text.encode() not in stored
    assert created.token not in repr(created)
    assert created.token not in repr(vars(world.tokens))


async def test_nothing_is_known_while_sealed(world: World) -> None:
    created = await world.make()
    await world.find(created.token)
    world.barrier.lock()
    world.tokens.forget()
    with pytest.raises(Sealed):
        await world.find(created.token)


async def test_root_can_have_a_text_of_ones_own_and_never_expires(world: World) -> None:
    created = await world.tokens.create_root(token_id="root")
    assert created.token == "root"
    world.clock.advance(1000 * DAY)
    found = await world.find("root")
    assert found is not None
    assert found == replace(created.entry)
    assert (found.policies, found.expires_at, found.renewable, found.orphan) == (("root",), None, False, True)
