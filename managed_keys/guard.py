"""What every key wears: scheme check, deadline, verified signatures, clear errors, counters."""

import asyncio
import logging
from time import perf_counter

from chancery.kit.errors import BackendRefused, BadInput, ChanceryError, Unavailable
from chancery.kit.metrics import Meter, Unmetered
from managed_keys.keys import PublicKey, SignatureScheme
from managed_keys.provider import BackendKey
from managed_keys.schemes import PARTS
from managed_keys.verification import Verifier

DEADLINE = 30.0
"""Seconds that a signature may take in a backend that keeps no deadline of its own."""

_LOG = logging.getLogger(__name__)


class Measures:
    """What is counted of one key: how long its signatures took, and how many failed."""

    def __init__(self, meter: Meter, name: str, namespace_id: str) -> None:
        self.duration = meter.histogram(
            "chancery_managed_key_sign_duration_seconds",
            "Signatures by managed key, failed ones included, from the request to the verified signature.",
            key=name,
            namespace=namespace_id,
        )
        self.errors = meter.counter(
            "chancery_managed_key_sign_errors_total",
            "Signatures that failed, by managed key.",
            key=name,
            namespace=namespace_id,
        )


_UNMEASURED = Measures(Unmetered(), "", "")


class GuardedKey:
    """A managed key as engines see it (`managed_keys.keys.ManagedKey`)."""

    __slots__ = ("_key", "_measures", "_name", "_plain", "_verifier", "public_key")

    def __init__(self, key: BackendKey, name: str, measures: Measures | None = None) -> None:
        self._key, self._name = key, name
        self._measures = measures or _UNMEASURED
        self.public_key: PublicKey = key.public_key
        self._plain = key.verifies and key.keeps_deadline
        self._verifier = None if key.verifies else Verifier(self.public_key.spki)

    def __repr__(self) -> str:
        return f"GuardedKey({self._name!r})"

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the message; the signature has been verified under the pinned public key."""
        if scheme not in self._key.schemes:
            raise self._unfit(scheme)
        started = perf_counter()
        try:
            return await (self._key.sign(message, scheme) if self._plain else self._sign_watched(message, scheme))
        except BaseException as error:
            self._measures.errors.add()
            if isinstance(error, ChanceryError) or not isinstance(error, Exception):
                raise
            _LOG.exception("%s: unexpected error while signing", self._name)
            raise BackendRefused(f"{self._name}: signing failed for a reason that the server's log tells") from error
        finally:
            self._measures.duration.observe(perf_counter() - started)

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
