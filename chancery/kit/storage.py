"""The storage ports. A unit of work is a plain function over a SQLAlchemy Connection, so that the same function runs
on SQLite's writer thread and on PostgreSQL.

Laws: whatever `write`, `append` or `Change.commit` acknowledged is durable. Work may be run again after a
serialization failure, so it touches nothing but its connection. No remote call happens inside work.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, MetaData, Table

from chancery.kit.errors import Conflict

T = TypeVar("T")
M = TypeVar("M", bound="Stored")


class DocumentMoved(Conflict):
    """Somebody changed or created the document first: read it again and decide anew."""


class DuplicateRow(Conflict):
    """A unique constraint refused the row."""


class Stored(BaseModel):
    """Base of everything kept as a document. Bytes travel as base64. Unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64", defer_build=True
    )


# The first model that pydantic builds makes it look for plugins on the disk: at import, not on the event loop.
Stored.model_rebuild()


@dataclass(frozen=True, slots=True)
class Document(Generic[M]):
    """A value with the version that compare-and-swap needs. The first version is 1."""

    name: str
    version: int
    value: M


ABSENT = 0
"""The version of a document that does not exist: `expected=ABSENT` creates, and refuses to overwrite."""


class Database(Protocol):
    """Tables. One implementation a dialect."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run read-only work on a consistent snapshot."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction and return when it is durable. Concurrent work shares commits."""
        ...

    async def append(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert one row, durably, together with other rows that arrive meanwhile. Raises DuplicateRow."""
        ...


class Collection(Protocol[M]):
    """All documents of one kind within a scope: sealed at rest, decoded once, cached in this process."""

    async def get(self, name: str) -> Document[M] | None:
        """Return the document or None. Served from the cache when warm."""
        ...

    async def put(self, name: str, value: M, *, expected: int | None = None) -> Document[M]:
        """Store durably. `expected` is the version read before (ABSENT: must not exist); None overwrites.

        Raises DocumentMoved when the version is another.
        """
        ...

    async def delete(self, name: str, *, expected: int | None = None) -> bool:
        """Remove durably; False when there was none. Raises DocumentMoved as `put` does."""
        ...

    async def names(self, *, prefix: str = "", after: str = "", limit: int | None = None) -> list[str]:
        """Return names in order, those greater than `after` only."""
        ...

    async def all(self) -> list[Document[M]]:
        """Return every document, in the order of names. For kinds that stay small."""
        ...


class Change(Protocol):
    """Several writes that happen together or not at all."""

    def put(self, collection: Collection[M], name: str, value: M, *, expected: int | None = None) -> None:
        """Add a document to be stored."""
        ...

    def delete(self, collection: Collection[M], name: str, *, expected: int | None = None) -> None:
        """Add a document to be removed; absent is fine unless `expected` says otherwise."""
        ...

    def insert(self, table: Table, row: Mapping[str, Any]) -> None:
        """Add a row to be inserted."""
        ...

    def run(self, work: Callable[[Connection], object]) -> None:
        """Add work within the same transaction."""
        ...

    async def commit(self) -> None:
        """Carry out everything atomically and durably. Raises DocumentMoved or DuplicateRow, with nothing done."""
        ...


class Documents(Protocol):
    """The documents of one scope: one mount, or one part of the system."""

    def collection(self, kind: str, model: type[M]) -> Collection[M]:
        """Return the collection of a kind. Calling twice with the same kind gives the same cache."""
        ...

    def change(self) -> Change:
        """Begin a set of writes."""
        ...

    async def erase(self) -> None:
        """Remove every document of the scope, whatever its kind."""
        ...


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one component, and where their Alembic migrations are.

    Each component is a branch of its own: `branch` labels it, and its first revision has no down_revision.
    """

    branch: str
    metadata: MetaData
    migrations: Path
    heads: Sequence[str]
    """Newest revision ids, so that a start on an up-to-date database need not load Alembic."""
