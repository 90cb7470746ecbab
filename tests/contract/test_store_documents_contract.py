"""What documents must do over every `Database`: compare-and-swap, atomic changes, and caches that follow."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from chancery.kit.errors import Corrupted, Sealed
from chancery.kit.storage import ABSENT, DocumentMoved, DuplicateRow, Stored
from chancery.seal.barrier import KeyringBarrier
from chancery.storage import document_rows
from chancery.storage.database import HostDatabase
from chancery.storage.documents import DocumentStore
from chancery.storage.schema import CHANGES, DOCUMENTS
from tests.support.storage_open import BACKENDS, THINGS, count, open_barrier, prepare


class Role(Stored):
    ttl: int
    secret: bytes = b""


class Other(Stored):
    text: str


@pytest.fixture(params=BACKENDS)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HostDatabase]:
    async with BACKENDS[request.param](tmp_path) as opened:
        await prepare(opened)
        yield opened


@pytest.fixture
def barrier() -> KeyringBarrier:
    return open_barrier()


@pytest.fixture
def store(database: HostDatabase, barrier: KeyringBarrier) -> DocumentStore:
    return DocumentStore(database, barrier)


@pytest.fixture
def elsewhere(database: HostDatabase, barrier: KeyringBarrier) -> DocumentStore:
    """Another process: nothing is shared with `store` but the database."""
    return DocumentStore(database, barrier)


async def test_a_document_is_stored_read_and_removed(store: DocumentStore, elsewhere: DocumentStore) -> None:
    roles = store.scope("m1").collection("role", Role)
    assert await roles.get("web") is None
    stored = await roles.put("web", Role(ttl=60, secret=b"\x00\xff"))
    assert (stored.name, stored.version, stored.value.ttl) == ("web", 1, 60)
    for reader in (store, elsewhere):
        assert await reader.scope("m1").collection("role", Role).get("web") == stored
    assert (await roles.put("web", Role(ttl=61))).version == 2
    assert await roles.delete("web") is True
    assert await roles.delete("web") is False
    assert await roles.get("web") is None
    assert (await roles.put("web", Role(ttl=62))).version == 1


async def test_scopes_and_kinds_are_apart(store: DocumentStore) -> None:
    await store.scope("m1").collection("role", Role).put("x", Role(ttl=1))
    assert await store.scope("m2").collection("role", Role).get("x") is None
    assert await store.scope("m1").collection("other", Other).get("x") is None
    assert store.scope("m1") is store.scope("m1")
    assert store.scope("m1").collection("role", Role) is store.scope("m1").collection("role", Role)
    with pytest.raises(TypeError, match="role holds Role"):
        store.scope("m1").collection("role", Other)


@pytest.mark.parametrize(("versions", "expected"), [(0, 1), (1, ABSENT), (2, 1), (1, 2)])
async def test_compare_and_swap_refuses_another_version(store: DocumentStore, versions: int, expected: int) -> None:
    roles = store.scope("m1").collection("role", Role)
    for ttl in range(versions):
        await roles.put("web", Role(ttl=ttl))
    before = await roles.get("web")
    with pytest.raises(DocumentMoved, match="web"):
        await roles.put("web", Role(ttl=99), expected=expected)
    with pytest.raises(DocumentMoved, match="web"):
        await roles.delete("web", expected=expected)
    assert await roles.get("web") == before


async def test_of_many_who_swap_one_wins_each_time(store: DocumentStore, elsewhere: DocumentStore) -> None:
    async def add_one(collection_of: DocumentStore) -> None:
        roles = collection_of.scope("m1").collection("role", Role)
        while True:
            await collection_of.poll()
            known = await roles.get("sum")
            try:
                value = known.value.ttl if known else 0
                await roles.put("sum", Role(ttl=value + 1), expected=known.version if known else ABSENT)
            except DocumentMoved:
                continue
            return

    await asyncio.gather(*(add_one(each) for each in (store, elsewhere) for _ in range(8)))
    await store.poll()
    final = await store.scope("m1").collection("role", Role).get("sum")
    assert final is not None
    assert (final.value.ttl, final.version) == (16, 16)


async def test_names_come_in_order_by_page_and_prefix(store: DocumentStore) -> None:
    roles = store.scope("m1").collection("role", Role)
    for name in ("b", "a/2", "a/1", "Z", "a", "ä", "a%"):
        await roles.put(name, Role(ttl=1))
    await store.scope("m1").collection("other", Other).put("elsewhere", Other(text=""))
    assert await roles.names() == sorted(["b", "a/2", "a/1", "Z", "a", "ä", "a%"])
    assert await roles.names(prefix="a/") == ["a/1", "a/2"]
    assert await roles.names(prefix="a/", after="a/1") == ["a/2"]
    assert await roles.names(prefix="a%") == ["a%"]
    assert await roles.names(after="Z", limit=2) == ["a", "a%"]
    assert await roles.names(limit=0) == []


async def test_all_gives_every_document_and_follows_writes(store: DocumentStore) -> None:
    roles = store.scope("m1").collection("role", Role)
    assert await roles.all() == []
    for ttl, name in enumerate("cab"):
        await roles.put(name, Role(ttl=ttl))
    assert [(each.name, each.value.ttl) for each in await roles.all()] == [("a", 1), ("b", 2), ("c", 0)]
    await roles.delete("a")
    listed = await roles.all()
    listed.clear()
    assert [each.name for each in await roles.all()] == ["b", "c"]


async def test_a_change_happens_as_a_whole(store: DocumentStore, database: HostDatabase) -> None:
    scope = store.scope("m1")
    roles, others = scope.collection("role", Role), scope.collection("other", Other)
    await roles.put("old", Role(ttl=1))
    change = scope.change()
    change.put(roles, "new", Role(ttl=2), expected=ABSENT)
    change.put(roles, "new", Role(ttl=3), expected=1)
    change.put(others, "o", Other(text="hi"))
    change.delete(roles, "old", expected=1)
    change.delete(roles, "never was")
    change.insert(THINGS, {"id": "row", "must": "x"})
    change.run(lambda at: at.execute(update(THINGS).values(number=5)))
    await change.commit()
    assert [(each.name, each.version, each.value.ttl) for each in await roles.all()] == [("new", 2, 3)]
    assert await roles.get("old") is None
    assert (await others.all())[0].value.text == "hi"
    assert await database.read(lambda at: at.scalars(select(THINGS.c.number)).all()) == [5]
    with pytest.raises(RuntimeError, match="once"):
        await change.commit()
    await scope.change().commit()


async def test_a_refused_change_does_nothing(store: DocumentStore, database: HostDatabase) -> None:
    scope = store.scope("m1")
    roles = scope.collection("role", Role)
    await roles.put("kept", Role(ttl=1))
    await database.append(THINGS, {"id": "row", "must": "x"})
    moved, duplicate = scope.change(), scope.change()
    moved.insert(THINGS, {"id": "row2", "must": "x"})
    moved.put(roles, "fresh", Role(ttl=1))
    moved.put(roles, "kept", Role(ttl=2), expected=7)
    duplicate.put(roles, "kept", Role(ttl=2), expected=1)
    duplicate.delete(roles, "kept")
    duplicate.insert(THINGS, {"id": "row", "must": "x"})
    with pytest.raises(DocumentMoved):
        await moved.commit()
    with pytest.raises(DuplicateRow):
        await duplicate.commit()
    assert await count(database, THINGS) == 1
    for known in (await roles.all(), [await roles.get("kept")]):
        assert [(each.name, each.version, each.value.ttl) for each in known if each] == [("kept", 1, 1)]


async def test_a_poll_follows_what_others_changed(store: DocumentStore, elsewhere: DocumentStore) -> None:
    mine, theirs = (each.scope("m1").collection("role", Role) for each in (store, elsewhere))
    for name in ("changes", "goes", "stays"):
        await mine.put(name, Role(ttl=1))
    assert (await store.poll()).everything
    assert await mine.get("comes") is None
    stays = await mine.get("stays")
    await mine.all()
    await theirs.put("changes", Role(ttl=2))
    await theirs.delete("goes")
    await theirs.put("comes", Role(ttl=3))
    polled = await store.poll()
    assert {place.name for place in polled.changed} == {"changes", "goes", "comes"}
    assert [(each.name, each.value.ttl) for each in await mine.all()] == [("changes", 2), ("comes", 3), ("stays", 1)]
    changed, comes = await mine.get("changes"), await mine.get("comes")
    assert changed is not None
    assert comes is not None
    assert (changed.value.ttl, comes.value.ttl) == (2, 3)
    assert await mine.get("goes") is None
    assert await mine.get("stays") == stays
    assert (await store.poll()).changed == ()


async def test_a_first_poll_drops_what_was_read_before_it(store: DocumentStore, elsewhere: DocumentStore) -> None:
    mine, theirs = (each.scope("m1").collection("role", Role) for each in (store, elsewhere))
    await mine.put("web", Role(ttl=1))
    assert await mine.get("later") is None
    await theirs.put("web", Role(ttl=2))
    await theirs.put("later", Role(ttl=3))
    await store.poll()
    assert [each.value.ttl for each in (await mine.get("later"), await mine.get("web")) if each] == [3, 2]


async def test_who_slept_too_long_drops_everything(
    store: DocumentStore, elsewhere: DocumentStore, database: HostDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_rows, "JOURNAL_LENGTH", 5)
    mine, theirs = (each.scope("m1").collection("role", Role) for each in (store, elsewhere))
    await mine.put("web", Role(ttl=0))
    await store.poll()
    for ttl in range(1, 9):
        await theirs.put("web", Role(ttl=ttl))
    assert await count(database, CHANGES) == 5
    assert (await store.poll()).everything
    document = await mine.get("web")
    assert document is not None
    assert document.value.ttl == 8


async def test_erase_empties_a_scope_in_every_process(store: DocumentStore, elsewhere: DocumentStore) -> None:
    for scope in ("m1", "m2"):
        await store.scope(scope).collection("role", Role).put("web", Role(ttl=1))
    theirs = elsewhere.scope("m1").collection("role", Role)
    await elsewhere.poll()
    assert await theirs.get("web") is not None
    await store.scope("m1").erase()
    await elsewhere.poll()
    for roles in (store.scope("m1").collection("role", Role), theirs):
        assert await roles.get("web") is None
        assert await roles.all() == []
    assert await store.scope("m2").collection("role", Role).get("web") is not None


async def test_a_caller_that_leaves_does_not_leave_a_stale_cache(store: DocumentStore) -> None:
    roles = store.scope("m1").collection("role", Role)
    await roles.put("web", Role(ttl=1))
    task = asyncio.create_task(roles.put("web", Role(ttl=2)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.gather(*store._running)  # the commit that nobody waits for
    document = await roles.get("web")
    assert document is not None
    assert document.value.ttl == 2


async def test_nothing_is_served_while_sealed(store: DocumentStore, barrier: KeyringBarrier) -> None:
    scope = store.scope("m1")
    roles = scope.collection("role", Role)
    await roles.put("web", Role(ttl=1))
    await roles.all()
    assert await roles.get("none") is None
    barrier.lock()
    store.forget()
    change = scope.change()
    for call in (roles.get("web"), roles.get("none"), roles.all(), roles.put("x", Role(ttl=1)), roles.delete("web")):
        with pytest.raises(Sealed):
            await call
    with pytest.raises(Sealed):
        change.put(roles, "x", Role(ttl=1))


async def test_documents_are_sealed_to_their_place(store: DocumentStore, database: HostDatabase) -> None:
    roles = store.scope("m1").collection("role", Role)
    await roles.put("web", Role(ttl=1, secret=b"very secret"))
    sealed = await database.read(lambda at: at.scalars(select(DOCUMENTS.c.sealed)).one())
    assert b"secret" not in sealed

    def move(at: Connection) -> None:
        at.execute(update(DOCUMENTS).values(name="admin"))

    await database.write(move)
    store.forget()
    with pytest.raises(Corrupted):
        await roles.get("admin")


async def test_a_document_of_another_form_is_reported_without_its_content(store: DocumentStore) -> None:
    await store.scope("m1").collection("role", Role).put("web", Role(ttl=1, secret=b"hidden"))
    later = DocumentStore(store._database, store._barrier)
    with pytest.raises(Corrupted, match="role web") as caught:
        await later.scope("m1").collection("role", Other).get("web")
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
