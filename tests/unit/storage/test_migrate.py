"""Migrations: they make what the models say, once, and refuse what they do not know."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, Table, inspect

from chancery.kit.storage import Schema
from chancery.storage.migrate import SchemaTooNew, migrate
from chancery.storage.schema import HOST, METADATA
from chancery.storage.sqlite import SqliteDatabase

REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {before!r}
branch_labels = {labels!r}
depends_on = None


def upgrade() -> None:
    op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True))
    {last}
"""


def engine_schema(directory: Path, *heads: str, last: str = "") -> Schema:
    """Write a component with one table for each revision."""
    directory.mkdir(exist_ok=True)
    metadata = MetaData()
    before = None
    for head in heads:
        Table(f"t_{head}", metadata, Column("id", Integer, primary_key=True))
        labels = None if before else ("engine",)
        text = REVISION.format(
            revision=head, before=before, labels=labels, table=f"t_{head}", last=last if head == heads[-1] else ""
        )
        (directory / f"{head}.py").write_text(text)
        before = head
    return Schema("engine", metadata, directory, (heads[-1],))


async def tables(database: SqliteDatabase) -> set[str]:
    return await database.read(lambda at: set(inspect(at).get_table_names()))


async def test_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "t.db")
    await database.open()
    assert await migrate(database, [HOST]) is True
    assert await migrate(database, [HOST]) is False
    options = {"compare_type": True, "compare_server_default": True}
    difference = await database.write(
        lambda at: compare_metadata(MigrationContext.configure(at, opts=options), METADATA)
    )
    assert difference == []
    await database.close()


async def test_components_are_branches_that_grow_apart(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "t.db")
    await database.open()
    first = engine_schema(tmp_path / "engine 100%", "e1")
    await migrate(database, [HOST, first])
    second = engine_schema(tmp_path / "engine 100%", "e1", "e2")
    assert await migrate(database, [HOST, second]) is True
    assert {"t_e1", "t_e2", "documents"} <= await tables(database)
    await database.close()


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "t.db")
    await database.open()
    await migrate(database, [HOST, engine_schema(tmp_path / "new", "e1", "e2")])
    before = await tables(database)
    with pytest.raises(SchemaTooNew, match=r"\(e2\).*newer release"):
        await migrate(database, [HOST, engine_schema(tmp_path / "old", "e1")])
    with pytest.raises(SchemaTooNew, match="extension that is not installed"):
        await migrate(database, [HOST])
    assert await tables(database) == before
    await database.close()


async def test_a_failing_migration_leaves_the_old_schema(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "t.db")
    await database.open()
    with pytest.raises(LookupError, match="half way"):
        await migrate(database, [HOST, engine_schema(tmp_path / "e", "e1", "e2", last="raise LookupError('half way')")])
    assert await tables(database) == set()
    assert await migrate(database, [HOST, engine_schema(tmp_path / "e", "e1", "e2")]) is True
    await database.close()


async def test_processes_that_start_together_take_turns(tmp_path: Path) -> None:
    databases = [SqliteDatabase(tmp_path / "t.db") for _ in range(2)]
    await asyncio.gather(*(database.open() for database in databases))
    await asyncio.gather(*(migrate(database, [HOST]) for database in databases))
    assert "documents" in await tables(databases[0])
    for database in databases:
        await database.close()


UP_TO_DATE = """
import asyncio, sys
from chancery.storage.migrate import migrate
from chancery.storage.schema import HOST
from chancery.storage.sqlite import SqliteDatabase

async def main():
    database = SqliteDatabase(sys.argv[1])
    await database.open()
    assert not await migrate(database, [HOST])
    await database.close()

asyncio.run(main())
assert "alembic" not in sys.modules
"""


async def test_an_up_to_date_start_does_not_load_alembic(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "t.db")
    await database.open()
    await migrate(database, [HOST])
    await database.close()
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", UP_TO_DATE, str(tmp_path / "t.db")], check=True, timeout=30
    )
