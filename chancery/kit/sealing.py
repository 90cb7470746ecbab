"""The barrier as engines see it: secrets go in sealed to the place where they live."""

import hmac
from typing import Protocol


class Barrier(Protocol):
    """AES-256-GCM under the current keyring. Raises `Sealed` while the server is sealed."""

    @property
    def is_sealed(self) -> bool:
        """Tell whether the keyring is out of reach."""
        ...

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt, bound to `context` (where the value will live)."""
        ...

    def open(self, ciphertext: bytes, context: bytes) -> bytes:
        """Decrypt. Raises Corrupted when the text or its context is not what was sealed."""
        ...

    def derive(self, purpose: bytes) -> bytes:
        """Return 32 bytes that depend only on the root of the barrier and the purpose; stable across rotation."""
        ...


def keyed_name(barrier: Barrier, purpose: bytes, text: str) -> str:
    """Return a name for what must be found by a text that shall not be readable at rest. Raises Sealed."""
    return hmac.digest(barrier.derive(purpose), text.encode("utf-8", "surrogatepass"), "sha256").hex()
