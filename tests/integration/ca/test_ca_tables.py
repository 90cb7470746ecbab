"""The migrations make the tables that the code describes."""

from pathlib import Path

from sqlalchemy import Connection, text

from ca.tables import METADATA, SCHEMA
from chancery.storage.migrate import migrate
from chancery.storage.schema import HOST
from chancery.storage.sqlite import SqliteDatabase


def statements(connection: Connection) -> list[str]:
    found = connection.scalars(text("SELECT sql FROM sqlite_schema WHERE tbl_name LIKE 'ca_%' AND sql IS NOT NULL"))
    return sorted(" ".join(statement.split()) for statement in found)


async def test_migrations_and_models_agree(tmp_path: Path) -> None:
    results = []
    for name in ("migrated", "modelled"):
        database = SqliteDatabase(tmp_path / f"{name}.db")
        await database.open()
        if name == "migrated":
            await migrate(database, [HOST, SCHEMA])
        else:
            await database.write(METADATA.create_all)
        results.append(await database.read(statements))
        await database.close()
    assert len(results[0]) == 4
    assert results[0] == results[1]
