"""The store of documents: scopes, sets of writes that happen together, and following other processes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Table, insert

from chancery.kit.sealing import Barrier
from chancery.kit.storage import Collection, Database, DocumentMoved, Stored
from chancery.storage import document_rows as rows
from chancery.storage.collection import Commit, SealedCollection, Step
from chancery.storage.document_cache import DocumentCache
from chancery.storage.document_rows import Place, whole_scope

M = TypeVar("M", bound=Stored)
T = TypeVar("T")


class Read(Protocol):
    """`Database.read`, or what can stand in for it."""

    async def __call__(self, work: Callable[[Connection], T]) -> T:
        """Run read-only work on a consistent snapshot."""
        ...


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll found: the documents that changed since the last one, by whichever process."""

    revision: int
    changed: Sequence[Place] = ()
    """An empty kind stands for a whole scope that was erased."""
    elsewhere: Sequence[Place] = ()
    """Those that this process did not make itself. One of its own may be among them, never the reverse."""
    everything: bool = False
    """The first poll, or more changes than the journal keeps: anything may have changed."""


class DocumentStore:
    """All documents of a server. One object for life; the barrier decides when they can be read."""

    def __init__(self, database: Database, barrier: Barrier) -> None:
        self._database = database
        self._barrier = barrier
        self._scopes: dict[str, ScopedDocuments] = {}
        self._running: set[asyncio.Task[list[Any]]] = set()
        self._seen: int | None = None
        self._own: set[int] = set()
        """Revisions that this process made since the last poll."""
        self._found: list[Polled] = []
        """What was found in passing, for the next poll to tell."""
        self.on_commit: list[Callable[[], None]] = []
        """Called after each change to documents and before whoever asked for it is answered, to tell the others."""

    def scope(self, scope: str) -> "ScopedDocuments":
        """Return the documents of a scope; the same object each time."""
        try:
            return self._scopes[scope]
        except KeyError:
            documents = self._scopes[scope] = ScopedDocuments(scope, self._database, self._barrier, self.commit)
            return documents

    def cache_uses(self) -> tuple[int, int]:
        """Return how many look-ups by name were answered by the caches, and how many were not."""
        caches = [cache for documents in self._scopes.values() for cache in documents.caches()]
        return sum(cache.hits for cache in caches), sum(cache.misses for cache in caches)

    async def poll(self, read: Read | None = None) -> Polled:
        """Drop what other processes changed since the last poll. One read of one row when nothing did.

        `read` replaces the database's own.
        """
        polled = await self._catch_up(read or self._database.read)
        found, self._found = self._found, []
        return Polled(
            polled.revision,
            tuple(place for each in (*found, polled) for place in each.changed),
            tuple(place for each in (*found, polled) for place in each.elsewhere),
            everything=any(each.everything for each in (*found, polled)),
        )

    async def _catch_up(self, read: Read) -> Polled:
        seen = self._seen
        newest, changed = await read(
            lambda at: (rows.current_revision(at), None) if seen is None else rows.changes_since(at, seen)
        )
        own, self._own = self._own, {revision for revision in self._own if revision > newest}
        self._seen = max(newest, self._seen or 0)
        if changed is None:
            for documents in self._scopes.values():
                documents.outdated(newest)
            return Polled(newest, everything=True)
        for revision, place in changed:
            if place.scope in self._scopes:
                self._scopes[place.scope].changed(place, revision)
        return Polled(
            newest,
            tuple(place for _, place in changed),
            tuple(place for revision, place in changed if revision not in own),
        )

    def forget(self) -> None:
        """Drop everything decoded; called when the barrier is sealed."""
        for documents in self._scopes.values():
            documents.forget()

    async def commit(self, steps: Sequence[Step]) -> list[Any]:
        """Carry out steps atomically; returns what each one answers. Raises DocumentMoved or DuplicateRow.

        The cache follows the commit even when the caller is cancelled while it waits.
        """
        task = asyncio.ensure_future(self._commit(steps))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _commit(self, steps: Sequence[Step]) -> list[Any]:
        def work(connection: Connection) -> tuple[int, list[Any]]:
            touches_documents = any(step.place is not None for step in steps)
            revision = rows.begin_change(connection) if touches_documents else 0
            results = [step.perform(connection, revision) for step in steps]
            if touches_documents:
                touched = (step.place for step, result in zip(steps, results, strict=True) if result)
                rows.journal(connection, revision, (place for place in touched if place is not None))
            return revision, results

        try:
            revision, results = await self._database.write(work)
        except DocumentMoved:
            # It may have been another process: whoever reads again must see what is there now.
            self._found.append(await self._catch_up(self._database.read))
            raise
        answers = [step.committed(result, revision) for step, result in zip(steps, results, strict=True)]
        if revision:
            self._committed(revision)
        return answers

    def _committed(self, revision: int) -> None:
        if self._seen is not None:
            self._own.add(revision)
        for tell in self.on_commit:
            tell()


