"""A bell between processes on one PostgreSQL: whoever changed documents rings, and the others look at once.

Only a shortcut. A ring may be lost with its connection, and some relatives of PostgreSQL have no NOTIFY: whoever relies
on changes being noticed looks by itself from time to time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from chancery.storage.postgres_connection import part
from chancery.storage.postgres_errors import Failure, is_driver_error, judge

_log = logging.getLogger(__name__)

_CHANNEL: Final = "chancery_documents"
_PAUSE: Final = 1.0
"""Seconds between attempts to connect."""


class PostgresBell:
    """`Bell` on a connection of its own."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
        self._connect = connect
        self._heard: Callable[[], None] | None = None
        self._rung = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Tell the other processes soon that documents changed; rings in the meantime become one."""
        self._rung.set()

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` whenever another process rings, from now on until `close`."""
        self._heard = heard
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop listening and disconnect."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _run(self) -> None:
        """Hold the connection, and open it anew whenever it is lost."""
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await self._connect()
                await connection.add_listener(_CHANNEL, self._notified)
                self._call()  # whatever rang while nobody listened
                await self._pass_on(connection)
            except (OSError, TimeoutError) as error:
                _log.debug("the connection for notifications is away: %s", type(error).__name__)
            except Exception as error:
                if not is_driver_error(error):
                    raise
                if judge(error) is not Failure.LOST:
                    _log.warning("the database server takes no notifications; changes are found by polling instead")
            finally:
                await part(connection)
            await asyncio.sleep(_PAUSE)

    async def _pass_on(self, connection: asyncpg.Connection) -> None:
        """Turn rings into notifications. Raises when the connection is lost."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            await connection.execute(f"NOTIFY {_CHANNEL}")

    def _notified(self, connection: asyncpg.Connection, sender: int, _channel: str, _payload: str) -> None:
        if sender != connection.get_server_pid():
            self._call()

    def _call(self) -> None:
        if self._heard is not None:
            self._heard()
