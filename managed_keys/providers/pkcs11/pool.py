"""What is asked of one token under one PIN: queued, sent to its signer processes in batches, answered in time.

- The first process alone finds and generates; every process signs.
- A process works in windows: what it was sent and did not answer is bounded, the rest waits here and loses nothing when
  the process dies. A request whose session or process was lost is asked for once more; one whose process hung is not.
- While the token is away, requests fail at once; the first one after the breaker's delay tries again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from chancery.kit.attempts import Attempts, OwnAttempts
from chancery.kit.metrics import Meter, Unmetered
from managed_keys.keys import SignatureScheme
from managed_keys.providers.pkcs11.address import TokenAddress
from managed_keys.providers.pkcs11.ckr import Fault, Remedy
from managed_keys.providers.pkcs11.crew import Crew
from managed_keys.providers.pkcs11.measures import Load, TokenMeasures
from managed_keys.providers.pkcs11.messages import (
    MAX_MESSAGE,
    Failure,
    Find,
    Forget,
    FoundKey,
    Generate,
    Introduce,
    Unwrap,
    Wrap,
    Wrapped,
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
_CLOSED = "the connection to the token was closed"


class SignerPool:
    """Signs, finds and generates with one token. Its methods raise Failure."""

    def __init__(
        self, address: TokenAddress, size: int, attempts: Attempts | None = None, meter: Meter | None = None
    ) -> None:
        self.address = address
        self.closed = False
        self.users: set[object] = set()
        """Who needs this pool; kept by the backend, which closes it when nobody does."""
        self.measures = TokenMeasures(meter or Unmetered(), address)
        self.crew = Crew(address, size, self, attempts or OwnAttempts(), self.measures)
        self._loop = asyncio.get_running_loop()
        self._timeout = address.library.timeout
        self._waiting: deque[Call] = deque()
        self._control: deque[Call] = deque()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    async def sign(self, key: Introduce, scheme: SignatureScheme, message: bytes) -> bytes:
        """Return the verified signature in its X.509 encoding."""
        if len(message) > MAX_MESSAGE:
            raise Failure(Fault.REFUSED, f"a message of more than {MAX_MESSAGE} bytes cannot be signed")
        call = Call(sign_request(key.number, scheme, message), self._loop, self._timeout, key)
        self._submit(self._waiting, call)
        return await call.future

    async def find(self, search: Find) -> FoundKey:
        """Search for one private key."""
        return FoundKey.decode(await self._ask(search, self._timeout))

    async def generate(self, order: Generate) -> FoundKey:
        """Generate a key pair, or return the one with this CKA_ID."""
        return FoundKey.decode(await self._ask(order, self._timeout * GENERATION_FACTOR))

    async def wrap(self, order: Wrap) -> Wrapped:
        """Encrypt a secret, after generating the key for it if the order allows that."""
        return Wrapped.decode(await self._ask(order, self._timeout * (GENERATION_FACTOR if order.generate else 1)))

    async def unwrap(self, order: Unwrap) -> bytes:
        """Decrypt a secret."""
        return await self._ask(order, self._timeout)

    async def _ask(self, order: Find | Generate | Wrap | Unwrap, allowance: float) -> bytes:
        call = Call(request(order), self._loop, allowance, None)
        self._submit(self._control, call)
        return await call.future

    def forget(self, number: int) -> None:
        """Let the processes forget a key."""
        frame = request(Forget(number))
        for process in self.crew.processes:
            process.forget(number, frame)

    def load(self) -> Load:
        """Return how much there is to do, and how many do it."""
        return Load(
            waiting=len(self._waiting) + len(self._control),
            working=sum(process.load for process in self.crew.processes),
            processes=len(self.crew.ready),
        )

    async def aclose(self) -> None:
        """Fail what waits, end every process, return when they are gone."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.unmanned(Failure(Fault.AWAY, _CLOSED))
        await self.crew.dismiss(_CLOSED)

    def _submit(self, queue: deque[Call], call: Call) -> None:
        crew = self.crew
        if crew.refusal is not None:
            raise crew.refusal.copy()
        if self.closed:
            raise Failure(Fault.AWAY, _CLOSED)
        if crew.is_resting:
            raise crew.away.copy()
        if len(queue) >= QUEUE_LIMIT:
            raise Failure(Fault.AWAY, f"{QUEUE_LIMIT} requests are waiting for the token already")
        queue.append(call)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout / _TICKS, self._tick)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Send what waits to the processes that have room, evenly; have processes started when there are none."""
        self._scheduled = False
        if not self._waiting and not self._control:
            return
        if not self.crew.ready:
            self.crew.muster()
            return
        leader = self.crew.ready[0]
        if self._control and leader.load < WINDOW:
            leader.send(_take(self._control, WINDOW))
        ready = [process for process in self.crew.ready if process.load < WINDOW]
        if len(ready) > 1:
            ready.sort(key=lambda process: process.load)
        for index, process in enumerate(ready):
            share = -(-len(self._waiting) // (len(ready) - index))
            calls = _take(self._waiting, min(share, WINDOW - process.load))
            if calls:
                process.send(calls)

    def manned(self) -> None:
        """Send what waited for a process (Foreman)."""
        self._dispatch()

    def unmanned(self, failure: Failure) -> None:
        """Fail what waits (Foreman)."""
        for queue in (self._control, self._waiting):
            while queue:
                queue.popleft().fail(failure)

    def answered(self, process: SignerProcess, call: Call, body: bytes) -> None:
        """Give an answer to whoever waits for it (Owner)."""
        if not call.future.done():
            call.future.set_result(body)
        if process.ready:
            self.crew.succeeded()

    def failed(self, process: SignerProcess, call: Call, failure: Failure) -> None:
        """Recover if the failure says how, and ask once more; otherwise tell who waits (Owner)."""
        self.measures.failed(failure)
        if failure.remedy >= Remedy.REOPEN and process.alive:
            if call.repeats:  # what fails in a new session too is the key's own trouble, and not worth another
                self.crew.suspend(process, failure.remedy)
            if self._again(call):
                return
        call.fail(failure)

    def drained(self, process: SignerProcess) -> None:  # noqa: ARG002  # the Owner protocol says whose answers they were
        """Send more (Owner)."""
        if not self._scheduled:
            self._dispatch()

    def lost(self, process: SignerProcess, unanswered: Sequence[Call], ending: Ending) -> None:
        """Ask anew what a dead process did not answer, and have it replaced (Owner)."""
        failure = Failure(Fault.AWAY, ending.reason, remedy=Remedy.RESTART)
        for call in reversed(unanswered):
            if ending.hung or not self._again(call):
                call.fail(failure)
        self.crew.lost(process, ending)
        if ending.was_ready and not self._scheduled:
            self._dispatch()

    def _again(self, call: Call) -> bool:
        """Queue a call once more, unless that was done before or nobody waits for it."""
        if not call.repeats or call.future.done() or self.closed or self.crew.refusal is not None:
            return False
        call.repeats -= 1
        (self._control if call.key is None else self._waiting).appendleft(call)
        return True

    def _tick(self) -> None:
        """Kill what hangs, and let callers go whose time is up. Runs while anything is outstanding."""
        self._timer = None
        now = self._loop.time()
        for process in list(self.crew.ready):
            if process.hung_for(now) >= 0:
                process.kill(f"the token did not answer within {self._timeout:g} s", hung=True)
        for queue in (self._control, self._waiting):
            _expire(queue, now)
            while queue and queue[0].future.done():
                queue.popleft()
        for process in self.crew.processes:
            _expire(process.unanswered, now)
        if not self.closed and (self._waiting or self._control or any(process.load for process in self.crew.processes)):
            self._timer = self._loop.call_later(self._timeout / _TICKS, self._tick)


def _take(queue: deque[Call], limit: int) -> list[Call]:
    """Take up to `limit` calls that somebody still waits for."""
    calls: list[Call] = []
    while queue and len(calls) < limit:
        call = queue.popleft()
        if not call.future.done():
            calls.append(call)
    return calls


def _expire(queue: deque[Call], now: float) -> None:
    """Fail the calls whose deadline has passed. They keep their places: answers are told apart by their order."""
    for call in queue:
        if call.deadline <= now:
            call.fail(Failure(Fault.AWAY, f"the token had no time for this within {call.allowance:g} s"))
