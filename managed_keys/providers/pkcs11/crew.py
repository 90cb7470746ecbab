"""The signer processes of one token: started, logged in, revived, replaced, and left alone when that is wiser.

One task, the opener, starts processes and logs in, one after the other. A PIN that was refused is never tried again,
neither by this crew nor by those of the server's other processes: that is how tokens lock. While the token is away
nothing is tried before the breaker's delay is over.
"""

import asyncio
import logging
from typing import Protocol

from chancery.kit.attempts import Attempts, Refusal
from managed_keys.providers.pkcs11.address import TokenAddress
from managed_keys.providers.pkcs11.breaker import CLOSED
from managed_keys.providers.pkcs11.ckr import Fault, Remedy
from managed_keys.providers.pkcs11.measures import TokenMeasures
from managed_keys.providers.pkcs11.messages import Failure
from managed_keys.providers.pkcs11.process import Ending, Owner, SignerProcess

_STARTING = 15.0  # seconds that a login may take beyond the deadline of an operation: a process starts, a module loads

_LOG = logging.getLogger(__name__)


class Foreman(Owner, Protocol):
    """Whom the crew works for: takes the answers, and hears who is there."""

    def manned(self) -> None:
        """Learn that one more process is ready."""
        ...

    def unmanned(self, failure: Failure) -> None:
        """Learn that nobody is ready and nobody will be soon, and why."""
        ...


class Crew:
    """The processes. `ready` are those that are logged in; the first of them leads."""

    def __init__(
        self, address: TokenAddress, size: int, foreman: Foreman, attempts: Attempts, measures: TokenMeasures
    ) -> None:
        self.ready: list[SignerProcess] = []
        self.processes: list[SignerProcess] = []
        self.refusal: Failure | None = None
        """Why the token must not be asked again with this PIN."""
        self.away = Failure(Fault.AWAY, "the token is away")
        """Why there is nobody, while `is_resting`."""
        self._address, self._size, self._foreman = address, size, foreman
        self._loop = asyncio.get_running_loop()
        self._suspended: dict[SignerProcess, Remedy] = {}
        self._breaker = CLOSED
        self._opener: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._dismissed = False
        self._attempts = attempts
        self._measures = measures
        self._refused_as: Refusal | None = None

    @property
    def is_resting(self) -> bool:
        """Tell whether nobody is ready and it is too early to try."""
        return not self.ready and self._breaker.is_open(self._loop.time())

    @property
    def retry_after(self) -> int:
        """Return after how many seconds a client may try again."""
        return self._breaker.retry_after(self._loop.time())

    def resize(self, size: int) -> None:
        """Allow at least so many processes."""
        if size > self._size:
            self._size = size
            if self.ready:
                self.muster()

    def forgive(self) -> None:
        """Let the PIN be tried again, by whichever process: what it is for was configured anew."""
        if self._refused_as is not None:
            self._attempts.forgive(self._address.secret, self._refused_as)

    def muster(self) -> None:
        """See to it that processes are started and logged in, unless that is under way."""
        if (self._opener is None or self._opener.done()) and not self._dismissed and self.refusal is None:
            self._opener = self._loop.create_task(self._open_all())

    def succeeded(self) -> None:
        """Learn that a process did its work: the token is there."""
        if self._breaker.failures:
            self._breaker = CLOSED

    def suspend(self, process: SignerProcess, remedy: Remedy) -> None:
        """Give a process no more work before the remedy was applied."""
        if process.ready:
            process.ready = False
            self.ready.remove(process)
            self._suspended[process] = remedy
            self.muster()

    def lost(self, process: SignerProcess, ending: Ending) -> None:
        """Learn that a process is gone. One that worked is replaced at once, unless that happens again and again."""
        self.processes.remove(process)
        self._suspended.pop(process, None)
        if process in self.ready:
            self.ready.remove(process)
        task: asyncio.Task[None] = self._loop.create_task(process.aclose())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        if ending.was_ready and not self._dismissed:
            failure = Failure(Fault.AWAY, ending.reason, remedy=Remedy.RESTART)
            self._measures.failed(failure)
            self._rest(failure, first_is_free=not ending.hung)

    async def dismiss(self, reason: str) -> None:
        """End every process; return when they are gone."""
        self._dismissed = True
        if self._opener is not None:
            self._opener.cancel()
            await asyncio.wait({self._opener})
        for process in list(self.processes):
            process.retire(reason)
        if self._endings:
            await asyncio.wait(self._endings)

    async def _open_all(self) -> None:
        """Log in again where a session was lost, then start processes until there are enough."""
        while not self._dismissed and self.refusal is None:
            if self._suspended:
                process, remedy = self._suspended.popitem()
                failure = await self._revive(process, remedy)
            elif len(self.processes) < self._size and not self._breaker.is_open(self._loop.time()):
                try:
                    process = await SignerProcess.spawn(self._address.library, self._foreman)
                except Failure as refused:
                    self._rest(refused)
                    return
                self.processes.append(process)
                failure = await self._login(process, reinitialise=False)
                if failure is not None and failure.fault is not Fault.PIN:
                    process.kill(failure.text)
                    self._rest(failure)
                    return
            else:
                return
            self._opened(process, failure)

    def _opened(self, process: SignerProcess, failure: Failure | None) -> None:
        """Let a process work, or end one that could not log in; the opener's next round starts another."""
        if failure is not None and failure.fault is Fault.PIN:
            self._refuse(failure)
        elif failure is not None:
            process.kill(failure.text)
        elif process.alive:
            process.ready = True
            self.ready.append(process)
            self._foreman.manned()

    async def _revive(self, process: SignerProcess, remedy: Remedy) -> Failure | None:
        """Log in again, gently first. Return why that did not help."""
        failure: Failure | None = Failure(Fault.AWAY, "the process must be replaced")
        for step in (Remedy.REOPEN, Remedy.REINITIALISE):
            if step < remedy or not process.alive:
                continue
            failure = await self._login(process, reinitialise=step is Remedy.REINITIALISE)
            if failure is None or failure.fault is Fault.PIN:
                break
        return failure

    async def _login(self, process: SignerProcess, *, reinitialise: bool) -> Failure | None:
        allowance = self._address.library.timeout + _STARTING
        async with self._attempts.turn(self._address.secret) as turn:
            if turn.refusal is not None:
                self._refused_as = turn.refusal
                return Failure(Fault.PIN, turn.refusal.reason)
            try:
                await process.login(self._address.login(reinitialise=reinitialise), allowance)
            except Failure as failure:
                if failure.fault is Fault.PIN:
                    self._refused_as = turn.refused(failure.text)
                return failure
        return None

    def _refuse(self, failure: Failure) -> None:
        """Stop for good: another attempt with this PIN might lock the token."""
        self.refusal = failure
        _LOG.error("%s: %s; it is not asked again with this PIN", self._address, failure.text)
        for process in list(self.processes):
            process.kill(failure.text)
        self._foreman.unmanned(failure)

    def _rest(self, failure: Failure, *, first_is_free: bool = False) -> None:
        """Start nothing for a while, unless this failure is free."""
        self.away = failure
        self._breaker = self._breaker.failed(self._loop.time(), first_is_free=first_is_free)
        _LOG.warning("%s: %s", self._address, failure.text)
        if self.is_resting:
            self._foreman.unmanned(failure)
