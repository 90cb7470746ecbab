"""`Database` on PostgreSQL: a pool for units of work, and one connection that gathers appended rows.

Units of work run as if one after another (SERIALIZABLE), as they do on SQLite; whoever loses a race is run again, so
work touches nothing but its connection. Reading work sees one snapshot. Every commit is on the server's disk before
its caller is answered.

A server that restarts is waited for, `patience` seconds long. What was never committed is done again; a transaction
whose COMMIT was sent and not answered is reported as unknown, never repeated. Appended rows can be recognized, so they
are looked for instead (see `postgres_append`).
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, NullPool, Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction, create_async_engine

from chancery.kit.errors import Unavailable
from chancery.storage.postgres_append import Appender
from chancery.storage.postgres_bell import PostgresBell
from chancery.storage.postgres_connection import Connector, examine, part
from chancery.storage.postgres_errors import Failure, is_driver_error, judge, outcome_unknown, translated
from chancery.storage.postgres_plan import AppendPlan, append_plan
from chancery.storage.postgres_url import parse_target

T = TypeVar("T")

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.5
_PEEK_TIMEOUT: Final = 2.0
_MIGRATION_TIMEOUT: Final = 3600.0
_MIGRATION_LOCK: Final = 0x43484E43
"""Key of the advisory lock that lets one process at a time migrate: `CHNC`."""


class _CommitLost(Exception):
    """The connection was lost after COMMIT was sent."""


@dataclass(frozen=True, slots=True)
class _Engines:
    """SQLAlchemy's views of the server: what differs is the isolation, and which connections are used."""

    reading: AsyncEngine
    writing: AsyncEngine
    peeking: AsyncEngine
    migrating: AsyncEngine
    """A connection a time, closed afterwards, and the lock of migrations with it."""

    @classmethod
    def over(cls, connector: Connector, quick: Connector, pool_size: int, patience: float) -> "_Engines":
        """Build them. Nothing is connected yet; `quick` makes the connection that peeks."""
        pooled = _engine(connector, pool_size=pool_size, max_overflow=0, pool_timeout=patience)
        return cls(
            reading=_snapshots(pooled),
            writing=pooled.execution_options(isolation_level="SERIALIZABLE"),
            peeking=_snapshots(_engine(quick, pool_size=1, max_overflow=0, pool_timeout=patience)),
            migrating=_engine(replace(connector, statement_timeout=_MIGRATION_TIMEOUT), poolclass=NullPool),
        )

    async def dispose(self) -> None:
        """Close every connection."""
        for engine in (self.writing, self.peeking):
            await engine.dispose()


