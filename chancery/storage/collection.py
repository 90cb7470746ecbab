"""One kind of documents within a scope: sealed for the database, decoded for the cache."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection

from chancery.kit.errors import Corrupted, Sealed
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, Document, Stored
from chancery.storage import document_rows as rows
from chancery.storage.document_cache import DocumentCache
from chancery.storage.document_rows import Place, SealedDocument

M = TypeVar("M", bound=Stored)


class Step(Protocol):
    """One write among those that happen together."""

    @property
    def place(self) -> Place | None:
        """The document written, None when the step is about something else."""
        ...

    def perform(self, connection: Connection, revision: int) -> Any:
        """Do it. What it returns is false when there was nothing to do."""
        ...

    def committed(self, result: Any, revision: int) -> Any:
        """Follow the commit, on the event loop; returns what the caller asked for."""
        ...


Commit = Callable[[Sequence[Step]], Awaitable[list[Any]]]


class SealedCollection(Generic[M]):
    """`Collection` of the kit. Made by the store, one for each kind of a scope."""

    def __init__(
        self, scope: str, kind: str, model: type[M], database: Database, barrier: Barrier, commit: Commit
    ) -> None:
        self.scope = scope
        self.kind = kind
        self.model = model
        self.cache: DocumentCache[M] = DocumentCache()
        self._database = database
        self._barrier = barrier
        self._commit = commit

    async def get(self, name: str) -> Document[M] | None:
        """Return the document or None; from the cache when warm. Raises Sealed and Corrupted."""
        document = self.cache.present.get(name)
        if document is not None:
            self.cache.hits += 1
            return document
        if name in self.cache.absent:
            return None
        return await self._load(name)

    async def put(self, name: str, value: M, *, expected: int | None = None) -> Document[M]:
        """Store durably. Raises DocumentMoved when the version is not the expected one."""
        (document,) = await self._commit([self.put_step(name, value, expected)])
        return document  # type: ignore[no-any-return]  # a step's result is known only to the step

    async def delete(self, name: str, *, expected: int | None = None) -> bool:
        """Remove durably; False when there was none. Raises DocumentMoved as `put` does."""
        (removed,) = await self._commit([self.delete_step(name, expected)])
        return bool(removed)

    async def names(self, *, prefix: str = "", after: str = "", limit: int | None = None) -> list[str]:
        """Return names in order, those greater than `after` only."""
        return await self._database.read(lambda at: rows.names(at, self.scope, self.kind, prefix, after, limit))

    async def all(self) -> list[Document[M]]:
        """Return every document, in the order of names; from the cache when warm."""
        known = self.cache.everything()
        if known is not None:
            return known
        self._refuse_while_sealed()
        revision, found = await self._database.read(lambda at: rows.load_all(at, self.scope, self.kind))
        documents = [self._opened(sealed) for sealed in found]
        self.cache.remember_all(documents, revision)
        return documents

    def put_step(self, name: str, value: M, expected: int | None) -> Step:
        """Return the write of one document, sealed already."""
        if not isinstance(value, self.model):
            raise TypeError(f"{self.kind} holds {self.model.__name__}, not {type(value).__name__}")
        place = Place(self.scope, self.kind, name)
        sealed = self._barrier.seal(value.model_dump_json().encode(), place.context())
        return _Put(place, self.cache, value, sealed, expected)

    def delete_step(self, name: str, expected: int | None) -> Step:
        """Return the removal of one document."""
        self._refuse_while_sealed()
        return _Delete(Place(self.scope, self.kind, name), self.cache, expected)

    async def _load(self, name: str) -> Document[M] | None:
        self._refuse_while_sealed()
        self.cache.misses += 1
        place = Place(self.scope, self.kind, name)
        revision, found = await self._database.read(lambda at: rows.load(at, place))
        document = None if found is None else self._opened(found)
        if not self._barrier.is_sealed:
            self.cache.remember(name, document, revision)
        return document

    def _opened(self, found: SealedDocument) -> Document[M]:
        plaintext = self._barrier.open(found.sealed, Place(self.scope, self.kind, found.name).context())
        try:
            value = self.model.model_validate_json(plaintext)
        except ValidationError:
            # The cause would quote the plaintext.
            raise Corrupted(f"the stored {self.kind} {found.name} does not have the form of this release") from None
        return Document(found.name, found.version, value)

    def _refuse_while_sealed(self) -> None:
        if self._barrier.is_sealed:
            raise Sealed


@dataclass(frozen=True, slots=True)
class _Put(Generic[M]):
    place: Place
    cache: DocumentCache[M]
    value: M
    sealed: bytes
    expected: int | None

    def perform(self, connection: Connection, revision: int) -> int:
        return rows.put(connection, revision, self.place, self.sealed, self.expected)

    def committed(self, version: int, revision: int) -> Document[M]:
        document = Document(self.place.name, version, self.value)
        self.cache.changed_here(document.name, document, revision)
        return document


@dataclass(frozen=True, slots=True)
class _Delete(Generic[M]):
    place: Place
    cache: DocumentCache[M]
    expected: int | None

    def perform(self, connection: Connection, _revision: int) -> bool:
        return rows.remove(connection, self.place, self.expected)

    def committed(self, removed: bool, revision: int) -> bool:
        self.cache.changed_here(self.place.name, None, revision)
        return removed
