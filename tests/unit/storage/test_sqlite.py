"""What is particular to SQLite: the file, its permissions, shared commits, a full disk, other processes."""

import asyncio
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from chancery.kit.errors import BadInput, Corrupted, Unavailable
from chancery.kit.storage import DuplicateRow
from chancery.storage.database import database_at
from chancery.storage.sqlite import APPLICATION_ID, SqliteDatabase
from tests.support.storage_open import METADATA, THINGS, count


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(path, **settings)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with opened(tmp_path / "t.db", busy_timeout=0.05) as each:
        await each.write(METADATA.create_all)
        yield each


@asynccontextmanager
async def held(database: SqliteDatabase) -> AsyncIterator[None]:
    """Keep the writer busy, so that everything submitted inside becomes one batch."""
    started, release = threading.Event(), threading.Event()

    def wait(_at: Connection) -> None:
        started.set()
        release.wait(10)

    holding = asyncio.create_task(database.write(wait))
    await asyncio.to_thread(started.wait, 10)
    yield
    await asyncio.sleep(0)  # what was created as a task inside has its turn to submit
    release.set()
    await holding


def thing(name: object, **columns: Any) -> dict[str, Any]:
    return {"id": str(name), "must": "x", **columns}


async def pragma(database: SqliteDatabase, text: str) -> Any:
    def work(at: Connection) -> Any:
        result = at.exec_driver_sql(f"PRAGMA {text}")
        return result.scalar() if result.returns_rows else None

    return await database.write(work)


@pytest.mark.parametrize("rows", [2, 63, 64, 65, 200])
async def test_a_batch_of_any_size_is_stored(database: SqliteDatabase, rows: int) -> None:
    async with held(database):
        tasks = [asyncio.create_task(database.append(THINGS, thing(n, number=n))) for n in range(rows)]
    await asyncio.gather(*tasks)
    assert await count(database, THINGS) == rows


async def test_within_one_batch_only_the_guilty_fail(database: SqliteDatabase) -> None:
    def fails(at: Connection) -> None:
        at.execute(insert(THINGS).values(thing("undone")))
        raise StopIteration

    async with held(database):
        rows = [asyncio.create_task(database.append(THINGS, thing(n % 90))) for n in range(100)]
        other = asyncio.create_task(database.append(THINGS, {"id": "other", "number": 1}))
        bad = asyncio.create_task(database.append(THINGS, thing("bad", number=object())))
        failing = asyncio.create_task(database.write(fails))
        working = asyncio.create_task(database.write(lambda at: at.execute(insert(THINGS).values(thing("w"))).rowcount))
    outcomes = await asyncio.gather(*rows, return_exceptions=True)
    assert [isinstance(each, DuplicateRow) for each in outcomes] == [False] * 90 + [True] * 10
    assert await working == 1
    await other
    with pytest.raises(sqlite3.Error):
        await bad
    with pytest.raises(RuntimeError, match="StopIteration"):
        await failing
    assert await count(database, THINGS) == 92


async def test_one_full_disk_fails_the_batch_and_recovers(database: SqliteDatabase) -> None:
    await pragma(database, "max_page_count=30")
    stored: list[str] = []

    async def store(name: str) -> None:
        await database.append(THINGS, thing(name, blob=bytes(3000)))
        stored.append(name)

    outcomes = await asyncio.gather(*(store(str(n)) for n in range(80)), return_exceptions=True)
    refused = [each for each in outcomes if each is not None]
    assert refused
    assert all(isinstance(each, Unavailable) and "free space" in each.message for each in refused)
    assert await count(database, THINGS) == len(stored)
    with pytest.raises(Unavailable, match="free space"):
        await database.write(
            lambda at: at.execute(insert(THINGS), [thing(f"w{n}", blob=bytes(3000)) for n in range(80)])
        )
    assert await count(database, THINGS) == len(stored)
    await pragma(database, "max_page_count=1000000")
    await asyncio.gather(*(store(f"again {n}") for n in range(80)))
    assert await count(database, THINGS) == len(stored)


async def test_a_read_only_volume_is_named(database: SqliteDatabase) -> None:
    await pragma(database, "query_only=ON")
    for call in (
        database.append(THINGS, thing(1)),
        database.write(lambda at: at.execute(insert(THINGS).values(thing(1)))),
    ):
        with pytest.raises(Unavailable, match="read-only"):
            await call
    database._open_writer()._dbapi.execute("PRAGMA query_only=OFF")  # idle now; `write` could not begin
    await database.append(THINGS, thing(1))


