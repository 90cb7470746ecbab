"""What SQLite's error codes mean here: one table, so that callers see only `chancery.kit.errors`.

Two kinds matter to the writer. An *environment failure* (disk full, file locked, I/O error) concerns every caller of
a batch. Anything else concerns the one statement that caused it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from chancery.kit.errors import ChanceryError, Corrupted, Unavailable
from chancery.kit.storage import DuplicateRow

_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "the database cannot grow: free space on its volume and try again",
    sqlite3.SQLITE_BUSY: "another process kept the database locked for too long; try again",
    sqlite3.SQLITE_LOCKED: "the database is locked; try again",
    sqlite3.SQLITE_READONLY: "the database is read-only: check its permissions and how its volume is mounted",
    sqlite3.SQLITE_IOERR: "the volume of the database reports an input/output error: check disk and free space",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened: check that it exists and its permissions",
    sqlite3.SQLITE_NOMEM: "the database ran out of memory; try again",
    sqlite3.SQLITE_PROTOCOL: "another process kept the database locked for too long; try again",
}
_CORRUPTED = {
    sqlite3.SQLITE_CORRUPT: "the database file is damaged: restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database: check storage.url",
}
_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}


def environment_failure(error: Exception) -> ChanceryError | None:
    """Return what to tell every caller when the failure lies outside any one statement, else None."""
    code = _code(error)
    if code is None:
        return None
    primary = code & 0xFF
    if primary in _UNAVAILABLE:
        return Unavailable(_UNAVAILABLE[primary])
    if primary in _CORRUPTED:
        return Corrupted(_CORRUPTED[primary])
    return None


def translated(error: Exception) -> Exception:
    """Return the error of the kit for one of SQLite's, or the error itself when it is a mistake in the program."""
    known: Exception | None = environment_failure(error)
    if known is None and _code(error) in _UNIQUE:
        known = DuplicateRow("a row with the same unique value already exists")
    if known is None:
        return error
    known.__cause__ = error
    return known


@contextmanager
def translation() -> Iterator[None]:
    """Raise the kit's errors for SQLite's."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        known = translated(error)
        if known is error:
            raise
        raise known from error


def _code(error: Exception) -> int | None:
    origin = error.orig if isinstance(error, DBAPIError) else error
    return getattr(origin, "sqlite_errorcode", None)
