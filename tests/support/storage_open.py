"""Opens stores for tests: one context manager a backend, and a barrier that is open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import cache
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
    """Open the database that belongs to the directory; opening again gives the same data."""
    database = PostgresDatabase(await asyncio.to_thread(postgres_url_of, directory))
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def postgres_url_of(directory: Path) -> str:
    """Return the URL of the database that belongs to a directory: an empty one when the directory is new.

    A test has one directory, and tests of a process come one after another, so one database serves them all in turn.
    """
    server, mark = shared_server(), directory / "database"
    if not mark.is_file():
        mark.write_text(_emptied_database())
    return server.url(mark.read_text())


@cache
def _only_database() -> str:
    return shared_server().fresh_database()


def _emptied_database() -> str:
    """Empty tables are quicker than a new database with new tables: a tenth of the time."""
    shared_server().sql(_EMPTY, _only_database())
    return _only_database()


_EMPTY = """
DO $$ DECLARE name text; others bigint; BEGIN
    IF to_regclass('alembic_version') IS NULL THEN RETURN; END IF;
    SELECT count(*) INTO others FROM alembic_version WHERE version_num NOT LIKE 'host%';
    IF others > 0 THEN -- a test without these components would take it for the database of a newer release
        DROP SCHEMA public CASCADE;
        CREATE SCHEMA public;
        RETURN;
    END IF;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('TRUNCATE %I CASCADE', name);
    END LOOP;
    INSERT INTO revision VALUES (1, 0);
END $$
"""

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