async def test_another_process_that_keeps_the_lock_is_named(database: SqliteDatabase) -> None:
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for call in (
        database.append(THINGS, thing(1)),
        database.write(lambda at: at.execute(insert(THINGS).values(thing(1)))),
    ):
        with pytest.raises(Unavailable, match="locked"):
            await call
    assert await count(database, THINGS) == 0
    other.execute("COMMIT")
    other.close()
    await database.append(THINGS, thing(1))


async def test_work_that_ends_its_transaction_is_refused(database: SqliteDatabase) -> None:
    def commits(at: Connection) -> None:
        at.execute(insert(THINGS).values(thing(1)))
        at.exec_driver_sql("COMMIT")

    with pytest.raises(RuntimeError, match="must not end"):
        await database.write(commits)
    await database.append(THINGS, thing(2))
    await database.write(lambda at: at.execute(insert(THINGS).values(thing(3))))


async def test_work_cannot_end_the_writer(database: SqliteDatabase) -> None:
    def leaves(at: Connection) -> None:
        at.execute(insert(THINGS).values(thing(1)))
        raise SystemExit

    with pytest.raises(RuntimeError, match="SystemExit"):
        await database.write(leaves)
    await database.append(THINGS, thing(2))
    assert await count(database, THINGS) == 1


async def test_a_queue_without_end_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "t.db", queue_limit=5) as database:
        await database.write(METADATA.create_all)
        async with held(database):
            tasks = [asyncio.create_task(database.append(THINGS, thing(n))) for n in range(8)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(each, Unavailable) for each in outcomes] == [False] * 5 + [True] * 3
        assert await count(database, THINGS) == 5


async def test_commits_are_durable_by_configuration(database: SqliteDatabase) -> None:
    settings = [await pragma(database, name) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert settings == ["wal", 2, 1]


async def test_the_file_is_private_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "t.db"
    async with opened(path) as database:
        await database.write(METADATA.create_all)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (path.parent, *path.parent.iterdir())}
        assert modes == {"deeper": 0o700, "t.db": 0o600, "t.db-wal": 0o600, "t.db-shm": 0o600}
        assert await pragma(database, "application_id") == APPLICATION_ID


async def test_a_database_of_another_application_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE music (title)")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(Corrupted, match="another application"):
        await SqliteDatabase(path).open()
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database at all, but long enough to be taken for one " * 20)
    with pytest.raises(Corrupted, match=r"storage\.url"):
        await SqliteDatabase(path).open()


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="cannot create the database"):
        await SqliteDatabase(tmp_path / "file" / "t.db").open()


async def test_calls_before_opening_and_after_closing_are_refused(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "t.db")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await database.append(THINGS, thing(1))
        with pytest.raises(Unavailable):
            await database.read(lambda at: at.scalar(select(1)))
        await database.open()
        await database.close()
        await database.close()


def test_urls() -> None:
    assert isinstance(database_at("sqlite:////var/lib/chancery/chancery.db"), SqliteDatabase)
    assert SqliteDatabase("sqlite:////var/lib/c.db").path == Path("/var/lib/c.db")
    assert SqliteDatabase("relative.db").path == Path("relative.db")
    for wrong in ("mysql://x/y", "nonsense", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(BadInput, match=r"storage\.url"):
            database_at(wrong)


async def child(path: Path, prefix: str, rows: int) -> asyncio.subprocess.Process:
    arguments = (sys.executable, "-m", "tests.support.storage_child", str(path), prefix, str(rows))
    root = Path(__file__).parents[3]
    return await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE, cwd=root)


async def test_processes_share_a_file(tmp_path: Path) -> None:
    async with opened(tmp_path / "t.db", busy_timeout=30) as database:
        await database.write(METADATA.create_all)
        processes = [await child(database.path, prefix, 200) for prefix in "ab"]
        for number in range(100):
            await database.append(THINGS, thing(number))
        for process in processes:
            told, _ = await process.communicate()
            assert process.returncode == 0
            assert len(told.split()) == 200
        assert await count(database, THINGS) == 500


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(120)])])
async def test_what_was_acknowledged_survives_kill(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "t.db"
    async with opened(path) as database:
        await database.write(METADATA.create_all)
    for number in range(rounds):
        process = await child(path, f"{number}-", 0)
        assert process.stdout is not None
        told = b"".join([await process.stdout.readline() for _ in range(50 + 37 * number)])
        process.kill()
        told += await process.stdout.read()
        await process.wait()
        acknowledged = set(told.decode().split())
        async with opened(path) as database:
            present = await database.read(lambda at: set(at.scalars(select(THINGS.c.id))))
            assert acknowledged <= present
            assert await database.read(lambda at: at.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"
