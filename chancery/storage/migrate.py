"""Brings a database to the schema of this release. Every component is an Alembic branch with a directory of its own.

Migrating is one unit of work: two processes that start together take turns, and a crash leaves the old schema.
Importing Alembic costs a tenth of a second and more, so a database that is up to date is recognised without it.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from chancery.kit.errors import ChanceryError
from chancery.kit.storage import Database, Schema

_log = logging.getLogger(__name__)

_VERSIONS = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_ENVIRONMENT = Path(__file__).parent / "migrations"


class SchemaTooNew(ChanceryError):
    """The database was written by a newer release, or by one with more extensions. Nothing was changed."""


async def migrate(database: Database, schemas: Sequence[Schema]) -> bool:
    """Bring the database up to date; False when it already was. Raises SchemaTooNew."""
    if await database.read(lambda connection: is_current(connection, schemas)):
        return False
    await database.write(lambda connection: upgrade(connection, schemas))
    return True


def is_current(connection: Connection, schemas: Sequence[Schema]) -> bool:
    """Tell whether the database has exactly the newest revision of every component."""
    return _present(connection) == {head for schema in schemas for head in schema.heads}


def upgrade(connection: Connection, schemas: Sequence[Schema]) -> None:
    """Apply what is missing, within the caller's transaction. Raises SchemaTooNew."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option(
        "version_locations", os.pathsep.join(str(schema.migrations) for schema in schemas).replace("%", "%%")
    )
    present = _present(connection)
    unknown = present - {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if unknown:
        raise SchemaTooNew(
            f"the database has schema revisions that this installation does not know ({', '.join(sorted(unknown))}): "
            "it was written by a newer release or with an extension that is not installed; install that, or restore "
            "a backup made before the upgrade"
        )
    command.upgrade(config, "heads")
    _log.info("migrated the database from %s to %s", sorted(present) or "nothing", sorted(_present(connection)))


def _present(connection: Connection) -> set[str]:
    if not inspect(connection).has_table(_VERSIONS.name):
        return set()
    return set(connection.scalars(select(_VERSIONS.c.version_num)))
