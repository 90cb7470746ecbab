"""Jobs of one node and of several, through failures, restarts and set clocks."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial

import pytest

from chancery.kit.engine import Job
from chancery.kit.errors import Unavailable
from chancery.scheduler.service import Scheduler
from chancery.scheduler.turns import HOLD
from tests.support.auth_fixtures import empty_database, world
from tests.support.auth_world import World

__all__ = ["empty_database", "world"]

PERIOD = 60


class Node:
    """A scheduler with one job that writes down when it ran."""

    def __init__(self, world: World, name: str = "job") -> None:
        self.runs: list[datetime] = []
        self.error: Exception | None = None
        self.wants = True
        self.jobs = [Job(name, PERIOD, self._run, self._wanted)]
        self.scheduler = Scheduler(world.database, world.clock, lambda: self.jobs)

    async def _run(self, now: datetime) -> None:
        self.runs.append(now)
        if self.error is not None:
            raise self.error

    async def _wanted(self, _now: datetime) -> bool:
        return self.wants


@pytest.fixture
async def node(world: World) -> AsyncIterator[Node]:
    made = Node(world)
    yield made
    await made.scheduler.stop()


async def test_a_job_runs_once_a_period(world: World, node: Node) -> None:
    for _ in range(4):
        await node.scheduler.run_due()
        world.clock.advance(PERIOD / 2)
    assert len(node.runs) == 2


async def test_of_two_nodes_one_does_the_work(world: World) -> None:
    nodes = [Node(world), Node(world)]
    for _ in range(5):
        await asyncio.gather(*(one.scheduler.run_due() for one in nodes))
        world.clock.advance(PERIOD)
    assert len(nodes[0].runs) + len(nodes[1].runs) == 5


async def test_a_restart_does_not_repeat_the_work_and_a_dead_node_is_replaced(world: World, node: Node) -> None:
    await node.scheduler.run_due()
    again = Node(world)
    await again.scheduler.run_due()
    assert not again.runs
    world.clock.advance(PERIOD)
    await again.scheduler.run_due()
    assert len(again.runs) == 1


async def test_what_nobody_wants_is_not_claimed(world: World, node: Node) -> None:
    node.wants = False
    await node.scheduler.run_due()
    other = Node(world)
    await other.scheduler.run_due()
    assert (len(node.runs), len(other.runs)) == (0, 1)


async def test_waking_a_job_runs_it_before_its_time(world: World, node: Node) -> None:
    await node.scheduler.run_due()
    world.clock.advance(1)
    await node.scheduler.run_due()
    assert len(node.runs) == 1
    node.scheduler.wake("job")
    await node.scheduler.run_due()
    assert len(node.runs) == 2


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_a_set_clock_neither_loses_nor_doubles(world: World, node: Node, step: int) -> None:
    """The monotonic clock goes on as ever; only the wall clock is set."""
    steady = world.clock.moment.timestamp()
    node.scheduler._clock = Steady(world, steady)
    await node.scheduler.run_due()
    world.clock.advance(step)
    for _ in range(6):
        node.scheduler._clock.seconds += PERIOD / 2
        world.clock.advance(PERIOD / 2)
        await node.scheduler.run_due()
    assert len(node.runs) == 4


class Steady:
    """A monotonic clock of its own beside a wall clock that is set."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world = world
        self.seconds = seconds

    def now(self) -> datetime:
        return self._world.clock.now()

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize("error", [Unavailable("away"), KeyError("a mistake")])
async def test_a_failing_job_is_reported_and_tried_again(
    world: World,
    node: Node,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node.error = error
    noted: list[datetime] = []
    node.jobs.append(Job("other", PERIOD, partial(_note, noted)))
    await node.scheduler.run_due()
    assert "job" in caplog.text
    assert "tried again in 60 seconds" in caplog.text
    assert len(noted) == 1
    world.clock.advance(PERIOD)
    await node.scheduler.run_due()
    assert len(node.runs) == 2


async def _note(noted: list[datetime], now: datetime) -> None:
    noted.append(now)


async def test_a_running_job_is_not_started_again_and_keeps_its_turn(
    world: World,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def long(_now: datetime) -> None:
        begun.set()
        await end.wait()

    monkeypatch.setattr("chancery.scheduler.turns.HOLD", 0.003)
    node.jobs = [Job("job", 1, long)]
    running = asyncio.create_task(node.scheduler.run_due())
    await begun.wait()
    world.clock.advance(HOLD)
    node.scheduler.wake("job")
    await node.scheduler.run_due()
    assert not running.done()
    end.set()
    await running


async def test_jobs_come_and_go_with_their_mounts(world: World, node: Node) -> None:
    await node.scheduler.run_due()
    node.jobs.clear()
    world.clock.advance(PERIOD)
    await node.scheduler.run_due()
    assert len(node.runs) == 1
    assert not node.scheduler._planned


async def test_it_runs_by_itself_and_ends_in_the_midst_of_a_job(world: World) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def long(_now: datetime) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    scheduler = Scheduler(world.database, world.clock, lambda: [Job("job", 1, long)])
    scheduler.start()
    await begun.wait()
    await scheduler.stop()
    assert ended.is_set()
    await scheduler.stop()
