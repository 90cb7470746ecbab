"""Group commit on PostgreSQL: rows that arrive while a statement is on its way share the next one.

One connection, one statement at a time, each a transaction of its own: a row's caller is answered when, and only when,
the commit was. A statement that the server refuses is cut in half until the guilty row is alone. A connection that is
lost in mid-statement leaves open whether its rows are there; they are looked for before they are sent again, so
that nothing is acknowledged without being durable, and nothing is stored or refused twice.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import asyncpg

from chancery.kit.errors import Unavailable
from chancery.storage.postgres_connection import part
from chancery.storage.postgres_errors import Failure, judge, outcome_unknown, translated
from chancery.storage.postgres_plan import AppendPlan, Values, columns_of

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


@dataclass(slots=True, eq=False)
class _Row:
    """One row on its way."""

    values: Values
    future: "asyncio.Future[None]"
    deadline: float
    uncertain: bool = False
    """It was sent on a connection that was lost: it may be there."""
    settled: bool = False

    def settle(self, error: Exception | None = None) -> None:
        """Answer the caller, unless it stopped waiting."""
        self.settled = True
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Appender:
    """Owns one connection, opened when it is first needed and again after each loss."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        *,
        batch_limit: int,
        queue_limit: int,
        patience: float,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        """`patience`: for how many seconds rows wait for a server that is away. `on_batch` is told of each commit."""
        self._on_batch = on_batch
        self._connect = connect
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._patience = patience
        self._waiting: dict[AppendPlan, list[_Row]] = {}
        self._queued = 0
        self._draining: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None

    def submit(self, plan: AppendPlan, values: Values) -> "asyncio.Future[None]":
        """Accept a row; the future ends when it is durable. Raises Unavailable when hopelessly behind."""
        if self._queued >= self._queue_limit:
            raise Unavailable("the database is too far behind with writing; try again", retry_after=1)
        loop = asyncio.get_running_loop()
        row = _Row(values, loop.create_future(), time.monotonic() + self._patience)
        self._waiting.setdefault(plan, []).append(row)
        self._queued += 1
        if self._draining is None:
            self._draining = loop.create_task(self._drain())
        return row.future

    async def close(self) -> None:
        """Finish what was accepted, then disconnect. Nothing may be submitted after this."""
        if self._draining is not None:
            await asyncio.wait([self._draining])
        connection, self._connection = self._connection, None
        await part(connection)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                plan, rows = self._next_batch()
                started = time.perf_counter()
                try:
                    await self._store(plan, rows)
                    if self._on_batch is not None:
                        self._on_batch(len(rows), time.perf_counter() - started)
                except BaseException as error:  # whatever it is, these callers must hear of it
                    for row in rows:
                        row.settle(translated(error))
                    raise
                finally:
                    self._queued -= len(rows)
        finally:
            self._draining = None

    def _next_batch(self) -> tuple[AppendPlan, list[_Row]]:
        plan, rows = next(iter(self._waiting.items()))
        del self._waiting[plan]
        if len(rows) > self._batch_limit:
            self._waiting[plan] = rows[self._batch_limit :]  # behind the rows of other plans
        return plan, rows[: self._batch_limit]

    async def _store(self, plan: AppendPlan, rows: list[_Row]) -> None:
        """Bring rows to an end; returns when every one of them was answered."""
        pause = _FIRST_PAUSE
        while rows:
            sent = False
            try:
                connection = await self._connected()
                sent = True
                await self._send(connection, plan, rows)
                return
            except Exception as error:  # noqa: BLE001  # judged here, delivered to its callers
                failure = judge(error)
                rows = [row for row in rows if not row.settled]
                if sent and failure is Failure.STATEMENT and len(rows) > 1:
                    middle = len(rows) // 2
                    await self._store(plan, rows[:middle])
                    await self._store(plan, rows[middle:])
                    return
                if sent and failure is Failure.LOST:
                    self._disconnect()
                    for row in rows:
                        row.uncertain = True
                if failure is Failure.STATEMENT or (sent and failure is Failure.ENVIRONMENT):
                    for row in rows:
                        row.settle(translated(error))
                    return
                rows = _patient(rows, error)
            if rows:
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # spreads retries, guards nothing
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _send(self, connection: asyncpg.Connection, plan: AppendPlan, rows: list[_Row]) -> None:
        """Insert rows and answer their callers. Raises with none of the unanswered rows stored, or nobody knows."""
        rows = await _absent(connection, plan, rows)
        if not rows:
            return
        try:
            await connection.execute(plan.insert, *columns_of([row.values for row in rows]))
        except asyncpg.UniqueViolationError:
            # A row sent on a lost connection may have been committed only now: the insertion waits for such.
            remaining = await _absent(connection, plan, rows)
            if len(remaining) == len(rows):
                raise
            await self._send(connection, plan, remaining)
            return
        for row in rows:
            row.settle()

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _absent(connection: asyncpg.Connection, plan: AppendPlan, rows: list[_Row]) -> list[_Row]:
    """Answer the callers of uncertain rows that are there after all; return the other rows."""
    uncertain = [row for row in rows if row.uncertain]
    if not uncertain:
        return rows
    for (place,) in await connection.fetch(plan.present, *columns_of([row.values for row in uncertain])):
        uncertain[place - 1].settle()
    return [row for row in rows if not row.settled]


def _patient(rows: list[_Row], error: Exception) -> list[_Row]:
    """Give up the rows that waited long enough for a server that is away; return the others."""
    now = time.monotonic()
    for row in rows:
        if now >= row.deadline:
            row.settle(outcome_unknown() if row.uncertain else translated(error))
    return [row for row in rows if not row.settled]