class PostgresDatabase:
    """One database of a server. `url` is libpq's; see `postgres_url`."""

    storage_type = "postgresql"

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        statement_timeout: float = 30.0,
        patience: float = 5.0,
        batch_limit: int = 500,
        queue_limit: int = 20_000,
    ) -> None:
        """Raises BadInput for a URL that cannot be one. `patience`: how long calls wait for a server that is away."""
        self._target = parse_target(url)
        self._pool_size = pool_size
        self._statement_timeout = statement_timeout
        self._patience = patience
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._plans: dict[tuple[Table, tuple[str, ...]], AppendPlan | None] = {}
        self._accepted: set[asyncio.Task[Any]] = set()
        self._losers = asyncio.Lock()
        """Work that lost a race waits here for its turn, so that losers do not make each other lose again."""
        self._engines: _Engines | None = None
        self.on_batch: Callable[[int, float], None] | None = None
        """Told of each group commit; set before `open`."""
        self._appender: Appender | None = None
        self.bell: PostgresBell | None = None
        """Rings between processes; None before `open`."""

    async def open(self) -> None:
        """Connect, and look whether this is a server that can keep things.

        Raises Unavailable when it cannot be reached, BadInput when it is not fit.
        """
        tls = await asyncio.to_thread(self._target.tls_context)
        connector = Connector(self._target, tls, self._statement_timeout)
        await self._first_contact(connector)
        self._engines = _Engines.over(
            connector, replace(connector, statement_timeout=_PEEK_TIMEOUT), self._pool_size, self._patience
        )
        self._appender = Appender(
            connector.connect,
            batch_limit=self._batch_limit,
            queue_limit=self._queue_limit,
            patience=self._patience,
            on_batch=self.on_batch,
        )
        self.bell = PostgresBell(connector.connect)

    async def close(self) -> None:
        """Finish everything accepted so far, then disconnect. May be called twice."""
        engines, self._engines = self._engines, None
        appender, self._appender = self._appender, None
        if self._accepted:
            await asyncio.wait(self._accepted)
        if appender is not None:
            await appender.close()
        if self.bell is not None:
            await self.bell.close()
        if engines is not None:
            await engines.dispose()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run read-only work on a consistent snapshot. Raises Unavailable."""
        return await self._accept(self._persist(self._open_engines().reading, work))

    async def peek(self, work: Callable[[Connection], T]) -> T:
        """Read once, past everything that queues, and within seconds or not at all. Raises Unavailable."""
        return await self._accept(_once(self._open_engines().peeking, work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction; returns when it is durable.

        Raises what the work raises, DuplicateRow for a violated unique constraint, Unavailable when the server is away
        or the outcome cannot be known. A caller that is cancelled does not undo the work.
        """
        return await self._accept(self._persist(self._open_engines().writing, work))

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction while no other process runs such work. Raises as `write` does."""
        return await self._accept(_once(self._open_engines().migrating, work, locked=True))

    async def append(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert one row durably, in one statement with whatever arrives meanwhile. Raises as `write` does."""
        key = (table, tuple(row))
        try:
            plan = self._plans[key]
        except KeyError:
            plan = self._plans[key] = append_plan(table, key[1], self._open_engines().writing.dialect)
        if plan is None:
            await self.write(lambda connection: connection.execute(insert(table).values(dict(row))))
            return
        if self._appender is None:
            raise Unavailable("the database is not open")
        await self._appender.submit(plan, plan.values(row))

    def _open_engines(self) -> _Engines:
        if self._engines is None:
            raise Unavailable("the database is not open")
        return self._engines

    async def _accept(self, accepted: Coroutine[Any, Any, T]) -> T:
        """Bring work to its end even if the caller goes away: a half-spoken protocol is of no use to anybody."""
        task = asyncio.get_running_loop().create_task(accepted)
        self._accepted.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._accepted.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has it too, unless they went away

    async def _persist(self, engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
        """Run work until it succeeds, fails for a reason of its own, or the server was away for too long."""
        deadline, pause, lost_a_race = time.monotonic() + self._patience, _FIRST_PAUSE, False
        while True:
            try:
                async with self._losers if lost_a_race else nullcontext():
                    return await _attempt(engine, work)
            except _CommitLost:
                raise outcome_unknown() from None
            except Exception as error:
                if not _came_from_the_server(error):
                    raise
                failure = judge(error)
                lost_a_race = failure is Failure.RACE
                if failure not in {Failure.RACE, Failure.LOST} or time.monotonic() > deadline:
                    raise translated(error) from None
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # spreads retries, guards nothing
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _first_contact(self, connector: Connector) -> None:
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            connection = None
            try:
                connection = await connector.connect()
                await examine(connection)
                return
            except Exception as error:
                if not _came_from_the_server(error):
                    raise
                if judge(error) is not Failure.LOST or time.monotonic() > deadline:
                    _log.debug("no connection: %s", type(error).__name__)
                    raise translated(error) from None
            finally:
                await part(connection)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _engine(connector: Connector, **settings: Any) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://", async_creator=connector.connect, hide_parameters=True, **settings
    )


def _snapshots(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


async def _once(engine: AsyncEngine, work: Callable[[Connection], T], *, locked: bool = False) -> T:
    """Run work once, in the words of the kit; `locked`: while no other process runs work that is."""
    try:
        return await _attempt(engine, work, locked)
    except _CommitLost:
        raise outcome_unknown() from None
    except Exception as error:
        if not _came_from_the_server(error):
            raise
        raise translated(error) from None


async def _attempt(engine: AsyncEngine, work: Callable[[Connection], T], locked: bool = False) -> T:
    """Run work in a transaction. Raises _CommitLost when nobody knows whether it happened; else it did not."""
    async with engine.connect() as connection:
        try:
            if locked:
                await _lock_migrations(connection)
            transaction = await connection.begin()
            result = await connection.run_sync(work)
            if not transaction.is_active:
                raise RuntimeError("a unit of work must not end the transaction it runs in")
            await _commit(transaction)
        except Exception as error:
            if isinstance(error, _CommitLost) or (_came_from_the_server(error) and judge(error) is Failure.LOST):
                await connection.invalidate()
            raise
        return result


async def _commit(transaction: AsyncTransaction) -> None:
    try:
        await transaction.commit()
    except Exception as error:
        if _came_from_the_server(error) and judge(error) is Failure.LOST:
            raise _CommitLost from error
        raise


async def _lock_migrations(connection: AsyncConnection) -> None:
    """Wait until no other process migrates; before the transaction, so that it sees what the other one did."""
    await connection.execute(select(func.pg_advisory_lock(_MIGRATION_LOCK)))
    await connection.commit()


def _came_from_the_server(error: BaseException) -> bool:
    """Tell whether an error is about the way to the database, and not the work's own."""
    return is_driver_error(error) or isinstance(error, (OSError, TimeoutError))
