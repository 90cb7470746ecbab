"""What every key wears: scheme check, deadline, verified signatures, clear errors, counters."""

import asyncio
import logging
from dataclasses import dataclass
from time import perf_counter

from chancery.kit.errors import BackendRefused, BadInput, ChanceryError, Unavailable
from managed_keys.keys import PublicKey, SignatureScheme
from managed_keys.provider import BackendKey
from managed_keys.schemes import PARTS
from managed_keys.verification import Verifier

DEADLINE = 30.0
"""Seconds that a signature may take in a backend that keeps no deadline of its own."""

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """What one key did: signatures asked for, those that failed, and the seconds that all of them took together."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0


class GuardedKey:
    """A managed key as engines see it (`managed_keys.keys.ManagedKey`)."""

    __slots__ = ("_key", "_name", "_plain", "_verifier", "counters", "public_key")

    def __init__(self, key: BackendKey, name: str, counters: Counters | None = None) -> None:
        self._key, self._name = key, name
        self.counters = counters or Counters()
        self.public_key: PublicKey = key.public_key
        self._plain = key.verifies and key.keeps_deadline
        self._verifier = None if key.verifies else Verifier(self.public_key.spki)

    def __repr__(self) -> str:
        return f"GuardedKey({self._name!r})"

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the message; the signature has been verified under the pinned public key."""
        if scheme not in self._key.schemes:
            raise self._unfit(scheme)
        counters = self.counters
        counters.calls += 1
        started = perf_counter()
        try:
            return await (self._key.sign(message, scheme) if self._plain else self._sign_watched(message, scheme))
        except BaseException as error:
            counters.errors += 1
            if isinstance(error, ChanceryError) or not isinstance(error, Exception):
                raise
            _LOG.exception("%s: unexpected error while signing", self._name)
            raise BackendRefused(f"{self._name}: signing failed for a reason that the server's log tells") from error
        finally:
            counters.seconds += perf_counter() - started

    async def _sign_watched(self, message: bytes, scheme: SignatureScheme) -> bytes:
        try:
            async with asyncio.timeout(DEADLINE):
                signature = await self._key.sign(message, scheme)
        except TimeoutError:
            raise Unavailable(f"{self._name}: no signature within {DEADLINE:g} s", retry_after=5) from None
        if self._verifier is not None:
            digest = PARTS[scheme].digest
            hashed = digest.of(message) if digest is not None else b""
            if not self._verifier.accepts(signature, scheme, message, hashed):
                raise BackendRefused(
                    f"{self._name}: the signature does not verify under the pinned public key: the key was replaced"
                )
        return signature

    def _unfit(self, scheme: SignatureScheme) -> BadInput:
        offered = sorted(item.value for item in self._key.schemes)
        able = f"it signs with {', '.join(offered)}" if offered else "its mechanism does not sign"
        return BadInput(f"{self._name} cannot make {scheme.value} signatures: {able}")
