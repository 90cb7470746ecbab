"""A child process that serves HTTP: started with its output in a file, watched until it answers, ended on request.

Synchronous on purpose: benchmarks, the demo and threads that load a server use it as well as tests.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

START_DEADLINE = 20.0
"""Seconds that a server may take to answer on a busy machine; far above what any of them needs."""

_POLL = 0.01
_PORTS = range(20000, 32000)  # below Linux's ephemeral range: no outgoing connection can take a port found free


class ServerFailed(Exception):
    """The server ended or did not answer in time. The message carries the end of its output."""


def free_port() -> int:
    """Return a loopback TCP port that nothing listens on."""
    candidates = SystemRandom().sample(_PORTS, 50)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed(f"none of {len(candidates)} loopback ports is free")


def process_tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants, as /proc has them now."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from process_tree(int(child))


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Child:
    """One run of a server, leader of its own process group. Output goes to `log`, which is appended to."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command = tuple(command)
        self.log = log
        self._from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self._process.poll() is None

    def output(self) -> str:
        """Return what this run has printed so far."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], *, what: str, deadline: float = START_DEADLINE) -> None:
        """Wait until `ready` says so. Raises ServerFailed when the process ends first or the deadline passes."""
        give_up = time.monotonic() + deadline
        while not ready():
            try:
                status = self._process.wait(_POLL)
            except subprocess.TimeoutExpired:
                if time.monotonic() < give_up:
                    continue
                raise ServerFailed(f"not {what} after {deadline:.0f} s:\n{self.output()[-4000:]}") from None
            raise ServerFailed(f"ended with {status} before it was {what}:\n{self.output()[-4000:]}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self._process.send_signal(number)

    def wait(self, deadline: float | None = START_DEADLINE) -> int:
        """Wait for the end and return the exit status. Raises ServerFailed when it outlives the deadline, if any."""
        try:
            return self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"still runs after {deadline} s:\n{self.output()[-4000:]}") from None

    def terminate(self) -> int:
        """Ask for an orderly end with SIGTERM and return the exit status."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """End the process with SIGKILL, as a power failure would."""
        self._process.kill()
        self._process.wait()

    def sweep(self) -> None:
        """End whatever is left of the process group, the process included. Never fails."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
