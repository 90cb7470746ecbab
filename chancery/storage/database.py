"""Chooses the implementation of `Database` that a URL asks for."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from chancery.kit.errors import BadInput
from chancery.kit.storage import Database

T = TypeVar("T")

_POSTGRESQL = ("postgresql", "postgres")


class Bell(Protocol):
    """Wakes the other processes on a database when documents changed. A shortcut: rings may be lost."""

    def ring(self) -> None:
        """Tell the others, soon; rings in the meantime become one."""
        ...

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` on the event loop whenever another process rings, until the database is closed."""
        ...


class HostDatabase(Database, Protocol):
    """A database as the host holds it: opened once before anything else, closed once after everything else."""

    storage_type: str
    """What `sys/seal-status` calls it."""
    on_batch: Callable[[int, float], None] | None
    """Told of each group commit: how many writes shared it, and how many seconds it took. Set before `open`."""

    @property
    def bell(self) -> Bell | None:
        """Return what rings between processes, once open; None where there is no such thing."""
        ...

    async def open(self) -> None:
        """Connect; creates an embedded database that does not exist.

        Raises Unavailable or Corrupted, and BadInput when it is not fit.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted, then disconnect. Later calls of anything raise Unavailable."""
        ...

    async def peek(self, work: Callable[[Connection], T]) -> T:
        """Read as `read` does, but past everything that queues, and within seconds or not at all."""
        ...

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction while no other process on this database runs such work."""
        ...


def database_at(url: str, *, pool_size: int = 8, statement_timeout: float = 30.0) -> HostDatabase:
    """Return the database for `storage.url`, not opened yet. Raises BadInput for a URL that cannot be one.

    Both options are PostgreSQL's: connections for units of work, and seconds until a statement is given up.
    """
    scheme = url.partition(":")[0]
    if scheme in _POSTGRESQL:
        try:
            from chancery.storage.postgres import PostgresDatabase
        except ModuleNotFoundError as error:
            raise BadInput.of(
                "storage.url",
                f"PostgreSQL needs packages that are not installed ({error.name}): pip install 'chancery-ca[postgres]'",
            ) from None
        return PostgresDatabase(url, pool_size=pool_size, statement_timeout=statement_timeout)
    if scheme != "sqlite":
        raise BadInput.of("storage.url", "expected sqlite:////path/to/file.db or postgresql://user@host/database")
    from chancery.storage.sqlite import SqliteDatabase

    return SqliteDatabase(url)
