"""Keeps this process in step with every other one on the same database.

Every `INTERVAL`, and at once when another process rings, it looks what changed: decoded documents are dropped, and
whoever holds something made of documents (compiled policies, open mounts, cached tokens) is told. So a change made
elsewhere is in force here within `BOUND`; a change made here is in force at once, without any of this.

A process that cannot look does not know what was revoked. After `max_staleness` it is *stale*, and must answer nothing
from what it remembers until it has looked again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chancery.kit.errors import ChanceryError, Unavailable
from chancery.seal.service import SealService
from chancery.storage.database import HostDatabase
from chancery.storage.document_rows import Place
from chancery.storage.documents import DocumentStore

_log = logging.getLogger(__name__)

BOUND: Final = 1.0
"""Seconds after which a change made by one process is in force in every other that reaches the database."""
INTERVAL: Final = 0.4
"""Seconds between looks."""
_BREATH: Final = 0.02
"""Seconds between two looks at least, however often others ring."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What other processes changed, as far as it concerns one follower."""

    places: Sequence[Place] = ()
    """In the order of the changes. A place without kind and name: the whole scope was erased."""
    everything: bool = False
    """More happened than is on record: anything may have changed."""


Follow = Callable[[Changes], Awaitable[None]]
"""Makes this process agree with what is stored. Called again after it raised, so it must be safe to repeat."""


@dataclass(frozen=True, slots=True, eq=False)
class _Follower:
    scope_prefix: str
    kind: str
    follow: Follow

    def concern(self, changes: Changes) -> Changes | None:
        """Return the part of the changes that this follower wants to hear of."""
        if changes.everything:
            return changes
        places = [
            place
            for place in changes.places
            if place.scope.startswith(self.scope_prefix) and place.kind in {self.kind, ""}
        ]
        return Changes(places) if places else None


class Coherence:
    """One for the process. Starts with serving and stops with it."""

    def __init__(
        self, database: HostDatabase, store: DocumentStore, seal: SealService, *, max_staleness: float
    ) -> None:
        self._database = database
        self._store = store
        self._seal = seal
        self._max_staleness = max_staleness
        self._followers: list[_Follower] = []
        self._unheard: dict[_Follower, Changes] = {}
        """What a follower could not follow yet."""
        self._one_at_a_time = asyncio.Lock()
        self._awake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.is_stale = False
        """True while too much time has passed since the last look. Costs a request nothing but to read it."""

    def on_change(self, scope_prefix: str, kind: str, follow: Follow) -> None:
        """Have changes that other processes make to documents of a kind followed, in all scopes with a prefix.

        Followers are called one after another, in the order in which they were added.
        """
        self._followers.append(_Follower(scope_prefix, kind, follow))

    async def catch_up(self) -> None:
        """Look for the first time: what is read from now on is followed. Raises Unavailable."""
        async with self._one_at_a_time:
            await self._look()

    async def follow(self) -> None:
        """Look now. When this returns, whatever was committed before the call is in force here.

        Raises Unavailable when the database is away, and whatever a follower raised that could not follow.
        """
        async with self._one_at_a_time:
            await self._tell(await self._look())

    def start(self) -> None:
        """Look again and again, until `stop`."""
        bell = self._database.bell
        if bell is not None and bell.ring not in self._store.on_commit:
            bell.listen(self._awake.set)
            self._store.on_commit.append(bell.ring)
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop looking."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        if self._expiry is not None:
            self._expiry.cancel()
        self._unheard.clear()
        self.is_stale = False

    def refusal(self) -> Unavailable:
        """Return what to answer while stale."""
        return Unavailable(
            f"this node has not reached its database for more than {self._max_staleness:g} seconds and cannot know "
            "what was revoked meanwhile; ask another node, or try again",
            retry_after=1,
        )

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()
            try:
                await self.follow()
            except ChanceryError as error:
                _log.info("could not follow what other nodes changed, trying again: %s", error.message)
            except Exception:  # noqa: BLE001  # a node that stops looking would have to stop serving
                _log.exception("could not follow what other nodes changed, trying again")
            await asyncio.sleep(_BREATH)

    async def _look(self) -> Changes:
        """Learn what changed, and be fresh from the moment at which this began. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._seal.refresh(self._database.peek)
        polled = await self._store.poll(self._database.peek)
        if self._expiry is not None:
            self._expiry.cancel()
        if self.is_stale:
            _log.info("the database can be reached again")
        self.is_stale = False
        self._expiry = loop.call_at(began + self._max_staleness, self._expire)
        return Changes(polled.elsewhere, polled.everything)

    def _expire(self) -> None:
        self.is_stale = True
        _log.warning("the database was not reached for %g seconds: answering 503", self._max_staleness)

    async def _tell(self, changes: Changes) -> None:
        """Call every follower that is concerned. One that fails is called again with the next look."""
        failures: list[Exception] = []
        for follower in self._followers:
            concern = _both(self._unheard.pop(follower, None), follower.concern(changes))
            if concern is None:
                continue
            self._unheard[follower] = concern
            try:
                await follower.follow(concern)
            except Exception as error:  # noqa: BLE001  # the others must hear of the change all the same
                failures.append(error)
            else:
                del self._unheard[follower]
        if failures:
            raise failures[0]


def _both(earlier: Changes | None, later: Changes | None) -> Changes | None:
    if earlier is None or later is None:
        return earlier or later
    return Changes((*earlier.places, *later.places), earlier.everything or later.everything)
