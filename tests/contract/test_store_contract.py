"""What every `Database` must do, whatever the dialect. A backend joins by an entry in `BACKENDS`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.util import await_only

from chancery.kit.errors import Unavailable
from chancery.kit.storage import DuplicateRow
from chancery.storage.database import HostDatabase
from tests.support.storage_open import BACKENDS, PARTS, THINGS, OpenBackend, count, prepare


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> OpenBackend:
    return BACKENDS[request.param]


@pytest.fixture
async def database(backend: OpenBackend, tmp_path: Path) -> AsyncIterator[HostDatabase]:
    async with backend(tmp_path) as opened:
        await prepare(opened)
        yield opened


def thing(name: str, **columns: Any) -> dict[str, Any]:
    return {"id": name, "must": "x", **columns}


async def ids(database: HostDatabase) -> list[str]:
    return await database.read(lambda at: list(at.scalars(select(THINGS.c.id).order_by(THINGS.c.id))))


async def test_an_appended_row_keeps_its_values(database: HostDatabase) -> None:
    row = thing(
        "a",
        number=2**62,
        label="ünï",
        blob=b"\x00\xff",
        flag=True,
        seen=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None),
        extra={"x": [1]},
    )
    await database.append(THINGS, row)
    stored = await database.read(lambda at: at.execute(select(THINGS)).mappings().one())
    assert dict(stored) == row


async def test_columns_left_out_have_their_defaults(database: HostDatabase) -> None:
    await database.append(THINGS, {"id": "a"})
    await database.append(PARTS, {"id": "p", "thing": "a"})
    stored = await database.read(lambda at: at.execute(select(THINGS.c.must, PARTS.c.weight).join(PARTS)).one())
    assert tuple(stored) == ("given by the server", 7)


async def test_rows_of_many_callers_are_all_there(database: HostDatabase) -> None:
    await asyncio.gather(*(database.append(THINGS, thing(f"{n:04}", number=n)) for n in range(700)))
    assert await ids(database) == [f"{n:04}" for n in range(700)]


async def test_a_duplicate_row_is_refused_and_harms_nobody_else(database: HostDatabase) -> None:
    await database.append(THINGS, thing("20"))
    outcomes = await asyncio.gather(
        *(database.append(THINGS, thing(str(n))) for n in range(100)), return_exceptions=True
    )
    assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [20]
    assert isinstance(outcomes[20], DuplicateRow)
    assert await count(database, THINGS) == 100


async def test_of_two_equal_rows_at_once_one_is_stored(database: HostDatabase) -> None:
    twins = (database.append(THINGS, thing("twin", number=n)) for n in range(2))
    outcomes = await asyncio.gather(*twins, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DuplicateRow", "NoneType"]


async def test_another_unique_column_counts_too(database: HostDatabase) -> None:
    await database.append(THINGS, thing("a", label="same"))
    with pytest.raises(DuplicateRow):
        await database.append(THINGS, thing("b", label="same"))


@pytest.mark.parametrize(
    "row", [{"id": "bad", "must": None}, {"id": "bad", "must": "x", "number": object()}], ids=["null", "not a number"]
)
async def test_an_impossible_row_is_an_error_of_its_caller_alone(database: HostDatabase, row: dict[str, Any]) -> None:
    good = [database.append(THINGS, thing(str(n), number=n)) for n in range(10)]
    bad, *rest = await asyncio.gather(database.append(THINGS, row), *good, return_exceptions=True)
    assert isinstance(bad, Exception)
    assert not isinstance(bad, DuplicateRow | Unavailable)
    assert rest == [None] * 10
    assert await count(database, THINGS) == 10


async def test_foreign_keys_are_enforced(database: HostDatabase) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await database.append(PARTS, {"id": "p", "thing": "nowhere", "weight": 1})


async def test_work_returns_what_it_returns(database: HostDatabase) -> None:
    def work(at: Connection) -> int:
        at.execute(insert(THINGS), [thing("a"), thing("b")])
        return at.scalars(select(func.count()).select_from(THINGS)).one()

    assert await database.write(work) == 2
    assert await ids(database) == ["a", "b"]


async def test_failing_work_is_undone_and_harms_nobody_else(database: HostDatabase) -> None:
    def fails(at: Connection) -> None:
        at.execute(insert(THINGS).values(thing("half")))
        raise LookupError("changed my mind")

    def works(name: str) -> Any:
        return lambda at: at.execute(insert(THINGS).values(thing(name))).rowcount

    outcomes = await asyncio.gather(
        database.append(THINGS, thing("row")),
        database.write(works("w1")),
        database.write(fails),
        database.write(works("w1")),
        database.write(works("w2")),
        return_exceptions=True,
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "int", "LookupError", "DuplicateRow", "int"]
    assert await ids(database) == ["row", "w1", "w2"]


async def test_a_failed_unit_of_work_alone_leaves_nothing(database: HostDatabase) -> None:
    def fails(at: Connection) -> None:
        at.execute(insert(THINGS).values(thing("half")))
        raise LookupError("changed my mind")

    with pytest.raises(LookupError, match="changed my mind"):
        await database.write(fails)
    await database.append(THINGS, thing("after"))
    assert await ids(database) == ["after"]


async def test_read_work_sees_one_snapshot(database: HostDatabase) -> None:
    loop = asyncio.get_running_loop()

    def work(at: Connection) -> tuple[int, int]:
        counted = select(func.count()).select_from(THINGS)
        before = at.scalars(counted).one()
        meanwhile = database.append(THINGS, thing("meanwhile"))
        if at.dialect.is_async:
            await_only(meanwhile)
        else:
            asyncio.run_coroutine_threadsafe(meanwhile, loop).result(10)
        return before, at.scalars(counted).one()

    assert await database.read(work) == (0, 0)
    assert await count(database, THINGS) == 1


async def test_reading_work_cannot_write(database: HostDatabase) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        await database.read(lambda at: at.execute(insert(THINGS).values(thing("a"))))
    assert await count(database, THINGS) == 0


async def test_a_caller_that_leaves_does_not_undo_its_row(database: HostDatabase) -> None:
    task = asyncio.create_task(database.append(THINGS, thing("left")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.append(THINGS, thing("stayed"))
    assert await ids(database) == ["left", "stayed"]


async def test_closing_finishes_what_was_accepted(backend: OpenBackend, tmp_path: Path) -> None:
    async with backend(tmp_path) as database:
        await prepare(database)
        pending = [asyncio.create_task(database.append(THINGS, thing(str(n)))) for n in range(200)]
        await asyncio.sleep(0)
        await database.close()
        await asyncio.gather(*pending)
        for call in (database.append(THINGS, thing("late")), database.write(len), database.read(len)):  # type: ignore[arg-type]  # never called
            with pytest.raises(Unavailable):
                await call
    async with backend(tmp_path) as again:
        assert await count(again, THINGS) == 200
