"""Connections lost at the worst moment: nothing is lost or doubled, and nothing that was done is called failed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.util import await_only

from chancery.kit.errors import Unavailable
from chancery.kit.storage import DuplicateRow
from chancery.storage.postgres import PostgresDatabase
from tests.support.storage_open import THINGS, count, postgres_url_of, prepare
from tests.support.storage_postgres import shared_server
from tests.support.storage_proxy import Proxy, proxy_to

INSERT = b"INSERT INTO things"
BIND = b"B\x00\x00"
"""Once a statement is prepared only its number travels: the message that binds values to it begins like this."""


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with proxy_to(shared_server().port) as opened:
        yield opened


@pytest.fixture
async def database(proxy: Proxy, tmp_path: Path) -> AsyncIterator[PostgresDatabase]:
    url = await asyncio.to_thread(postgres_url_of, tmp_path)
    opened = PostgresDatabase(url.replace(f":{proxy.target}/", f":{proxy.port}/"), patience=10)
    await opened.open()
    await prepare(opened)
    await opened.append(THINGS, thing("first"))  # the statement is prepared, and the connection warm
    yield opened
    await opened.close()


def thing(name: str, **columns: Any) -> dict[str, Any]:
    return {"id": name, "must": "x", **columns}


async def ids(database: PostgresDatabase) -> list[str]:
    return await database.read(lambda at: list(at.scalars(select(THINGS.c.id).order_by(THINGS.c.id))))


async def test_rows_that_were_stored_unheard_are_found_again(database: PostgresDatabase, proxy: Proxy) -> None:
    proxy.cut_after(BIND)
    await asyncio.gather(
        *(database.append(THINGS, thing(f"{n:03}", blob=bytes([n]), extra={"n": n})) for n in range(50))
    )
    assert proxy.cuts == 1
    assert await count(database, THINGS) == 51


async def test_rows_that_never_arrived_are_sent_again(database: PostgresDatabase, proxy: Proxy) -> None:
    proxy.cut_before(BIND)
    await asyncio.gather(*(database.append(THINGS, thing(f"{n:03}")) for n in range(50)))
    assert proxy.cuts == 1
    assert await count(database, THINGS) == 51


async def test_a_duplicate_is_still_a_duplicate(database: PostgresDatabase, proxy: Proxy) -> None:
    """A row that somebody else stored is not taken for ours because the connection was lost."""
    await database.append(THINGS, thing("taken", number=1))
    proxy.cut_before(BIND)
    mine, other = await asyncio.gather(
        database.append(THINGS, thing("taken", number=2)),
        database.append(THINGS, thing("free")),
        return_exceptions=True,
    )
    assert proxy.cuts == 1
    assert isinstance(mine, DuplicateRow)
    assert other is None
    assert await ids(database) == ["first", "free", "taken"]


async def test_a_row_that_is_committed_late_is_waited_for(
    database: PostgresDatabase, proxy: Proxy, tmp_path: Path
) -> None:
    """The old session may still be at work when the row is sent again: here it holds the row for a while."""
    row = thing("late", number=7)
    url = await asyncio.to_thread(postgres_url_of, tmp_path)
    other = PostgresDatabase(url)
    await other.open()
    inserted, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def holds(at: Connection) -> None:
        at.execute(insert(THINGS).values(row))
        loop.call_soon(inserted.set)
        await_only(release.wait())

    holding = asyncio.create_task(other.write(holds))
    await inserted.wait()
    proxy.cut_before(BIND)
    waiting = asyncio.create_task(database.append(THINGS, row))
    while not await other.peek(lambda at: at.exec_driver_sql(_WAITING).scalar_one()):  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(0.01)
    release.set()
    await asyncio.gather(holding, waiting)
    assert await ids(database) == ["first", "late"]
    await other.close()


_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO things%' "
    "AND datname = current_database()"
)


async def test_work_that_was_not_committed_is_done_again(database: PostgresDatabase, proxy: Proxy) -> None:
    runs: list[int] = []

    def work(at: Connection) -> str:
        runs.append(len(runs))
        if len(runs) == 1:
            proxy.cut_all()
        at.execute(insert(THINGS).values(thing("worked")))
        return "done"

    assert await database.write(work) == "done"
    assert len(runs) == 2
    assert await ids(database) == ["first", "worked"]


@pytest.mark.parametrize("cut", [Proxy.cut_after, Proxy.cut_before])
async def test_a_commit_that_was_not_answered_is_not_repeated(
    database: PostgresDatabase, proxy: Proxy, cut: Any
) -> None:
    runs: list[int] = []

    def work(at: Connection) -> None:
        runs.append(len(runs))
        at.execute(update(THINGS).values(number=len(runs)))

    cut(proxy, b"COMMIT")
    with pytest.raises(Unavailable, match="may or may not have happened"):
        await database.write(work)
    assert runs == [0]
    happened = await database.read(lambda at: at.scalars(select(THINGS.c.number)).one())
    assert happened == (1 if cut is Proxy.cut_after else None)


async def test_reading_goes_on_after_a_loss(database: PostgresDatabase, proxy: Proxy) -> None:
    for _ in range(3):
        proxy.cut_all()
        assert await ids(database) == ["first"]


async def test_a_server_that_stays_away_is_reported(database: PostgresDatabase, proxy: Proxy) -> None:
    impatient = PostgresDatabase(f"postgresql://postgres:x@127.0.0.1:{proxy.port}/nothing", patience=0.2)
    proxy.target = 1  # nobody listens there
    with pytest.raises(Unavailable, match="cannot be reached"):
        await impatient.open()
    database._patience = 0.2
    assert database._appender is not None
    database._appender._patience = 0.2
    proxy.cut_all()
    calls = (
        database.append(THINGS, thing("a")),
        database.write(lambda at: at.execute(delete(THINGS))),
        database.read(len),  # type: ignore[arg-type]  # never called
        database.peek(len),  # type: ignore[arg-type]  # never called
    )
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4
    proxy.target = shared_server().port
    await database.append(THINGS, thing("back"))
    assert "back" in await ids(database)
