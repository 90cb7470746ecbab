"""Runs jobs when they are due, while the server is unsealed.

Intervals are measured by the monotonic clock; the wall clock only says, in the database, when a job is next due for
the whole cluster. A job that is running is not started again, and one that fails is tried again after its period.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from chancery.kit.clock import Clock
from chancery.kit.engine import Job
from chancery.kit.errors import ChanceryError
from chancery.kit.storage import Database, DuplicateRow
from chancery.scheduler import turns
from chancery.scheduler.turns import Turn, Wait

_log = logging.getLogger(__name__)

_TICK = 1.0
_LONGEST_WAIT = 30.0
"""Seconds after which a node asks again for a job that another one has: the other may have died."""


@dataclass(slots=True)
class _Planned:
    """When this process looks at a job again, by the monotonic clock, and what is running of it."""

    at: float
    task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self.task is not None and not self.task.done()


class Scheduler:
    """The jobs of one process. `jobs` names them anew each time: mounts come and go."""

    def __init__(self, database: Database, clock: Clock, jobs: Callable[[], Iterable[Job]]) -> None:
        self._database = database
        self._clock = clock
        self._jobs = jobs
        self._me = secrets.token_hex(8)
        self._planned: dict[str, _Planned] = {}
        self._urgent: set[str] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run jobs."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End whatever is running. Jobs are idempotent: they go on after the next start."""
        tasks = [planned.task for planned in self._planned.values() if planned.task is not None]
        if self._loop is not None:
            tasks.append(self._loop)
        self._loop = None
        self._planned.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def wake(self, name: str) -> None:
        """Have a job looked at now: there is something for it to do."""
        self._urgent.add(name)
        self._woken.set()

    async def run_due(self) -> None:
        """Start every job whose time has come, and return when those are through."""
        await asyncio.gather(*self._start_due())

    async def _run(self) -> None:
        while True:
            self._start_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _TICK)
            self._woken.clear()

    def _start_due(self) -> list[asyncio.Task[None]]:
        jobs = {job.name: job for job in self._jobs()}
        for gone in self._planned.keys() - jobs.keys():
            if not self._planned[gone].is_running:
                del self._planned[gone]
        urgent, self._urgent = self._urgent, set()
        now, started = self._clock.monotonic(), []
        for job in jobs.values():
            planned = self._planned.setdefault(job.name, _Planned(now))
            if planned.is_running:
                self._urgent |= urgent & {job.name}
            elif planned.at <= now or job.name in urgent:
                planned.at = now + job.period
                planned.task = asyncio.create_task(self._attend(job, planned, urgent=job.name in urgent))
                started.append(planned.task)
        return started

    async def _attend(self, job: Job, planned: _Planned, *, urgent: bool) -> None:
        """Look at a job, and run it if it is wanted and this node's turn. Whatever fails is logged."""
        try:
            now = self._clock.now()
            if job.wanted is not None and not await job.wanted(now):
                return
            claimed = await self._claim(job, urgent=urgent)
            if isinstance(claimed, Wait):
                planned.at = self._clock.monotonic() + min(claimed.seconds, _LONGEST_WAIT)
                return
            await self._carry_out(job)
        except ChanceryError as error:
            _log.warning("%s: %s; it is tried again in %d seconds", job.name, error.message, job.period)
        except Exception:  # noqa: BLE001 - one job's mistake must not end the others; nobody else would report it
            _log.exception("%s failed; it is tried again in %d seconds", job.name, job.period)

    async def _claim(self, job: Job, *, urgent: bool) -> Turn | Wait:
        before = await self._database.read(lambda at: turns.read(at, job.name))
        now = int(self._clock.now().timestamp())
        seen = Turn(before.holder, before.held_until, now) if urgent and before is not None else before
        verdict = turns.judge(seen, self._me, job.period, now)
        if isinstance(verdict, Wait):
            return verdict
        with contextlib.suppress(DuplicateRow):
            if await self._database.write(lambda at: turns.replace(at, job.name, before, verdict)):
                return verdict
        return Wait(1)

    async def _carry_out(self, job: Job) -> None:
        sign_of_life = asyncio.create_task(self._keep(job.name))
        try:
            await job.run(self._clock.now())
        finally:
            sign_of_life.cancel()

    async def _keep(self, name: str) -> None:
        while True:
            await asyncio.sleep(turns.HOLD / 3)
            sign = partial(turns.keep, name=name, me=self._me, now=int(self._clock.now().timestamp()))
            try:
                await self._database.write(sign)
            except ChanceryError as error:
                _log.warning("%s: another node may begin it as well, because its row cannot be kept: %s", name, error)
