"""The other workers as one worker knows them: who they are, who is the eldest, and how all of them act together.

Seal operations are agreed: what the eldest did, every other does before the answer leaves. A worker that does not
within the deadline hangs; the supervisor ends it, and its replacement asks for the present state. So nobody stays
unsealed behind the operator's back.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chancery.kit.errors import ChanceryError
from chancery.workers.board import Changes
from chancery.workers.link import Answering, Link, SiblingGone, Topic

_log = logging.getLogger(__name__)

AGREEMENT = 10.0
"""Seconds in which a worker seals or unseals: engines are closed, signer processes end."""
QUESTION = 2.0
"""Seconds for what a worker knows by heart."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which worker. Generations grow with every start: the smallest among the living belongs to the eldest."""

    index: int
    generation: int
    pid: int


class Siblings:
    """Used on the event loop only."""

    def __init__(self, own: Identity, changes: Changes, hung: Callable[[Identity], None]) -> None:
        """`hung` has the supervisor end a worker."""
        self.own = own
        self.changes = changes
        self._hung = hung
        self._links: dict[Identity, Link] = {}
        self._answering: Answering | None = None

    def answer_with(self, answering: Answering) -> None:
        """Say who answers what siblings ask."""
        self._answering = answering

    @property
    def eldest(self) -> Identity:
        """Return the worker that has been there longest, perhaps this one."""
        return min((self.own, *self._links), key=lambda identity: identity.generation)

    @property
    def is_eldest(self) -> bool:
        """Tell whether this worker has been there longest."""
        return all(self.own.generation < other.generation for other in self._links)

    async def join(self, other: Identity, end: socket.socket) -> None:
        """Connect to a sibling. One that ended meanwhile is passed over."""
        assert self._answering is not None, "siblings ask as soon as they are connected"
        try:
            link = await Link.over(end, other.pid, self._answering, lambda: self._forget(other))
        except SiblingGone as error:
            _log.warning("worker %d: %s", other.index, error)
            self._hung(other)  # a worker that others cannot reach would stay unsealed when they seal
            return
        self._links[other] = link

    async def root_key(self) -> bytes:
        """Return the root key from the eldest sibling that has it; nothing when all are sealed."""
        for _, link in sorted(self._links.items(), key=lambda entry: entry[0].generation):
            try:
                root_key = await link.ask(Topic.ROOT_KEY, b"", AGREEMENT)
            except (SiblingGone, TimeoutError, ChanceryError) as error:
                _log.warning("a worker did not say whether it is unsealed: %s", error)
                continue
            if root_key:
                return root_key
        return b""

    async def initialized(self) -> None:
        """Have all siblings know that the server was initialized."""
        await self._agree(Topic.INITIALIZED, b"")

    async def unsealed(self, root_key: bytes) -> None:
        """Have all siblings unseal."""
        await self._agree(Topic.UNSEAL, root_key)

    async def sealed(self) -> None:
        """Have all siblings seal. When this returns, each has, or has been ended."""
        await self._agree(Topic.SEAL, b"")

    async def ask_eldest(self, topic: Topic, body: bytes, deadline: float) -> bytes:
        """Ask the eldest, who is another. Raises SiblingGone, TimeoutError or Unavailable."""
        return await self._links[self.eldest].ask(topic, body, deadline)

    async def ask_all(self, topic: Topic) -> Mapping[Identity, bytes]:
        """Ask every sibling what it knows by heart; who does not answer is left out."""
        others = list(self._links.items())
        answers = await asyncio.gather(*(link.ask(topic, b"", QUESTION) for _, link in others), return_exceptions=True)
        return {
            identity: answer for (identity, _), answer in zip(others, answers, strict=True) if isinstance(answer, bytes)
        }

    def close(self) -> None:
        """Close every connection."""
        for link in list(self._links.values()):
            link.close()

    async def _agree(self, topic: Topic, body: bytes) -> None:
        await asyncio.gather(*(self._carry_out(other, topic, body) for other in list(self._links)))

    async def _carry_out(self, other: Identity, topic: Topic, body: bytes) -> None:
        try:
            await self._links[other].ask(topic, body, AGREEMENT)
        except SiblingGone:
            return
        except (TimeoutError, ChanceryError) as error:
            _log.error("worker %d did not follow (%s): it is replaced", other.index, str(error) or "no answer")
            self._hung(other)

    def _forget(self, other: Identity) -> None:
        self._links.pop(other, None)
