"""Passwords as hashes: argon2id for our own, bcrypt for those that come ready-made from another server.

Hashing takes tens of milliseconds and megabytes on purpose, so it runs on threads of its own, a bounded number at a
time; whoever would have to wait behind too many others is told to come back.
"""

import asyncio
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from chancery.kit.errors import BadInput, RateLimited

MEMORY_KIB, ITERATIONS, LANES = 19_456, 2, 1
"""The first choice of OWASP's Password Storage Cheat Sheet: about 30 ms and 19 MiB a hash."""

_THREADS = 2
_MAX_WAITING = 100
MAX_PASSWORD = 1024
"""Bytes."""
_MAX_MEMORY_KIB, _MAX_ITERATIONS, _MAX_BCRYPT_COST = 256 * 1024, 10, 14
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,2}),p=([0-9]{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")

_PREFIX = f"$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={LANES}$"
_NOBODYS = f"{_PREFIX}{'A' * 22}${'A' * 43}"
"""Costs as much to check as any other, and no password is known to belong to it."""

T = TypeVar("T")


class Passwords:
    """Hashes and checks passwords off the event loop."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return an argon2id hash in PHC notation, with a salt of its own. Raises BadInput and RateLimited."""
        if not password or len(password.encode()) > MAX_PASSWORD:
            raise BadInput.of("password", f"expected 1 to {MAX_PASSWORD} bytes")
        return await self._apart(lambda: _hash(password))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Tell whether a password belongs to a hash. None is nobody's: it takes as long, and never matches."""
        return await self._apart(lambda: _matches(password, stored or _NOBODYS)) and stored is not None

    async def _apart(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MAX_WAITING:
            raise RateLimited("too many passwords are being checked; try again in a moment", retry_after=1)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def is_ours(stored: str) -> bool:
    """Tell whether a hash was made here, with the parameters of this release."""
    return stored.startswith(_PREFIX)


def checked_hash(text: str) -> str:
    """Return a hash made elsewhere. Raises BadInput for what is none, or costs too much to check."""
    bcrypt, argon2 = _BCRYPT.fullmatch(text), _PHC.fullmatch(text)
    if bcrypt is not None and 4 <= int(bcrypt[1]) <= _MAX_BCRYPT_COST:
        return text
    if argon2 is not None:
        memory, iterations, lanes = (int(part) for part in argon2.groups())
        if 8 * lanes <= memory <= _MAX_MEMORY_KIB and 1 <= iterations <= _MAX_ITERATIONS and 1 <= lanes <= 8:
            return text
    raise BadInput.of(
        "password_hash",
        f"expected a bcrypt hash of cost 4 to {_MAX_BCRYPT_COST}, or an argon2id hash ($argon2id$v=19$m=...) of at "
        f"most {_MAX_MEMORY_KIB // 1024} MiB and {_MAX_ITERATIONS} iterations",
    )


def _hash(password: str) -> str:
    kdf = Argon2id(salt=os.urandom(16), length=32, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB)
    return kdf.derive_phc_encoded(password.encode())


def _matches(password: str, stored: str) -> bool:
    candidate = password.encode("utf-8", "surrogatepass")
    if len(candidate) > MAX_PASSWORD:
        candidate = b""
    if stored.startswith("$2"):
        return _matches_bcrypt(candidate, stored)
    try:
        Argon2id.verify_phc_encoded(candidate, stored)
    except InvalidKey:
        return False
    return bool(candidate)


def _matches_bcrypt(candidate: bytes, stored: str) -> bool:
    import bcrypt

    # bcrypt reads 72 bytes; servers that made such hashes refused longer passwords, and so does this one.
    return bcrypt.checkpw(candidate[:72], stored.encode()) and 0 < len(candidate) <= 72
