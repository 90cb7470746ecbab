"""One signer process as the server sees it: started, written to in batches, read from, watched, ended.

Requests are answered in order, so what was sent is a queue. Nothing here decides what a failure means: the owner does.
"""

import asyncio
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chancery.kit.engine import KmsLibrary
from managed_keys.providers.pkcs11.ckr import Fault, Remedy
from managed_keys.providers.pkcs11.messages import Failure, Frames, Introduce, Login, TokenFacts, request

_SIGNER = "managed_keys.providers.pkcs11.signer"
_GRACE = 1.0  # seconds that a process has to end by itself once its socket is closed
_LOG = logging.getLogger(__name__)


class Call:
    """One request and who waits for it.

    `deadline` is when the caller gives up; `allowance` is how long the process may work on this request alone before it
    counts as hung. `key` is what the request signs with, None for control requests. `repeats` tells how often it may be
    asked again when a session or a process is lost.
    """

    __slots__ = ("allowance", "deadline", "frame", "future", "key", "repeats")

    def __init__(
        self, frame: bytes, loop: asyncio.AbstractEventLoop, allowance: float, key: Introduce | None, repeats: int = 1
    ) -> None:
        self.frame, self.allowance, self.key, self.repeats = frame, allowance, key, repeats
        self.future: asyncio.Future[bytes] = loop.create_future()
        self.deadline = loop.time() + allowance

    def fail(self, failure: Failure) -> None:
        """Tell who waits, if anybody still does."""
        if not self.future.done():
            self.future.set_exception(failure.copy())


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended: in words, whether it was logged in, whether it was killed because it did not answer."""

    reason: str
    was_ready: bool
    hung: bool


class Owner(Protocol):
    """Who is told what a process answers."""

    def answered(self, process: "SignerProcess", call: Call, body: bytes) -> None:
        """Take a good answer."""
        ...

    def failed(self, process: "SignerProcess", call: Call, failure: Failure) -> None:
        """Take a failed answer."""
        ...

    def drained(self, process: "SignerProcess") -> None:
        """Learn that answers came and the process can take more."""
        ...

    def lost(self, process: "SignerProcess", unanswered: Sequence[Call], ending: "Ending") -> None:
        """Learn, once, that the process is gone, with what it was sent and did not answer."""
        ...


class SignerProcess(asyncio.Protocol):
    """A running signer."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner, self._loop = owner, loop
        self._frames = Frames()
        self._sent: deque[Call] = deque()
        self._head_since = 0.0
        self._introduced: set[int] = set()
        self._transport: asyncio.Transport | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._reaper: asyncio.Task[None] | None = None
        self.alive = True
        self.ready = False
        """Logged in. Set by the owner."""

    @classmethod
    async def spawn(cls, library: KmsLibrary, owner: Owner) -> "SignerProcess":
        """Start a process for a library. It has loaded nothing yet. Raises Failure when the system lets none start."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self = cls(owner, loop)
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", _SIGNER, str(theirs.fileno()), str(os.getpid())),
                pass_fds=(theirs.fileno(),),
                env=_environment(library),
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            self._child = child
            self._reaper = loop.create_task(self._reap(child, library.name))
            self._transport, _ = await loop.create_unix_connection(lambda: self, sock=ours)
        except OSError as error:
            ours.close()
            raise Failure(Fault.AWAY, f"a signer process cannot be started: {error.strerror}") from error
        except asyncio.CancelledError:
            ours.close()  # upon which the process ends
            raise
        finally:
            theirs.close()
        return self

    @property
    def pid(self) -> int:
        """Return the process's identifier."""
        assert self._child is not None
        return self._child.pid

    @property
    def load(self) -> int:
        """Return how many requests it has not answered."""
        return len(self._sent)

    def send(self, calls: Sequence[Call]) -> None:
        """Write requests, in one piece, after the introductions that they need."""
        assert self._transport is not None
        frames: list[bytes] = []
        for call in calls:
            key = call.key
            if key is not None and key.number not in self._introduced:
                self._introduced.add(key.number)
                frames.append(request(key))
            frames.append(call.frame)
        if not self._sent:
            self._head_since = self._loop.time()
        self._sent.extend(calls)
        self._transport.write(b"".join(frames))

    async def login(self, message: Login, allowance: float) -> TokenFacts:
        """Open the token, or open it again. Raises Failure; a process that does not answer is killed."""
        call = Call(request(message), self._loop, allowance, None, repeats=0)
        self.send([call])
        try:
            async with asyncio.timeout(allowance):
                return TokenFacts.decode(await call.future)
        except TimeoutError:
            reason = f"the login was not answered within {allowance:g} s"
            self.kill(reason, hung=True)
            raise Failure(Fault.AWAY, reason, remedy=Remedy.RESTART) from None

    def forget(self, number: int, frame: bytes) -> None:
        """Let the process forget a key, if it knows it."""
        if number in self._introduced and self.alive and self._transport is not None:
            self._introduced.discard(number)
            self._transport.write(frame)

    def data_received(self, data: bytes) -> None:
        """Hand answers to the owner (asyncio.Protocol)."""
        owner, sent = self._owner, self._sent
        for failed, body in self._frames.feed(data):
            if not sent:
                return  # answers of a process that was given up meanwhile
            call = sent.popleft()
            if failed:
                owner.failed(self, call, Failure.decode(body))
            else:
                owner.answered(self, call, body)
        self._head_since = self._loop.time()
        owner.drained(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio.Protocol's
        """Tell the owner that the process is gone (asyncio.Protocol)."""
        self._end("the signer process ended unexpectedly")

    def hung_for(self, now: float) -> float:
        """Return by how many seconds the oldest request exceeds its allowance; negative when nothing does."""
        return now - self._head_since - self._sent[0].allowance if self._sent else -1.0

    @property
    def unanswered(self) -> deque[Call]:
        """Return what it was sent and did not answer, oldest first."""
        return self._sent

    def kill(self, reason: str, *, hung: bool = False) -> None:
        """End the process now. The owner hears of it before this returns."""
        self._signal_group()
        self._end(reason, hung=hung)
        if self._transport is not None:
            self._transport.abort()

    def retire(self, reason: str) -> None:
        """Close the socket, upon which the process logs out and ends. The owner hears of it before this returns."""
        if self._transport is not None:
            self._transport.close()
        self._end(reason)

    def _end(self, reason: str, *, hung: bool = False) -> None:
        if not self.alive:
            return
        ending = Ending(reason, self.ready, hung)
        self.alive = self.ready = False
        unanswered = list(self._sent)
        self._sent.clear()
        self._owner.lost(self, unanswered, ending)

    def _signal_group(self) -> None:
        # Only while it was not reaped: afterwards the number may belong to somebody else.
        if self._child is not None and self._child.returncode is None:
            try:
                os.killpg(self._child.pid, 9)
            except ProcessLookupError:
                self._child.kill()

    async def aclose(self) -> None:
        """Close the socket, upon which the process ends; kill it if it does not. Return when it is gone."""
        if self._transport is not None:
            self._transport.close()
        if self._reaper is None:
            return
        done, _ = await asyncio.wait({self._reaper}, timeout=_GRACE)
        if not done:
            self._signal_group()
            await self._reaper

    async def _reap(self, child: asyncio.subprocess.Process, name: str) -> None:
        """Log what the process or its module writes to standard error, then note how it ended."""
        assert child.stderr is not None
        while line := await child.stderr.read(4096):
            _LOG.warning("signer %d of kms_library %s: %s", child.pid, name, line.decode("utf-8", "replace").rstrip())
        code = await child.wait()
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
            _LOG.warning("signer %d of kms_library %s %s", child.pid, name, how)
        self._end("the signer process ended unexpectedly")


def _environment(library: KmsLibrary) -> dict[str, str]:
    """Return the whole environment of a signer: nothing of the server's own but where programs and locales are."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return kept | dict(library.environment)
