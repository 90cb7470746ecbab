"""Secrets that lock what they open when they are wrong too often: a PIN is tried by one process at a time, and a PIN
that was refused is not tried again by another.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a secret was refused, and how. `number` tells one refusal from the next of the same secret."""

    number: int
    reason: str


class Turn(Protocol):
    """The right to try a secret, until the context it came from ends."""

    @property
    def refusal(self) -> Refusal | None:
        """Return how the secret was refused before, by whichever process. Then it must not be tried."""
        ...

    def refused(self, reason: str) -> Refusal:
        """Record that it was refused just now."""
        ...


class Attempts(Protocol):
    """What the processes of this node know of each other's attempts. Secrets themselves are not kept."""

    def turn(self, secret: bytes) -> AbstractAsyncContextManager[Turn]:
        """Wait until no other process of this node tries the secret. `secret` includes what it is meant to open."""
        ...

    def forgive(self, secret: bytes, refusal: Refusal) -> None:
        """Let a secret be tried again, because somebody configured it anew. Does nothing after a newer refusal."""
        ...


class _OwnTurn:
    refusal: Refusal | None = None

    def refused(self, reason: str) -> Refusal:
        return Refusal(0, reason)


class OwnAttempts:
    """`Attempts` of a server with one process: whoever tries remembers by itself."""

    @asynccontextmanager
    async def turn(self, secret: bytes) -> AsyncIterator[Turn]:  # noqa: ARG002 - nobody else tries it
        """Return a turn at once."""
        yield _OwnTurn()

    def forgive(self, secret: bytes, refusal: Refusal) -> None:
        """Do nothing: nothing was kept."""
