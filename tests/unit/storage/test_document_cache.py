"""The cache of documents under every order of reads, writes and polls."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Connection, Table

from chancery.kit.storage import Database, Document, DocumentMoved, Stored
from chancery.storage import document_cache
from chancery.storage.document_cache import DocumentCache
from chancery.storage.documents import DocumentStore
from tests.support.storage_open import open_barrier, prepare, sqlite_backend

T = TypeVar("T")
NAMES = st.sampled_from("abc")


class Number(Stored):
    value: int


def document(name: str, version: int) -> Document[Number]:
    return Document(name, version, Number(value=version))


class CacheAgainstDatabase(RuleBasedStateMachine):
    """A model of the database, in which reads arrive late and polls come when they like."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: DocumentCache[Number] = DocumentCache()
        self.revision = 0
        self.stored: dict[str, Document[Number]] = {}
        self.history: list[tuple[int, str]] = []
        self.polled = 0
        self.reads: list[tuple[str, Document[Number] | None, int]] = []
        self.listings: list[tuple[list[Document[Number]], int]] = []
        self.commits: list[tuple[str, Document[Number] | None, int]] = []

    def _write(self, name: str, remove: bool) -> tuple[str, Document[Number] | None, int]:
        self.revision += 1
        self.history.append((self.revision, name))
        if remove:
            self.stored.pop(name, None)
        else:
            self.stored[name] = document(name, self.revision)
        return name, self.stored.get(name), self.revision

    @rule(name=NAMES, remove=st.booleans())
    def other_process_writes(self, name: str, remove: bool) -> None:
        self._write(name, remove)

    @rule(name=NAMES, remove=st.booleans())
    def we_commit(self, name: str, remove: bool) -> None:
        self.commits.append(self._write(name, remove))

    @rule()
    def our_commits_are_delivered(self) -> None:
        for name, written, revision in self.commits:
            self.cache.changed_here(name, written, revision)
        self.commits.clear()

    @rule(name=NAMES)
    def a_read_begins(self, name: str) -> None:
        self.reads.append((name, self.stored.get(name), self.revision))

    @rule()
    def a_listing_begins(self) -> None:
        self.listings.append(([self.stored[name] for name in sorted(self.stored)], self.revision))

    @rule(newest_first=st.booleans())
    def reads_arrive(self, newest_first: bool) -> None:
        for read in sorted(self.reads, key=lambda each: each[2], reverse=newest_first):
            self.cache.remember(*read)
        for listing in self.listings:
            self.cache.remember_all(*listing)
        self.reads.clear()
        self.listings.clear()

    @rule()
    def poll(self) -> None:
        for revision, name in self.history:
            if revision > self.polled:
                self.cache.changed_elsewhere(name, revision)
        self.polled = self.revision

    @rule()
    def poll_after_a_long_sleep(self) -> None:
        self.cache.outdated(self.revision)
        self.polled = self.revision

    @invariant()
    def nothing_is_older_than_what_this_process_may_know(self) -> None:
        undelivered = {name for name, _, _ in self.commits}
        unpolled = {name for revision, name in self.history if revision > self.polled}
        for name in set("abc") - undelivered - unpolled:
            if name in self.cache.present:
                assert self.cache.present[name] == self.stored.get(name)
            if name in self.cache.absent:
                assert name not in self.stored
        everything = self.cache.everything()
        if everything is not None and not undelivered and not unpolled:
            assert everything == [self.stored[name] for name in sorted(self.stored)]


TestCacheAgainstDatabase = CacheAgainstDatabase.TestCase


def test_the_cache_has_a_size() -> None:
    cache: DocumentCache[Number] = DocumentCache()
    for number in range(document_cache.ABSENT_LIMIT + 10):
        cache.remember(f"none {number}", None, 1)
    for number in range(document_cache.PRESENT_LIMIT + 10):
        cache.remember(str(number), document(str(number), 1), 1)
    assert len(cache.absent) == document_cache.ABSENT_LIMIT
    assert len(cache.present) == document_cache.PRESENT_LIMIT
    assert "0" not in cache.present
    assert "10" in cache.present


class LateReads:
    """A database whose reads are answered only when the test says so."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.read_done = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def read(self, work: Callable[[Connection], T]) -> T:
        result = await self._database.read(work)
        self.read_done.set()
        await self.let_go.wait()
        return result

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.write(work)

    async def append(self, table: Table, row: Mapping[str, Any]) -> None:
        await self._database.append(table, row)


async def test_a_read_overtaken_by_a_write_is_not_kept(tmp_path: Path) -> None:
    async with sqlite_backend(tmp_path) as database:
        await prepare(database)
        late = LateReads(database)
        numbers = DocumentStore(late, open_barrier()).scope("s").collection("number", Number)
        await (
            DocumentStore(database, numbers._barrier).scope("s").collection("number", Number).put("n", Number(value=1))
        )
        late.let_go.clear()
        reading = asyncio.create_task(numbers.get("n"))
        await late.read_done.wait()
        await numbers.put("n", Number(value=2))
        late.let_go.set()
        overtaken = await reading
        assert overtaken is not None
        assert overtaken.value.value == 1
        kept = await numbers.get("n")
        assert kept is not None
        assert kept.value.value == 2


async def test_who_loses_a_race_with_another_process_reads_what_won(tmp_path: Path) -> None:
    async with sqlite_backend(tmp_path) as database:
        await prepare(database)
        barrier = open_barrier()
        ours, theirs = (DocumentStore(database, barrier).scope("s").collection("number", Number) for _ in range(2))
        before = await ours.put("n", Number(value=1))
        await theirs.put("n", Number(value=2))
        with pytest.raises(DocumentMoved):
            await ours.put("n", Number(value=3), expected=before.version)
        now = await ours.get("n")
        assert now is not None
        assert now.value.value == 2
