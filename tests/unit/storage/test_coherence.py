"""Following other processes: who is told what, what happens when following fails, and when a node is stale."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from chancery.coherence import Changes, Coherence
from chancery.kit.clock import SystemClock
from chancery.kit.errors import Sealed, Unavailable
from chancery.kit.storage import ABSENT, DocumentMoved, Stored
from chancery.seal.service import SealService
from chancery.storage.document_rows import Place
from chancery.storage.documents import DocumentStore
from chancery.storage.migrate import migrate
from chancery.storage.schema import HOST
from chancery.storage.sqlite import SqliteDatabase


class Thing(Stored):
    """Anything."""

    text: str = ""


class Node(NamedTuple):
    """One process: its own database connections, its own caches."""

    database: SqliteDatabase
    seal: SealService
    store: DocumentStore
    coherence: Coherence

    async def put(self, scope: str, kind: str, name: str, *, expected: int | None = None) -> None:
        """Change a document."""
        await self.store.scope(scope).collection(kind, Thing).put(name, Thing(), expected=expected)


class Heard:
    """A follower that notes what it was told."""

    def __init__(self) -> None:
        self.changes: list[Changes] = []
        self.failing: Exception | None = None

    async def __call__(self, changes: Changes) -> None:
        """Note it."""
        if self.failing is not None:
            raise self.failing
        self.changes.append(changes)

    @property
    def names(self) -> list[str]:
        """Return the names of all documents that were told of."""
        return [place.name for changes in self.changes for place in changes.places]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    made: list[Node] = []
    share = b""
    for _ in range(2):
        database = SqliteDatabase(tmp_path / "store.db")
        await database.open()
        await migrate(database, [HOST])
        seal = SealService(database, SystemClock())
        if not made:
            (share,) = await seal.initialize(1, 1)
        await seal.unseal(share)
        store = DocumentStore(database, seal.barrier)
        made.append(Node(database, seal, store, Coherence(database, store, seal, max_staleness=0.2)))
        await made[-1].coherence.catch_up()
    yield made[0], made[1]
    for node in made:
        await node.coherence.stop()
        await node.database.close()


async def test_followers_hear_what_concerns_them(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    policies, everything_below = Heard(), Heard()
    here.coherence.on_change("policy/", "policy", policies)
    here.coherence.on_change("policy/", "other", everything_below)
    await there.put("policy/root", "policy", "a")
    await there.put("role/root", "policy", "b")
    await there.put("policy/team", "other", "c")
    await here.coherence.follow()
    assert policies.changes == [Changes([Place("policy/root", "policy", "a")])]
    assert everything_below.names == ["c"]
    await there.store.scope("policy/root").erase()
    await here.coherence.follow()
    assert policies.changes[-1].places == [Place("policy/root", "", "")]


async def test_own_changes_are_not_told_of(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    heard = Heard()
    here.coherence.on_change("", "thing", heard)
    await here.put("s", "thing", "own")
    await there.put("s", "thing", "foreign")
    await here.coherence.follow()
    await here.put("s", "thing", "own again")
    await here.coherence.follow()
    assert heard.names == ["foreign"]


async def test_what_a_lost_race_found_is_told_later(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    heard = Heard()
    here.coherence.on_change("", "thing", heard)
    await there.put("s", "thing", "raced", expected=ABSENT)
    with pytest.raises(DocumentMoved):
        await here.put("s", "thing", "raced", expected=ABSENT)
    await here.coherence.follow()
    assert heard.names == ["raced"]


async def test_a_follower_that_fails_is_called_again_and_stops_nobody(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    fails, works = Heard(), Heard()
    here.coherence.on_change("", "thing", fails)
    here.coherence.on_change("", "thing", works)
    fails.failing = Unavailable("not now")
    await there.put("s", "thing", "a")
    with pytest.raises(Unavailable, match="not now"):
        await here.coherence.follow()
    await there.put("s", "thing", "b")
    fails.failing = None
    await here.coherence.follow()
    assert (fails.names, works.names) == (["a", "b"], ["a", "b"])
    await here.coherence.follow()
    assert len(fails.changes) == 1


async def test_a_rotated_keyring_is_taken_over(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    await there.seal.rotate()
    await there.put("s", "thing", "a")
    with pytest.raises(Unavailable):
        await here.store.scope("s").collection("thing", Thing).get("a")
    await here.coherence.follow()
    assert await here.store.scope("s").collection("thing", Thing).get("a") is not None


async def test_a_node_is_stale_until_it_has_looked_again(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = nodes

    async def away(*_: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(here.database, "peek", away)
        here.coherence.start()
        async with asyncio.timeout(5):
            while not here.coherence.is_stale:  # noqa: ASYNC110  # a flag, so that reading it costs nothing
                await asyncio.sleep(0.01)
        assert "more than 0.2 seconds" in here.coherence.refusal().message
    await here.coherence.follow()
    assert not here.coherence.is_stale


async def test_a_sealed_node_does_not_look(nodes: tuple[Node, Node]) -> None:
    here, _ = nodes
    here.seal.seal()
    with pytest.raises(Sealed):
        await here.coherence.follow()
