"""The parent of the workers: forks them, introduces them to each other, replaces those that end, passes signals on.

It runs no event loop and no thread, holds no key and serves nothing, so that forking from it is safe at any time and a
worker's fault never reaches it. What it imported every worker has: a new one serves within hundredths of a second.
"""

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass

from chancery import logs
from chancery.workers import control
from chancery.workers.control import Notice
from chancery.workers.link import pair
from chancery.workers.siblings import Identity
from chancery.workers.sockets import close
from chancery.workers.worker import Berth, Plan, work

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_STEADY = 10.0
"""Seconds after which the death of a worker is not the continuation of earlier ones."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0
_MARGIN = 10.0
"""Seconds beyond `limits.shutdown_timeout` that a worker gets to end by itself."""


@dataclass(slots=True)
class _Running:
    """A worker as its supervisor sees it."""

    identity: Identity
    control: socket.socket
    started: float
    ready: bool = False


@dataclass(frozen=True, slots=True)
class _Due:
    """When a worker is started again, and how often in a row that was necessary."""

    at: float
    failures: int


class Supervisor:
    """Runs until told to stop. For the main thread of a process without other threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._running: dict[int, _Running] = {}
        self._due: dict[int, _Due] = {}
        self._failures: dict[int, int] = {}
        self._generation = 0
        self._announced = False
        self._stop_by: float | None = None
        self._exit_code = 0
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._woken = socket.socketpair()

    def run(self) -> int:
        """Start the first worker, the others once it is ready, and keep them alive. Returns the exit code."""
        self._catch_signals()
        gc.freeze()  # what exists now stays as it is: collections in workers need not copy its pages
        try:
            self._start(0)
            while self._running or (self._due and self._stop_by is None):
                self._wait()
        finally:
            close(self._plan.sockets)
        return self._exit_code

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is self._wakeup:
                for number in self._wakeup.recv(4096):
                    self._signalled(signal.Signals(number))
            else:
                self._heard(key.data)
        self._reap()
        now = time.monotonic()
        for index in [index for index, due in self._due.items() if due.at <= now and self._stop_by is None]:
            del self._due[index]
            self._start(index)
        if self._stop_by is not None and self._stop_by <= now:
            self._kill_all()

    def _patience(self) -> float | None:
        moments = [due.at for due in self._due.values()] if self._stop_by is None else [self._stop_by]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _start(self, index: int) -> None:
        self._generation += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        peers = list(self._running.values())
        ends = [pair() for _ in peers]
        pid = os.fork()
        if pid == 0:
            own = Identity(index, self._generation, os.getpid())
            berth = Berth(own, theirs, [(peer.identity, end[0]) for peer, end in zip(peers, ends, strict=True)])
            self._become_worker(berth, [ours, *(end[1] for end in ends)])
        theirs.close()
        for peer, (kept, given) in zip(peers, ends, strict=True):
            control.send(peer.control, Notice("joined", index, self._generation, pid), given)
            kept.close()
            given.close()
        self._running[index] = _Running(Identity(index, self._generation, pid), ours, time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, index)

    def _become_worker(self, berth: Berth, foreign: list[socket.socket]) -> None:
        """Drop what is the supervisor's, serve, and end this process."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for each in (*foreign, self._wakeup, self._woken, *(other.control for other in self._running.values())):
                each.close()
            logs.identify(berth.own.index)
            code = work(self._plan, berth)
        except BaseException:  # noqa: BLE001 - it must not unwind into the supervisor's frames
            traceback.print_exc()
        finally:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(code)

    def _heard(self, index: int) -> None:
        running = self._running.get(index)
        if running is None:
            return
        try:
            received = control.receive(running.control)
        except BlockingIOError:
            return
        if received is None:
            self._selector.unregister(running.control)  # it is ending: SIGCHLD tells the rest
            return
        notice, _ = received
        if notice.event == "ready":
            self._became_ready(running)
        elif notice.event == "hung":
            self._kill_hung(notice)

    def _kill_hung(self, notice: Notice) -> None:
        accused = self._running.get(notice.index)
        if accused is not None and accused.identity.generation == notice.generation:
            _log.error("worker %d hangs and is killed", notice.index)
            os.kill(accused.identity.pid, signal.SIGKILL)

    def _became_ready(self, running: _Running) -> None:
        running.ready = True
        self._tell_others(running.identity.index, "ready")
        if self._announced:
            _log.info("worker %d serves", running.identity.index)
            return
        workers = range(self._plan.board.workers)
        for index in workers:
            if index not in self._running and index not in self._due:
                self._start(index)
        if all(index in self._running and self._running[index].ready for index in workers):
            self._announced = True
            eldest = min(self._running.values(), key=lambda worker: worker.identity.generation)
            control.send(eldest.control, Notice("announce"))

    def _reap(self) -> None:
        for index, running in list(self._running.items()):
            pid, status = os.waitpid(running.identity.pid, os.WNOHANG)
            if pid:
                self._ended(index, running, os.waitstatus_to_exitcode(status))

    def _ended(self, index: int, running: _Running, code: int) -> None:
        del self._running[index]
        if running.control in self._selector.get_map():
            self._selector.unregister(running.control)
        running.control.close()
        if self._stop_by is not None:
            return
        if not self._announced and not running.ready:
            self._exit_code = code if code > 0 else 1
            self._stop()
            return
        now = time.monotonic()
        failures = 0 if now - running.started > _STEADY else self._failures.get(index, 0) + 1
        self._failures[index] = failures
        delay = min(_FIRST_DELAY * 2.0 ** (failures - 1), _LONGEST_DELAY) if failures > 1 else 0.0
        _log.error("worker %d ended with %d; it is replaced in %g s", index, code, delay)
        self._due[index] = _Due(now + delay, failures)
        self._tell_others(index, "left")

    def _tell_others(self, index: int, event: control.Event) -> None:
        for other in self._running.values():
            if other.identity.index != index:
                control.send(other.control, Notice(event, index))

    def _signalled(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number is signal.SIGHUP:
            self._signal_all(signal.SIGHUP)

    def _stop(self) -> None:
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._plan.settings.limits.shutdown_timeout + _MARGIN
            self._due.clear()
            close(self._plan.sockets)
        self._signal_all(signal.SIGTERM)

    def _kill_all(self) -> None:
        _log.error("workers did not end in time and are killed")
        self._stop_by = time.monotonic() + _MARGIN
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for running in self._running.values():
            os.kill(running.identity.pid, number)

    def _catch_signals(self) -> None:
        self._wakeup.setblocking(False)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno())
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
