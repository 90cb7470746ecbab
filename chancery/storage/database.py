"""Chooses the implementation of `Database` that a URL asks for."""

from typing import Protocol

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from chancery.kit.errors import BadInput
from chancery.kit.storage import Database


class HostDatabase(Database, Protocol):
    """A database as the host holds it: opened once before anything else, closed once after everything else."""

    storage_type: str
    """What `sys/seal-status` calls it."""

    async def open(self) -> None:
        """Connect; creates an embedded database that does not exist. Raises Unavailable or Corrupted."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then disconnect. Later calls of anything raise Unavailable."""
        ...


def database_at(url: str) -> HostDatabase:
    """Return the database for `storage.url`, not opened yet. Raises BadInput for a URL that cannot be one."""
    from chancery.storage.sqlite import SqliteDatabase

    try:
        scheme = make_url(url).get_backend_name()
    except ArgumentError:
        raise BadInput.of("storage.url", "expected a URL such as sqlite:////var/lib/chancery/chancery.db") from None
    if scheme != "sqlite":
        raise BadInput.of("storage.url", f'no storage of type "{scheme}"; use sqlite:////path/to/file.db')
    return SqliteDatabase(url)
