"""One device's thread: lines are taken in groups, off the event loop, and nobody waits for a device that hangs.

The thread is a daemon: a device that never returns must not keep the process from ending.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

from chancery.audit.chain import Event, notice
from chancery.kit.audit import AuditDevice
from chancery.kit.clock import Clock
from chancery.kit.metrics import Meter

_log = logging.getLogger(__name__)

_GROUP = 512
"""Lines that are written at once at most."""

_LONGEST_REST = 5.0
_REST = 10.0
"""How much longer than it took to fail a device is left alone: what fails at once is tried again at once."""

WRITTEN = ""
"""What a line's future says when the device has it; otherwise it says why not."""

Outcome = asyncio.Future[str]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a line may take, in seconds, and how many may wait."""

    deadline: float = 5.0
    lines: int = 10_000


class Tally:
    """What a device has and lacks since it was opened. Metrics have the same, for the life of the server."""

    def __init__(self, meter: Meter, device: str) -> None:
        self.written = 0
        self.lost = 0
        """Lines that the device does not have."""
        name, description = "chancery_audit_lines_total", "Lines for an audit device, by whether it has them."
        self._written = meter.counter(name, description, device=device, outcome="written")
        self._lost = meter.counter(name, description, device=device, outcome="lost")
        self._failing = meter.gauge("chancery_audit_device_failing", "1 while an audit device fails.", device=device)

    def count_written(self, lines: int) -> None:
        """Count lines that the device has."""
        self.written += lines
        self._written.add(lines)

    def count_lost(self, lines: int) -> None:
        """Count lines that the device lacks."""
        self.lost += lines
        self._lost.add(lines)

    def show(self, *, failing: bool) -> None:
        """Say whether the device fails at present."""
        self._failing.set(float(failing))


@dataclass(frozen=True, slots=True)
class _Waiting:
    outcome: Outcome
    since: float
    missed: int = 0
    """Of a record that tells of lost lines: how many."""


class _Stop:
    """Ends the thread."""


class _Reopen:
    """Has the device follow a rotation."""


_Job = bytes | _Reopen | _Stop


class DeviceWriter:
    """Hands lines to a device. Belongs to the event loop that made it; only `_work` runs elsewhere."""

    def __init__(self, device: AuditDevice, clock: Clock, patience: Patience, tally: Tally, *, name: str) -> None:
        self.name = name
        self.tally = tally
        self.trouble = ""
        """Why the device fails at present; empty when it does not."""
        self._device = device
        self._clock = clock
        self._patience = patience
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._waiting: deque[_Waiting] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rests_until = 0.0
        self._missed = 0
        """Lines lost that the device has not been told of yet."""
        self._thread = Thread(target=self._work, name=f"audit-{name.rstrip('/')}", daemon=True)
        self._thread.start()

    def submit(self, record: bytes) -> Outcome:
        """Queue a record; an empty one only tries the device. Never blocks, and the future never raises."""
        now = time.monotonic()
        reason = self._why_not(now)
        if reason:
            outcome = self._loop.create_future()
            self._count_lost(1)
            outcome.set_result(reason)
            return outcome
        if self._missed:
            told, self._missed = self._missed, 0
            self._queue(notice(Event.LOST, self._clock.now(), lines=told), now, told)
        return self._queue(record, now)

    def _queue(self, record: bytes, now: float, missed: int = 0) -> Outcome:
        outcome: Outcome = self._loop.create_future()
        self._waiting.append(_Waiting(outcome, now, missed))
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience.deadline, self._look)
        self._jobs.put(record)
        return outcome

    def reopen(self) -> None:
        """Have the device follow a rotation, after what is queued."""
        self._jobs.put(_Reopen())

    async def close(self) -> None:
        """Write what is queued, then close the device; gives up after the deadline."""
        self._jobs.put(_Stop())
        self.tally.show(failing=False)
        pending = [waiting.outcome for waiting in self._waiting]
        if pending:
            await asyncio.wait(pending, timeout=self._patience.deadline)
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.to_thread(self._thread.join, self._patience.deadline)
        if self._thread.is_alive():
            _log.error("audit device %s hangs; it is left behind", self.name)

    def _why_not(self, now: float) -> str:
        if self.trouble and now < self._rests_until:
            return self.trouble
        if len(self._waiting) >= self._patience.lines:
            return f"{len(self._waiting)} lines wait for the device already"
        return ""

    def _look(self) -> None:
        """Release whoever waited too long. A device that hangs is in trouble until it returns."""
        self._timer = None
        if not self._waiting:
            return
        now = time.monotonic()
        oldest = self._waiting[0].since
        if now - oldest < self._patience.deadline:
            self._timer = self._loop.call_later(oldest + self._patience.deadline - now, self._look)
            return
        self._in_trouble(f"did not answer within {self._patience.deadline:g} s")
        self._rests_until = float("inf")
        for waiting in self._waiting:
            _tell(waiting.outcome, self.trouble)

    def _settle(self, count: int, reason: str, took: float) -> None:
        """Take the thread's report on the oldest `count` records."""
        for _ in range(count):
            waiting = self._waiting.popleft()
            _tell(waiting.outcome, reason)
            if reason:
                self._missed += waiting.missed
                self._count_lost(0 if waiting.missed else 1)
        if reason:
            self._in_trouble(reason)
            self._rests_until = time.monotonic() + min(_REST * took, _LONGEST_REST)
            return
        self.tally.count_written(count)
        self._rests_until = 0.0
        if self.trouble:
            _log.warning("audit device %s works again; it lacks %d lines in all", self.name, self.tally.lost)
            self.trouble = ""
            self.tally.show(failing=False)

    def _in_trouble(self, reason: str) -> None:
        if not self.trouble:
            _log.error("audit device %s fails: %s", self.name, reason)
        self.trouble = reason
        self.tally.show(failing=True)

    def _count_lost(self, count: int) -> None:
        self.tally.count_lost(count)
        self._missed += count

    def _work(self) -> None:
        """Write group after group, until told to stop. Runs in the thread."""
        while True:
            jobs = self._next_group()
            records = [job for job in jobs if isinstance(job, bytes)]
            if records:
                self._write(records)
            if any(isinstance(job, _Reopen) for job in jobs):
                self._attempt(self._device.reopen)
            if any(isinstance(job, _Stop) for job in jobs):
                self._attempt(self._device.close)
                return

    def _next_group(self) -> list[_Job]:
        """Wait for a job, and take along what else is there."""
        jobs = [self._jobs.get()]
        try:
            while len(jobs) < _GROUP:
                jobs.append(self._jobs.get_nowait())
        except Empty:
            pass  # the whole group is there
        return jobs

    def _write(self, records: Sequence[bytes]) -> None:
        began = time.monotonic()
        reason = self._attempt(lambda: self._device.write([record for record in records if record]))
        took = time.monotonic() - began
        with suppress(RuntimeError):  # the loop ended while the device hung: nobody waits for the outcome any more
            self._loop.call_soon_threadsafe(self._settle, len(records), reason, took)

    def _attempt(self, act: Callable[[], None]) -> str:
        """Do something with the device and return why it failed, if it did."""
        try:
            act()
        except OSError as error:
            return error.strerror or str(error) or type(error).__name__
        except Exception:  # noqa: BLE001 - a device of a third party may fail in any way, and must not take the thread with it
            _log.exception("audit device %s failed unexpectedly", self.name)
            return "failed unexpectedly"
        return WRITTEN


def _tell(outcome: Outcome, reason: str) -> None:
    if not outcome.done():
        outcome.set_result(reason)
