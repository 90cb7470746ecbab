"""Brings a database to the schema of this release. Every component is an Alembic branch with a directory of its own.

Migrating is one unit of work: two processes that start together take turns, and a crash leaves the old schema.
Importing Alembic costs a tenth of a second and more, so a database that is up to date is recognised without it.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from chancery.kit.errors import ChanceryError
from chancery.kit.storage import Schema
from chancery.storage.database import HostDatabase

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_log = logging.getLogger(__name__)

_VERSIONS = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_ENVIRONMENT = Path(__file__).parent / "migrations"


class SchemaTooNew(ChanceryError):
    """The database was written by a newer release, or by one with more extensions. Nothing was changed."""


async def migrate(database: HostDatabase, schemas: Sequence[Schema]) -> bool:
    """Bring the database up to date; False when it already was. Raises SchemaTooNew."""
    if await database.read(lambda connection: is_current(connection, schemas)):
        return False
    scripts = await asyncio.to_thread(_scripts, schemas)
    await database.migrate(lambda connection: _upgrade(connection, scripts))
    return True


def is_current(connection: Connection, schemas: Sequence[Schema]) -> bool:
    """Tell whether the database has exactly the newest revision of every component."""
    return _present(connection) == {head for schema in schemas for head in schema.heads}


def _scripts(schemas: Sequence[Schema]) -> "ScriptDirectory":
    """Read every revision from the disk, so that applying them reads nothing."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option(
        "version_locations", os.pathsep.join(str(schema.migrations) for schema in schemas).replace("%", "%%")
    )
    scripts = ScriptDirectory.from_config(config)
    for _ in scripts.walk_revisions():
        pass
    return scripts


def _upgrade(connection: Connection, scripts: "ScriptDirectory") -> None:
    """Apply what is missing, within the caller's transaction. Raises SchemaTooNew."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    present = _present(connection)
    unknown = present - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise SchemaTooNew(
            f"the database has schema revisions that this installation does not know ({', '.join(sorted(unknown))}): "
            "it was written by a newer release or with an extension that is not installed; install that, or restore "
            "a backup made before the upgrade"
        )
    context = MigrationContext.configure(
        connection,
        opts={
            "transactional_ddl": True,
            # What `alembic upgrade heads` does, without the environment file that it reads first.
            "fn": lambda revision, _context: scripts._upgrade_revs("heads", revision),  # noqa: SLF001
        },
    )
    with Operations.context(context):
        context.run_migrations()
    _log.info("migrated the database from %s to %s", sorted(present) or "nothing", sorted(_present(connection)))


def _present(connection: Connection) -> set[str]:
    if not inspect(connection).has_table(_VERSIONS.name):
        return set()
    return set(connection.scalars(select(_VERSIONS.c.version_num)))
