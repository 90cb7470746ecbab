"""`Attempts` for the workers of one node: turns are record locks on an inherited file in memory, refusals lie in it.

The kernel ends a worker's locks when the worker dies. A secret is known only by a hash under a key that was made
before the first fork and is kept nowhere else.
"""

import asyncio
import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from chancery.kit.attempts import Refusal, Turn

PLACES = 256
"""Secrets whose refusal is remembered; the oldest refusal gives way."""
_ENTRY = struct.Struct("32sQ214pxx")
_REASON_LENGTH = 213
_TABLE_LOCK = 0
_FIRST_TURN = 1
_LOCK_BYTES = 1 << 40
_POLL = 0.02
"""Seconds between two looks at a lock that another worker holds. Logins are rare and take as long anyway."""


class SharedAttempts:
    """Made before the first fork; every worker uses its copy of this object."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._file = os.memfd_create("chancery-attempts")
        os.ftruncate(self._file, PLACES * _ENTRY.size)
        self._table = mmap.mmap(self._file, PLACES * _ENTRY.size)
        self._own: dict[int, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, secret: bytes) -> AsyncIterator[Turn]:
        """Wait for the lock of this secret; hold it until the context ends."""
        name = self._name(secret)
        byte = _FIRST_TURN + int.from_bytes(name[:8], "big") % _LOCK_BYTES
        async with self._own.setdefault(byte, asyncio.Lock()):  # record locks do not keep a process from itself
            while not self._lock(byte):  # noqa: ASYNC110 - another process holds it
                await asyncio.sleep(_POLL)
            try:
                yield _SharedTurn(self, name)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def forgive(self, secret: bytes, refusal: Refusal) -> None:
        """Remove a refusal, if it is the newest of this secret."""
        name = self._name(secret)
        with self._exclusive():
            found = self._find(name)
            if found is not None and found[1].number == refusal.number:
                self._table[found[0] : found[0] + _ENTRY.size] = bytes(_ENTRY.size)

    def refusal_of(self, name: bytes) -> Refusal | None:
        """Return the refusal of a hashed secret."""
        with self._exclusive():
            found = self._find(name)
        return found[1] if found is not None else None

    def record(self, name: bytes, reason: str) -> Refusal:
        """Write a refusal down, with a number that no refusal had before."""
        text = reason.encode()[:_REASON_LENGTH].decode(errors="ignore")
        with self._exclusive():
            found = self._find(name)
            offset = found[0] if found is not None else self._oldest()
            refusal = Refusal(time.monotonic_ns(), text)
            _ENTRY.pack_into(self._table, offset, name, refusal.number, text.encode())
        return refusal

    def _name(self, secret: bytes) -> bytes:
        return hashlib.blake2b(secret, key=self._key, digest_size=32).digest()

    def _lock(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the table for microseconds."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _TABLE_LOCK)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _TABLE_LOCK)

    def _oldest(self) -> int:
        """Return where the oldest refusal lies, or a place that is free."""
        offsets = range(0, len(self._table), _ENTRY.size)
        return min(offsets, key=lambda offset: _ENTRY.unpack_from(self._table, offset)[1])

    def _find(self, name: bytes) -> tuple[int, Refusal] | None:
        offset = self._table.find(name)
        if offset < 0:
            return None
        _, number, reason = _ENTRY.unpack_from(self._table, offset)
        return offset, Refusal(number, reason.decode())


class _SharedTurn:
    def __init__(self, attempts: SharedAttempts, name: bytes) -> None:
        self._attempts, self._name = attempts, name
        self.refusal = attempts.refusal_of(name)

    def refused(self, reason: str) -> Refusal:
        return self._attempts.record(self._name, reason)