class ScopedDocuments:
    """`Documents` of the kit."""

    def __init__(self, scope: str, database: Database, barrier: Barrier, commit: Commit) -> None:
        self._scope = scope
        self._database = database
        self._barrier = barrier
        self._commit = commit
        self._collections: dict[str, SealedCollection[Any]] = {}

    def collection(self, kind: str, model: type[M]) -> SealedCollection[M]:
        """Return the collection of a kind; the same object each time."""
        known = self._collections.get(kind)
        if known is None:
            known = SealedCollection(self._scope, kind, model, self._database, self._barrier, self._commit)
            self._collections[kind] = known
        if known.model is not model:
            raise TypeError(f"{kind} holds {known.model.__name__}, not {model.__name__}")
        return known

    def caches(self) -> list[DocumentCache[Any]]:
        """Return the caches of every kind."""
        return [collection.cache for collection in self._collections.values()]

    def change(self) -> "DocumentChange":
        """Begin a set of writes."""
        return DocumentChange(self._commit)

    async def erase(self) -> None:
        """Remove every document of the scope, whatever its kind."""
        await self._commit([_Erase(whole_scope(self._scope), self)])

    def changed(self, place: Place, revision: int) -> None:
        """Follow a change that may be another process's."""
        if place == whole_scope(self._scope):
            self.outdated(revision)
        elif place.kind in self._collections:
            self._collections[place.kind].cache.changed_elsewhere(place.name, revision)

    def outdated(self, revision: int) -> None:
        """Drop what was read before a revision."""
        for collection in self._collections.values():
            collection.cache.outdated(revision)

    def forget(self) -> None:
        """Drop everything decoded."""
        for collection in self._collections.values():
            collection.cache.clear()


class DocumentChange:
    """`Change` of the kit. Values are sealed when they are added; nothing is written before `commit`."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._steps: list[Step] = []
        self._committed = False

    def put(self, collection: Collection[M], name: str, value: M, *, expected: int | None = None) -> None:
        """Add a document to be stored."""
        self._steps.append(_ours(collection).put_step(name, value, expected))

    def delete(self, collection: Collection[M], name: str, *, expected: int | None = None) -> None:
        """Add a document to be removed."""
        self._steps.append(_ours(collection).delete_step(name, expected))

    def insert(self, table: Table, row: Mapping[str, Any]) -> None:
        """Add a row to be inserted."""
        statement = insert(table).values(dict(row))
        self.run(lambda connection: connection.execute(statement))

    def run(self, work: Callable[[Connection], object]) -> None:
        """Add work within the same transaction."""
        self._steps.append(_Run(work))

    async def commit(self) -> None:
        """Carry out everything in the order added, atomically and durably. Once only."""
        if self._committed:
            raise RuntimeError("a change can be committed once")
        self._committed = True
        if self._steps:
            await self._commit(self._steps)


@dataclass(frozen=True, slots=True)
class _Run:
    work: Callable[[Connection], object]
    place: Place | None = None

    def perform(self, connection: Connection, _revision: int) -> None:
        self.work(connection)

    def committed(self, _result: object, _revision: int) -> None:
        """Nothing to follow: only documents are cached."""


@dataclass(frozen=True, slots=True)
class _Erase:
    place: Place
    documents: ScopedDocuments

    def perform(self, connection: Connection, _revision: int) -> bool:
        rows.remove_scope(connection, self.place.scope)
        return True

    def committed(self, _result: object, revision: int) -> None:
        self.documents.outdated(revision)


def _ours(collection: Collection[M]) -> SealedCollection[M]:
    if not isinstance(collection, SealedCollection):
        raise TypeError("a change writes only to collections of the store it came from")
    return collection
