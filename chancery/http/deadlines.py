"""A deadline for every request at the price of two dictionary operations.

`asyncio.timeout` schedules and cancels a timer each time, which costs as much as parsing the request. Durations here
are tens of seconds, so one sweep a second is exact enough.
"""

import asyncio
from typing import Any

from chancery.kit.errors import Unavailable

_SWEEP_SECONDS = 1.0


class Deadlines:
    """Cancels requests that run longer than `seconds`; they end as Unavailable."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Hold a task to the deadline from now on."""
        loop = task.get_loop()
        self._running[task] = loop.time() + self._seconds
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def missed(self, task: asyncio.Task[Any]) -> Unavailable:
        """Turn the cancellation that a task just caught into its error. Re-raises one that came from elsewhere."""
        if task not in self._late:
            raise asyncio.CancelledError
        task.uncancel()
        return Unavailable("the request took longer than limits.max_request_duration allows", retry_after=1)

    def end(self, task: asyncio.Task[Any]) -> None:
        """Let a task go."""
        self._running.pop(task, None)
        self._late.discard(task)

    def close(self) -> None:
        """Stop sweeping."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, deadline in self._running.items():
            if deadline <= now and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep, loop) if self._running else None
