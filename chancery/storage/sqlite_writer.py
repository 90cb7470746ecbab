"""The one thread that writes to a SQLite file, and its group commit.

Whatever arrives while a commit is on its way to the disk shares the next one. A caller is answered when, and only
when, its transaction is durable. A batch of rows for one table is a single statement in autocommit: one step of
SQLite, during which the interpreter lock is free from beginning to end.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

from sqlalchemy import Connection

from chancery.kit.errors import Unavailable
from chancery.storage.insert_plan import InsertPlan, Values, flattened
from chancery.storage.sqlite_errors import environment_failure, translated


class Append:
    """One row on its way to a table."""

    __slots__ = ("error", "future", "plan", "values")

    def __init__(self, future: "asyncio.Future[None]", plan: InsertPlan, values: Values) -> None:
        self.future = future
        self.plan = plan
        self.values = values
        self.error: Exception | None = None

    def deliver(self) -> None:
        """Answer the caller, unless it stopped waiting."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(self.error)


class Work:
    """One unit of work on its way through a transaction."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, future: "asyncio.Future[Any]", work: Callable[[Connection], Any]) -> None:
        self.future = future
        self.work = work
        self.result: Any = None
        self.error: Exception | None = None

    def deliver(self) -> None:
        """Answer the caller, unless it stopped waiting."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


Item = Append | Work

OnBatch = Callable[[int, float], None]
"""Told of each group commit: how many writes shared it, and how many seconds it took."""


class Writer:
    """Owns the writing connection from construction to `close`; everything else happens on its thread."""

    def __init__(
        self, connection: Connection, *, batch_limit: int, queue_limit: int, on_batch: OnBatch | None = None
    ) -> None:
        """`on_batch` is called on the writer's thread."""
        self._on_batch = on_batch
        self._connection = connection
        self._dbapi = _dbapi_connection(connection)
        self._cursor = self._dbapi.cursor()
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="chancery-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> None:
        """Hand over an item; it is delivered on the loop. Raises Unavailable when closed or hopelessly behind."""
        if self._closed:
            raise Unavailable("the database is closed")
        if self._queue.qsize() >= self._queue_limit:
            raise Unavailable("the database is too far behind with writing; try again", retry_after=1)
        self._queue.put(item)

    async def close(self) -> None:
        """Carry out what was submitted, then close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.shield(self._finished)

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._gather()
            if batch:
                started = perf_counter()
                self._carry_out(batch)
                self._on_loop(_deliver, batch)
                if self._on_batch is not None:
                    self._on_batch(len(batch), perf_counter() - started)
        try:
            self._cursor.close()
            self._connection.close()
        finally:
            self._on_loop(_finish, self._finished)

    def _gather(self) -> tuple[list[Item], bool]:
        """Wait for the first item, take what else is there; False with the last batch."""
        batch: list[Item] = []
        item = self._queue.get()
        try:
            while item is not None:
                batch.append(item)
                if len(batch) >= self._batch_limit:
                    return batch, True
                item = self._queue.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _on_loop(self, callback: Callable[[Any], None], argument: object) -> None:
        # A loop that was closed without closing the database has nobody left who waits for the answer.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, argument)

    def _carry_out(self, batch: list[Item]) -> None:
        rows: dict[InsertPlan, list[Append]] = {}
        works: list[Work] = []
        for item in batch:
            if isinstance(item, Append):
                rows.setdefault(item.plan, []).append(item)
            else:
                works.append(item)
        if not works and len(rows) == 1 and self._insert_in_autocommit(*next(iter(rows.items()))):
            return
        try:
            self._transact(rows, works)
        except BaseException as error:  # noqa: BLE001  # whatever it is, every caller must hear of it, and the thread live
            for item in batch:
                item.error = item.error or _deliverable(error)

    def _insert_in_autocommit(self, plan: InsertPlan, appends: list[Append]) -> bool:
        """Insert and commit in one statement. False, with nothing done, when rows must be looked at one by one."""
        if len(appends) > plan.rows_per_statement:
            return False
        try:
            self._cursor.execute(plan.statement(len(appends)), flattened([append.values for append in appends]))
        except Exception as error:  # noqa: BLE001  # judged here, delivered to its callers
            if environment_failure(error) is None and len(appends) > 1:
                return False
            for append in appends:
                append.error = translated(error)
        return True

    def _transact(self, rows: dict[InsertPlan, list[Append]], works: list[Work]) -> None:
        transaction = self._connection.begin()
        try:
            for plan, appends in rows.items():
                for start in range(0, len(appends), plan.rows_per_statement):
                    self._insert(plan, appends[start : start + plan.rows_per_statement])
            if len(works) == 1 and not rows:
                works[0].result = self._within_transaction(works[0])
            else:
                for work in works:
                    self._perform(work)
            transaction.commit()
        except BaseException:
            transaction.rollback()
            raise

    def _insert(self, plan: InsertPlan, appends: Sequence[Append]) -> None:
        try:
            self._cursor.execute(plan.statement(len(appends)), flattened([append.values for append in appends]))
        except Exception as error:  # noqa: BLE001  # judged here, delivered to its callers
            self._raise_if_batch_is_lost(error)
            if len(appends) == 1:
                appends[0].error = translated(error)
                return
            for append in appends:
                self._insert(plan, [append])

    def _perform(self, work: Work) -> None:
        """Run one unit of work in a savepoint of its own, so that its failure is its own."""
        savepoint = self._connection.begin_nested()
        try:
            work.result = self._within_transaction(work)
            savepoint.commit()
        except Exception as error:  # noqa: BLE001  # it is the caller's, and delivered there
            self._raise_if_batch_is_lost(error)
            savepoint.rollback()
            work.error = _deliverable(error)

    def _within_transaction(self, work: Work) -> Any:
        result = work.work(self._connection)
        if not self._dbapi.in_transaction:
            raise RuntimeError("a unit of work must not end the transaction it runs in")
        return result

    def _raise_if_batch_is_lost(self, error: Exception) -> None:
        """SQLite answers some failures (a full disk among them) by rolling back the whole transaction."""
        if not self._dbapi.in_transaction:
            raise error


def _deliverable(error: BaseException) -> Exception:
    """Return the error as a future can carry it to its caller, and no further."""
    if isinstance(error, StopIteration) or not isinstance(error, Exception):
        return RuntimeError(f"the work raised {type(error).__name__}")
    return translated(error)


def _dbapi_connection(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.dbapi_connection
    if not isinstance(raw, sqlite3.Connection):
        raise TypeError("the writer works on sqlite3 connections only")
    return raw


def _deliver(batch: list[Item]) -> None:
    for item in batch:
        item.deliver()


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
