"""Opening one connection to PostgreSQL, and the promises that every connection of ours keeps."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from chancery.kit.errors import BadInput
from chancery.storage.postgres_url import Target

if TYPE_CHECKING:
    from ssl import SSLContext

_log = logging.getLogger(__name__)

_OLDEST: Final = 13
_CONNECT_TIMEOUT: Final = 5.0
_GRACE: Final = 5.0
"""Seconds that the server has to cancel a statement by itself before the connection is given up for dead."""


@dataclass(frozen=True, slots=True)
class Connector:
    """Makes connections that are alike. `tls` None: without TLS."""

    target: Target
    tls: "SSLContext | None"
    statement_timeout: float
    """Seconds after which the server gives up a statement."""

    async def connect(self) -> asyncpg.Connection:
        """Open a connection to a server that can be written to. Raises asyncpg's errors and OSError."""
        milliseconds = int(self.statement_timeout * 1000)
        connection: asyncpg.Connection = await asyncpg.connect(
            host=list(self.target.hosts),
            port=list(self.target.ports),
            user=self.target.user,
            password=self.target.password,
            database=self.target.database,
            ssl=self.tls if self.tls is not None else False,
            target_session_attrs="read-write",
            timeout=_CONNECT_TIMEOUT,
            command_timeout=self.statement_timeout + _GRACE,
            server_settings={
                "application_name": "chancery",
                "timezone": "UTC",
                "statement_timeout": str(milliseconds),
                "lock_timeout": str(milliseconds),
                "idle_in_transaction_session_timeout": str(2 * milliseconds),
            },
        )
        try:
            await _demand_durability(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


async def examine(connection: asyncpg.Connection) -> None:
    """Look at a server before it is trusted with anything. Raises BadInput when it cannot serve."""
    version = connection.get_server_version().major
    if version < _OLDEST:
        raise BadInput.of("storage.url", f"PostgreSQL {version} is too old; {_OLDEST} or newer is needed")
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise BadInput.of("storage.url", f"the database's encoding is {encoding}; create it with ENCODING 'UTF8'")
    if await connection.fetchval("SHOW fsync") == "off":
        _log.warning("the database server runs with fsync=off: a crash of its machine loses what was acknowledged")


async def part(connection: asyncpg.Connection | None) -> None:
    """End a connection in an orderly way if that is possible soon, otherwise at once."""
    if connection is None or connection.is_closed():
        return
    try:
        await connection.close(timeout=1)
    except (OSError, TimeoutError, asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        connection.terminate()
        if isinstance(error, asyncio.CancelledError):
            raise


async def _demand_durability(connection: asyncpg.Connection) -> None:
    """An acknowledged commit is on the disk, whatever the server's default is; stricter settings stay as they are."""
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        await connection.execute("SET synchronous_commit = on")
