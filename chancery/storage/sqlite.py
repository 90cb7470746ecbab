"""`Database` on one SQLite file: a writer thread with group commit, and a small pool of readers beside it.

Durability: WAL with synchronous=FULL, so every commit is on the disk before its caller is answered. Several processes
may share a file on a local disk: writers take turns (`BEGIN IMMEDIATE` and a busy timeout); readers never wait.
Network file systems are not for SQLite.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, NullPool, QueuePool, Table, create_engine, event, insert, make_url

from chancery.kit.errors import BadInput, Corrupted, Unavailable
from chancery.storage.insert_plan import InsertPlan, plan_for
from chancery.storage.sqlite_errors import translation
from chancery.storage.sqlite_writer import Append, OnBatch, Work, Writer

T = TypeVar("T")

_log = logging.getLogger(__name__)

APPLICATION_ID = 0x43484E43
"""`CHNC` in the file's header: another program's database is never taken for ours."""

_PRAGMAS = (
    "foreign_keys=ON",
    "synchronous=FULL",
    "cache_size=-16384",
    "mmap_size=268435456",
    "temp_store=MEMORY",
    "journal_size_limit=67108864",  # after a burst the log shrinks to 64 MiB again
)


class SqliteDatabase:
    """One file. `location` is its path or a URL such as `sqlite:////var/lib/chancery/chancery.db`."""

    storage_type = "sqlite"
    bell: None = None
    """A file rings no bells: changes by other processes are found by looking."""

    def __init__(
        self,
        location: str | Path,
        *,
        busy_timeout: float = 5.0,
        readers: int = 4,
        batch_limit: int = 500,
        queue_limit: int = 20_000,
    ) -> None:
        self.path = _path(location)
        self._busy_timeout = busy_timeout
        self._readers = readers
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._plans: dict[tuple[Table, tuple[str, ...]], InsertPlan | None] = {}
        self._writing = self._engine(NullPool, "BEGIN IMMEDIATE")
        self._reading = self._engine(QueuePool, "BEGIN", pool_size=readers + 1, max_overflow=0)
        event.listen(self._reading, "connect", _forbid_writing)
        self.on_batch: OnBatch | None = None
        """Told of each group commit; set before `open`."""
        self._writer: Writer | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._peeking: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Create the file (0600, in a directory 0700) unless it exists, and connect.

        Raises Unavailable when it cannot be opened and Corrupted when it is something else.
        """
        connection = await asyncio.to_thread(self._first_connection)
        self._writer = Writer(
            connection, batch_limit=self._batch_limit, queue_limit=self._queue_limit, on_batch=self.on_batch
        )
        self._pool = ThreadPoolExecutor(self._readers, thread_name_prefix="chancery-reader")
        self._peeking = ThreadPoolExecutor(1, thread_name_prefix="chancery-peek")

    async def close(self) -> None:
        """Finish everything accepted so far, then close. May be called twice."""
        writer, pools = self._writer, (self._pool, self._peeking)
        self._pool = self._peeking = None
        for pool in pools:
            if pool is not None:
                await asyncio.to_thread(pool.shutdown)
        self._reading.dispose()
        if writer is not None:
            await writer.close()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run read-only work on a consistent snapshot, on a reader's thread. Raises Unavailable."""
        if self._pool is None:
            raise Unavailable("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    async def peek(self, work: Callable[[Connection], T]) -> T:
        """Read as `read` does, on a thread and a connection that nothing else uses. Raises Unavailable."""
        if self._peeking is None:
            raise Unavailable("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._peeking, self._read, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction on the writer's thread; returns when it is durable.

        Raises what the work raises, DuplicateRow for a violated unique constraint, Unavailable when the file cannot
        be written. A caller that is cancelled does not undo the work.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._open_writer().submit(Work(future, work))
        return await future

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction. Writers take turns anyway, migrations among them."""
        return await self.write(work)

    async def append(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert one row durably, in one statement with whatever arrives meanwhile. Raises as `write` does."""
        key = (table, tuple(row))
        try:
            plan = self._plans[key]
        except KeyError:
            plan = self._plans[key] = plan_for(table, key[1], self._writing.dialect)
        if plan is None:
            await self.write(lambda connection: connection.execute(insert(table).values(dict(row))))
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open_writer().submit(Append(future, plan, plan.values(row)))
        await future

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise Unavailable("the database is not open")
        return self._writer

    def _read(self, work: Callable[[Connection], T]) -> T:
        with translation(), self._reading.connect() as connection, connection.begin():
            return work(connection)

    def _engine(self, pool: type[NullPool | QueuePool], begin: str, **settings: Any) -> Engine:
        engine = create_engine(
            "sqlite+pysqlite://", creator=self._connect, poolclass=pool, hide_parameters=True, **settings
        )
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _first_connection(self) -> Connection:
        try:
            _create_privately(self.path)
        except OSError as error:
            raise Unavailable(f"cannot create the database {self.path}: {error.strerror}") from error
        with translation():
            connection = self._writing.connect()
            try:
                _claim(_raw(connection), self.path, deadline=time.monotonic() + self._busy_timeout)
            except BaseException:
                connection.close()
                raise
            return connection


def _path(location: str | Path) -> Path:
    if isinstance(location, Path):
        return location
    name = make_url(location).database if "://" in location else location
    if not name or name == ":memory:":
        raise BadInput.of("storage.url", "needs a file, such as sqlite:////var/lib/chancery/chancery.db")
    return Path(name)


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _create_privately(path: Path) -> None:
    """Create the file before SQLite would, with permissions for the owner alone; -wal and -shm inherit them."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            _log.warning("%s can be read by others than its owner; chmod 600 is advised", path)
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _claim(raw: sqlite3.Connection, path: Path, *, deadline: float) -> None:
    """Put our mark and the WAL mode into a new file; refuse a file of another application."""
    mark = raw.execute("PRAGMA application_id").fetchone()[0]
    if mark != APPLICATION_ID:
        if mark != 0 or raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise Corrupted(f"{path} is the database of another application: check storage.url")
        raw.execute(f"PRAGMA application_id={APPLICATION_ID}")
    # Changing the journal mode ignores the busy timeout, and another process may be opening the new file just now.
    while True:
        try:
            if raw.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise Unavailable(f"{path} cannot use write-ahead logging: it must be on a local disk")
        time.sleep(0.01)


def _forbid_writing(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")
