"""Opens stores for tests: one context manager a backend, and a barrier that is open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    select,
)

from chancery.kit.storage import Database
from chancery.seal.barrier import KeyringBarrier
from chancery.seal.keyring import Keyring
from chancery.storage.database import HostDatabase
from chancery.storage.migrate import migrate
from chancery.storage.postgres import PostgresDatabase
from chancery.storage.schema import HOST
from chancery.storage.sqlite import SqliteDatabase
from tests.support.storage_postgres import shared_server

NOW = datetime(2026, 11, 22, tzinfo=UTC)

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("number", BigInteger),
    Column("label", Text, unique=True),
    Column("blob", LargeBinary),
    Column("flag", Boolean),
    Column("seen", DateTime),
    Column("extra", JSON),
    Column("must", Text, nullable=False, server_default="given by the server"),
)
PARTS = Table(
    "parts",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("thing", String(40), ForeignKey("things.id")),
    Column("weight", BigInteger, default=lambda: 7),
)

OpenBackend = Callable[[Path], AbstractAsyncContextManager[HostDatabase]]


@asynccontextmanager
async def sqlite_backend(directory: Path) -> AsyncIterator[HostDatabase]:
    """Open a file in the directory; opening again gives the same data."""
    database = SqliteDatabase(directory / "store.db", busy_timeout=10)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def postgres_backend(directory: Path) -> AsyncIterator[HostDatabase]:
    """Open a database of the session's server that belongs to the directory; opening again gives the same data."""
    database = PostgresDatabase(await asyncio.to_thread(postgres_url_of, directory))
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def postgres_url_of(directory: Path) -> str:
    """Return the URL of the database that belongs to a directory, made when there is none."""
    server, name = shared_server(), directory / "database"
    if not name.is_file():
        name.write_text(server.fresh_database())
    return server.url(name.read_text())


BACKENDS: dict[str, OpenBackend] = {"sqlite": sqlite_backend, "postgresql": postgres_backend}


async def prepare(database: HostDatabase) -> None:
    """Create the host's tables and the tests' own."""
    await migrate(database, [HOST])
    await database.write(METADATA.create_all)


async def count(database: Database, table: Table) -> int:
    """Return the number of rows."""
    return await database.read(lambda at: at.scalars(select(func.count()).select_from(table)).one())


def open_barrier() -> KeyringBarrier:
    """Return a barrier with a keyring of its own, unsealed."""
    barrier = KeyringBarrier()
    barrier.unlock(Keyring.generate(NOW))
    return barrier
