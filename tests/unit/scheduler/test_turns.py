"""Whose turn it is, as a rule and as a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.scheduler import turns
from chancery.scheduler.turns import HOLD, Turn, Wait, judge
from tests.support.auth_fixtures import empty_database, world
from tests.support.auth_world import World

__all__ = ["empty_database", "world"]

NOW = 1_800_000_000
PERIOD = 60
HOUR = 3600


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (None, "run"),
        (Turn("me", NOW + 5, NOW), "run"),
        (Turn("me", NOW - 5, NOW + 1), Wait(1)),
        (Turn("other", NOW, NOW), "run"),
        (Turn("other", NOW + 1, NOW), Wait(1)),
        (Turn("other", NOW + HOLD, NOW), Wait(HOLD)),
        (Turn("other", NOW - HOLD, NOW + PERIOD), Wait(PERIOD)),
        (Turn("other", NOW + HOUR, NOW + HOUR), "run"),
        (Turn("me", NOW + HOUR, NOW + PERIOD + 1), "run"),
    ],
)
def test_the_rule(row: Turn | None, verdict: object) -> None:
    wanted = Turn("me", NOW + HOLD, NOW + PERIOD) if verdict == "run" else verdict
    assert judge(row, "me", PERIOD, NOW) == wanted


@given(
    step=st.integers(-10 * HOUR, 10 * HOUR),
    period=st.integers(1, 4 * HOUR),
    later=st.integers(0, HOUR),
    mine=st.booleans(),
)
def test_no_set_clock_delays_a_job_by_more_than_its_period(step: int, period: int, later: int, mine: bool) -> None:
    before = judge(None, "me" if mine else "other", period, NOW)
    assert isinstance(before, Turn)
    verdict = judge(before, "me", period, NOW + step + later)
    assert isinstance(verdict, Turn) or verdict.seconds <= max(period, HOLD)


@given(later=st.integers(0, 10 * HOUR), period=st.integers(1, 4 * HOUR))
def test_with_a_right_clock_nobody_runs_a_job_early(later: int, period: int) -> None:
    before = judge(None, "other", period, NOW)
    verdict = judge(before, "me", period, NOW + later)  # type: ignore[arg-type]  # without a row it is a turn
    assert isinstance(verdict, Turn) == (later >= max(period, HOLD))


async def test_of_two_who_read_the_same_row_one_gets_the_turn(world: World) -> None:
    database, mine, other = world.database, Turn("me", 1, 2), Turn("other", 1, 2)
    assert await database.write(lambda at: turns.replace(at, "job", None, mine))
    assert not await database.write(lambda at: turns.replace(at, "job", None, other))
    assert await database.write(lambda at: turns.replace(at, "job", mine, other))
    assert not await database.write(lambda at: turns.replace(at, "job", mine, mine))
    await database.write(lambda at: turns.keep(at, "job", "me", 100))
    assert await database.read(lambda at: turns.read(at, "job")) == other
    await database.write(lambda at: turns.keep(at, "job", "other", 100))
    assert await database.read(lambda at: turns.read(at, "job")) == Turn("other", 100 + HOLD, 2)
    await database.write(lambda at: turns.forget(at, "jo"))
    assert await database.read(lambda at: turns.read(at, "job")) is None
