"""The signer processes of one token under one PIN, and the queue before them.

Who may do what:
- One task, the opener, starts processes and logs in, one after the other. A PIN that was refused is never tried again
by
  this pool: that is how tokens lock.
- The first process alone finds and generates; every process signs.
- A process works in windows: what it was sent and did not answer is bounded, the rest waits here and loses nothing when
  the process dies. A signature whose process died is asked for once more; one whose process hung is not.
- While the token is away, requests fail at once; the first one after the breaker's delay tries again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from chancery.kit.engine import KmsLibrary
from managed_keys.keys import SignatureScheme
from managed_keys.providers.pkcs11.breaker import CLOSED
from managed_keys.providers.pkcs11.ckr import Fault, Remedy
from managed_keys.providers.pkcs11.messages import (
    Failure,
    Find,
    Forget,
    FoundKey,
    Generate,
    Introduce,
    Login,
    request,
    sign_request,
)
from managed_keys.providers.pkcs11.process import Call, Ending, SignerProcess

WINDOW = 64
"""Requests that one process may hold unanswered."""
QUEUE_LIMIT = 8192
"""Requests that may wait altogether before more are refused."""
GENERATION_FACTOR = 6
"""Key generation may take this many times the deadline of an operation."""
_TICKS = 20  # looks at the clock within one deadline
_STARTING = 15.0  # seconds that a login may take beyond the deadline of an operation: a process starts, a module loads

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """Which token, and how to log in. Exactly one of `token_label` and `slot` (decimal text) is given."""

    library: KmsLibrary = field(hash=False)
    token_label: str
    slot: str
    pin: str = field(repr=False)
    read_write: bool

    def __str__(self) -> str:
        which = f'token "{self.token_label}"' if self.token_label else f"slot {self.slot}"
        return f'{which} of kms_library "{self.library.name}"'

    def login(self, *, reinitialise: bool) -> Login:
        """Build the request that opens the token."""
        return Login(
            library=str(self.library.library),
            initialization=self.library.initialization,
            token_label=self.token_label,
            slot=self.slot,
            pin=self.pin,
            read_write=self.read_write,
            reinitialise=reinitialise,
        )


class SignerPool:
    """Signs, finds and generates with one token. Its methods raise Failure."""

    def __init__(self, address: TokenAddress, size: int) -> None:
        self.address = address
        self.closed = False
        self.refusal: Failure | None = None
        """Why the token must not be asked again."""
        self.users: set[object] = set()
        """Who needs this pool; kept by the backend, which closes it when nobody does."""
        self._size = size
        self._loop = asyncio.get_running_loop()
        self._timeout = address.library.timeout
        self._processes: list[SignerProcess] = []
        self._ready: list[SignerProcess] = []
        self._suspended: dict[SignerProcess, Remedy] = {}
        self._waiting: deque[Call] = deque()
        self._control: deque[Call] = deque()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._opener: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._breaker = CLOSED
        self._away = Failure(Fault.AWAY, "the token is away")

    async def sign(self, key: Introduce, scheme: SignatureScheme, message: bytes) -> bytes:
        """Return the verified signature in its X.509 encoding."""
        call = Call(sign_request(key.number, scheme, message), self._loop, self._timeout, key)
        self._submit(self._waiting, call)
        return await call.future

    async def find(self, search: Find) -> FoundKey:
        """Search for one private key."""
        call = Call(request(search), self._loop, self._timeout, None)
        self._submit(self._control, call)
        return FoundKey.decode(await call.future)

    async def generate(self, order: Generate) -> FoundKey:
        """Generate a key pair, or return the one with this CKA_ID."""
        call = Call(request(order), self._loop, self._timeout * GENERATION_FACTOR, None)
        self._submit(self._control, call)
        return FoundKey.decode(await call.future)

    def forget(self, number: int) -> None:
        """Let the processes forget a key."""
        frame = request(Forget(number))
        for process in self._processes:
            process.forget(number, frame)

    def resize(self, size: int) -> None:
        """Allow at least so many processes."""
        if size > self._size:
            self._size = size
            if self._ready:
                self._ensure_opening()

    @property
    def retry_after(self) -> int:
        """Return after how many seconds a client may try again."""
        return self._breaker.retry_after(self._loop.time())

    @property
    def process_ids(self) -> list[int]:
        """Return the identifiers of the processes that are logged in."""
        return [process.pid for process in self._ready]

    async def aclose(self) -> None:
        """Fail what waits, end every process, return when they are gone."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._opener is not None:
            self._opener.cancel()
            await asyncio.wait({self._opener})
        closing = Failure(Fault.AWAY, "the connection to the token was closed")
        self._fail_waiting(closing)
        for process in list(self._processes):
            process.retire(closing.text)
        if self._endings:
            await asyncio.wait(self._endings)

    def _submit(self, queue: deque[Call], call: Call) -> None:
        if self.refusal is not None:
            raise self.refusal.copy()
        if self.closed:
            raise Failure(Fault.AWAY, "the connection to the token was closed")
        if not self._ready and self._breaker.is_open(self._loop.time()):
            raise self._away.copy()
        if len(queue) >= QUEUE_LIMIT:
            raise Failure(Fault.AWAY, f"{QUEUE_LIMIT} requests are waiting for the token already")
        queue.append(call)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout / _TICKS, self._tick)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Send what waits to the processes that have room, evenly; start processes when there are none."""
        self._scheduled = False
        if not self._ready:
            if self._waiting or self._control:
                self._ensure_opening()
            return
        if self._control and self._ready[0].load < WINDOW:
            self._ready[0].send(_take(self._control, WINDOW))
        ready = [process for process in self._ready if process.load < WINDOW]
        if len(ready) > 1:
            ready.sort(key=lambda process: process.load)
        for index, process in enumerate(ready):
            share = -(-len(self._waiting) // (len(ready) - index))
            calls = _take(self._waiting, min(share, WINDOW - process.load))
            if calls:
                process.send(calls)

    def answered(self, process: SignerProcess, call: Call, body: bytes) -> None:
        """Give an answer to whoever waits for it (Owner)."""
        if not call.future.done():
            call.future.set_result(body)
        if self._breaker.failures and process.ready:
            self._breaker = CLOSED

    def failed(self, process: SignerProcess, call: Call, failure: Failure) -> None:
        """Recover if the failure says how, and ask once more; otherwise tell who waits (Owner)."""
        if failure.remedy >= Remedy.REOPEN and process.alive:
            if process.ready:
                self._suspend(process, failure.remedy)
                self._ensure_opening()
            if self._again(call):
                return
        call.fail(failure)

    def drained(self, process: SignerProcess) -> None:  # noqa: ARG002  # the Owner protocol says whose answers they were
        """Send more (Owner)."""
        if (self._waiting or self._control) and not self._scheduled:
            self._dispatch()

    def lost(self, process: SignerProcess, unanswered: Sequence[Call], ending: Ending) -> None:
        """Ask anew what a dead process did not answer, and have it replaced (Owner)."""
        self._processes.remove(process)
        self._suspended.pop(process, None)
        if ending.was_ready:
            self._ready.remove(process)
        self._background(process.aclose())
        failure = Failure(Fault.AWAY, ending.reason, remedy=Remedy.RESTART)
        for call in reversed(unanswered):
            if ending.hung or not self._again(call):
                call.fail(failure)
        if ending.was_ready and not self.closed:
            _LOG.warning("%s: %s", self.address, ending.reason)
            self._give_up_for_now(failure, first_is_free=not ending.hung)
            if not self._scheduled:
                self._dispatch()

    def _suspend(self, process: SignerProcess, remedy: Remedy) -> None:
        process.ready = False
        self._ready.remove(process)
        self._suspended[process] = remedy

    def _again(self, call: Call) -> bool:
        """Queue a call once more, unless that was done before or nobody waits for it."""
        if not call.repeats or call.future.done() or self.closed or self.refusal is not None:
            return False
        call.repeats -= 1
        (self._control if call.key is None else self._waiting).appendleft(call)
        return True

    def _ensure_opening(self) -> None:
        if (self._opener is None or self._opener.done()) and not self.closed and self.refusal is None:
            self._opener = self._loop.create_task(self._open_all())

    async def _open_all(self) -> None:
        """Log in again where a session was lost, then start processes until there are enough."""
        while not self.closed and self.refusal is None:
            if self._suspended:
                process, remedy = self._suspended.popitem()
                failure = await self._revive(process, remedy)
            elif len(self._processes) < self._size and not self._breaker.is_open(self._loop.time()):
                try:
                    process = await SignerProcess.spawn(self.address.library, self)
                except Failure as refused:
                    self._give_up_for_now(refused)
                    return
                self._processes.append(process)
                failure = await self._login(process, reinitialise=False)
                if failure is not None and failure.fault is not Fault.PIN:
                    process.kill(failure.text)
                    self._give_up_for_now(failure)
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
            self._ready.append(process)
            self._dispatch()

    async def _revive(self, process: SignerProcess, remedy: Remedy) -> Failure | None:
        failure: Failure | None = Failure(Fault.AWAY, "the process must be replaced")
        for step in (Remedy.REOPEN, Remedy.REINITIALISE):
            if step < remedy or not process.alive:
                continue
            failure = await self._login(process, reinitialise=step is Remedy.REINITIALISE)
            if failure is None or failure.fault is Fault.PIN:
                break
        return failure

    async def _login(self, process: SignerProcess, *, reinitialise: bool) -> Failure | None:
        try:
            await process.login(self.address.login(reinitialise=reinitialise), self._timeout + _STARTING)
        except Failure as failure:
            return failure
        return None

    def _refuse(self, failure: Failure) -> None:
        """Stop for good: another attempt with this PIN might lock the token."""
        self.refusal = failure
        _LOG.error("%s: %s; it is not asked again with this PIN", self.address, failure.text)
        self._fail_waiting(failure)
        for process in list(self._processes):
            process.kill(failure.text)

    def _give_up_for_now(self, failure: Failure, *, first_is_free: bool = False) -> None:
        """Wait a while before more is started. Without any process left, what waits fails, unless the try is free."""
        now = self._loop.time()
        self._away = failure
        self._breaker = self._breaker.failed(now, first_is_free=first_is_free)
        if not self._ready and self._breaker.is_open(now):
            self._fail_waiting(failure)

    def _fail_waiting(self, failure: Failure) -> None:
        for queue in (self._control, self._waiting):
            while queue:
                queue.popleft().fail(failure)

    def _background(self, ending: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    def _tick(self) -> None:
        """Kill what hangs, and let callers go whose time is up. Runs while anything is outstanding."""
        self._timer = None
        now = self._loop.time()
        for process in list(self._ready):
            if process.hung_for(now) >= 0:
                process.kill(f"the token did not answer within {self._timeout:g} s", hung=True)
        late = Failure(Fault.AWAY, f"the token had no time for this within {self._timeout:g} s")
        for queue in (self._control, self._waiting):
            for call in _overdue(queue, now):
                call.fail(late)
            while queue and queue[0].future.done():
                queue.popleft()
        for process in self._processes:
            for call in process.expired(now):
                call.fail(late)
        if not self.closed and (self._waiting or self._control or any(process.load for process in self._processes)):
            self._timer = self._loop.call_later(self._timeout / _TICKS, self._tick)


def _take(queue: deque[Call], limit: int) -> list[Call]:
    """Take up to `limit` calls that somebody still waits for."""
    calls: list[Call] = []
    while queue and len(calls) < limit:
        call = queue.popleft()
        if not call.future.done():
            calls.append(call)
    return calls


def _overdue(queue: Iterable[Call], now: float) -> list[Call]:
    """Return the calls at the head of a queue whose deadline has passed; those behind are younger."""
    return list(takewhile(lambda call: call.future.done() or call.deadline <= now, queue))
