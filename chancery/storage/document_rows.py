"""The SQL of documents: plain functions over a connection, the same for every dialect.

Every change locks the one row of `revision` before it looks at anything. So changes happen one after another, their
numbers follow the order of their commits, and a reader that has seen revision n has seen all that led to it.

Other processes learn what changed from the `changes` table. Tombstones in `documents` would tell the same, but live
for ever or break "the first version is 1"; the journal is cut to the newest `JOURNAL_LENGTH` revisions, and whoever
missed more than that drops everything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, true, update

from chancery.kit.errors import Corrupted
from chancery.kit.storage import ABSENT, DocumentMoved
from chancery.storage.schema import CHANGES, DOCUMENTS, REVISION

JOURNAL_LENGTH = 10_000
"""How many revisions another process may sleep through and still learn exactly what changed."""

_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document lives."""

    scope: str
    kind: str
    name: str

    def context(self) -> bytes:
        """Return what the barrier binds the document to. Lengths keep neighbouring parts apart."""
        parts = [part.encode() for part in (self.scope, self.kind, self.name)]
        return b"document" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def whole_scope(scope: str) -> Place:
    """Return the place that stands for everything in a scope."""
    return Place(scope, "", "")


@dataclass(frozen=True, slots=True)
class SealedDocument:
    """A document as it is stored."""

    name: str
    version: int
    sealed: bytes


def current_revision(connection: Connection) -> int:
    """Return the number of the newest change."""
    value: int | None = connection.scalar(select(REVISION.c.value).where(REVISION.c.id == 1))
    if value is None:
        raise Corrupted("the database has lost its revision counter: restore it from a backup")
    return value


def begin_change(connection: Connection) -> int:
    """Lock out other changes until the transaction ends; return the number of this one."""
    connection.execute(update(REVISION).where(REVISION.c.id == 1).values(value=REVISION.c.value + 1))
    return current_revision(connection)


def put(connection: Connection, revision: int, place: Place, sealed: bytes, expected: int | None) -> int:
    """Store a document and return its new version. Raises DocumentMoved."""
    version = _check_version(connection, place, expected) + 1
    if version == 1:
        row = {"scope": place.scope, "kind": place.kind, "name": place.name}
        connection.execute(insert(DOCUMENTS).values(**row, version=1, sealed=sealed, revision=revision))
    else:
        change = update(DOCUMENTS).where(_at(place)).values(version=version, sealed=sealed, revision=revision)
        connection.execute(change)
    return version


def remove(connection: Connection, place: Place, expected: int | None) -> bool:
    """Remove a document; False when there was none. Raises DocumentMoved."""
    if _check_version(connection, place, expected) == ABSENT:
        return False
    connection.execute(delete(DOCUMENTS).where(_at(place)))
    return True


def remove_scope(connection: Connection, scope: str) -> None:
    """Remove every document of a scope."""
    connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.scope == scope))


def journal(connection: Connection, revision: int, places: Iterable[Place]) -> None:
    """Note what a change touched, and forget what only a process that slept for long could ask for."""
    rows = [{"revision": revision, "scope": at.scope, "kind": at.kind, "name": at.name} for at in set(places)]
    if rows:
        connection.execute(insert(CHANGES), rows)
    connection.execute(delete(CHANGES).where(CHANGES.c.revision <= revision - JOURNAL_LENGTH))


def load(connection: Connection, place: Place) -> tuple[int, SealedDocument | None]:
    """Return the revision of the snapshot and the document in it."""
    columns = (REVISION.c.value, DOCUMENTS.c.version, DOCUMENTS.c.sealed)
    row = connection.execute(
        select(*columns).select_from(REVISION.join(DOCUMENTS, _at(place), isouter=True)).where(REVISION.c.id == 1)
    ).one()
    return row.value, None if row.version is None else SealedDocument(place.name, row.version, row.sealed)


def load_all(connection: Connection, scope: str, kind: str) -> tuple[int, list[SealedDocument]]:
    """Return the revision of the snapshot and every document of a kind, in the order of names."""
    columns = (DOCUMENTS.c.name, DOCUMENTS.c.version, DOCUMENTS.c.sealed)
    of_kind = and_(DOCUMENTS.c.scope == scope, DOCUMENTS.c.kind == kind)
    rows = connection.execute(select(*columns).where(of_kind).order_by(DOCUMENTS.c.name))
    return current_revision(connection), [SealedDocument(row.name, row.version, row.sealed) for row in rows]


def names(connection: Connection, scope: str, kind: str, prefix: str, after: str, limit: int | None) -> list[str]:
    """Return the names of a kind that have the prefix and come after `after`, in order."""
    wanted = select(DOCUMENTS.c.name).where(
        DOCUMENTS.c.scope == scope,
        DOCUMENTS.c.kind == kind,
        DOCUMENTS.c.name > after,
        and_(DOCUMENTS.c.name >= prefix, DOCUMENTS.c.name < prefix + _LAST_CHARACTER) if prefix else true(),
    )
    return list(connection.scalars(wanted.order_by(DOCUMENTS.c.name).limit(limit)))


def changes_since(connection: Connection, seen: int) -> tuple[int, Sequence[tuple[int, Place]] | None]:
    """Return the revision of the snapshot, and what changed after `seen`; None when the journal no longer knows."""
    newest = current_revision(connection)
    if newest == seen:
        return newest, ()
    if newest - seen > JOURNAL_LENGTH or newest < seen:
        return newest, None
    rows = connection.execute(select(CHANGES).where(CHANGES.c.revision > seen).order_by(CHANGES.c.revision))
    return newest, [(row.revision, Place(row.scope, row.kind, row.name)) for row in rows]


def _check_version(connection: Connection, place: Place, expected: int | None) -> int:
    found = connection.scalar(select(DOCUMENTS.c.version).where(_at(place))) or ABSENT
    if expected is not None and found != expected:
        state = "already exists" if expected == ABSENT else "was changed by somebody else"
        raise DocumentMoved(f"{place.kind} {place.name} {state}; read it again")
    return found


def _at(place: Place) -> ColumnElement[bool]:
    return and_(DOCUMENTS.c.scope == place.scope, DOCUMENTS.c.kind == place.kind, DOCUMENTS.c.name == place.name)
