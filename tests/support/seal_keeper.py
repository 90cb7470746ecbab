"""A seal keeper without an HSM: wraps with a key of its own, and can be away, refuse, or fail after doing it."""

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from chancery.kit.clock import SystemClock
from chancery.kit.errors import Corrupted, Unavailable
from chancery.kit.seal_keepers import SealKeeper, SealKeeperContext
from chancery.kit.storage import Database
from chancery.seal.custody import Keepers
from chancery.seal.service import SealService

T = TypeVar("T")

_NONCE = bytes(12)


class FakeKeeper:
    """Keeps one AES key under a name. Nonces repeat: for tests only."""

    type = "fake"

    def __init__(self, name: str = "hsm") -> None:
        self.name = name
        self.calls: list[str] = []
        self.faults: dict[int, Callable[[], Exception]] = {}
        """What goes wrong, by the number of the call, from 0."""
        self.mangles = False
        self._cipher = AESGCM(name.encode().ljust(32, b"."))

    def recognises(self, wrapped: bytes) -> bool:
        """Tell by the name."""
        try:
            return bool(json.loads(wrapped)["name"] == self.name)
        except (ValueError, KeyError):
            return False

    async def wrap(self, secret: bytearray) -> bytes:
        """Encrypt."""
        self._note("wrap")
        ciphertext = self._cipher.encrypt(_NONCE, bytes(secret), None)
        return json.dumps({"name": self.name, "ciphertext": ciphertext.hex()}).encode()

    async def unwrap(self, wrapped: bytes) -> bytearray:
        """Decrypt what this one encrypted."""
        self._note("unwrap")
        if not self.recognises(wrapped):
            raise Corrupted("another keeper wrapped it")
        secret = bytearray(self._cipher.decrypt(_NONCE, bytes.fromhex(json.loads(wrapped)["ciphertext"]), None))
        return bytearray(len(secret)) if self.mangles else secret

    async def reload(self) -> None:
        """Note it."""
        self.calls.append("reload")

    def go_away(self, calls: int = 1) -> None:
        """Be unreachable for as many of the next calls."""
        for number in range(calls):
            self.faults[len(self.calls) + number] = lambda: Unavailable("the HSM is away")

    def _note(self, what: str) -> None:
        fault = self.faults.get(len(self.calls))
        self.calls.append(what)
        if fault is not None:
            raise fault()


class FakeKeeperType:
    """Hands out keepers by the option `name`, the same one each time."""

    name = "fake"

    def __init__(self) -> None:
        self.keepers: dict[str, FakeKeeper] = {}

    def open(self, options: Mapping[str, object], context: SealKeeperContext) -> SealKeeper:
        """Return the keeper of this name."""
        return self.keepers.setdefault(str(options["name"]), FakeKeeper(str(options["name"])))


class CrashingDatabase:
    """Fails its writes, either `before-commit` or `after-commit`; any other step leaves them alone."""

    def __init__(self, database: Database, step: str) -> None:
        self.step = step
        self.read = database.read
        self.append = database.append
        self._database = database

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Write, or not, and fail."""
        if self.step == "before-commit":
            raise Unavailable("the power went")
        result = await self._database.write(work)
        if self.step == "after-commit":
            raise Unavailable("the power went")
        return result


async def service_of(
    database: Database, current: SealKeeper | None = None, previous: SealKeeper | None = None
) -> SealService:
    """Return another process's seal on the database."""
    service = SealService(database, SystemClock(), keepers=Keepers(current, previous))
    await service.load()
    return service


async def unsealed(service: SealService, *keys: bytes, migrate: bool = False) -> SealService:
    """Enter shares, and return the service."""
    for key in keys:
        await service.unseal(key, migrate=migrate)
    assert not service.barrier.is_sealed
    return service
