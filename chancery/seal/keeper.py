"""Auto-unseal as the seal service will see it: something outside that wraps the root key and gives it back."""

from typing import Protocol


class RootKeyKeeper(Protocol):
    """Keeps the root key of an installation wrapped under a key that never leaves its HSM or KMS."""

    type: str
    """What `sys/seal-status` calls it: `pkcs11`, `awskms`, ..."""

    async def wrap(self, root_key: bytearray) -> bytes:
        """Encrypt the root key. Called once, when the server is initialised. Raises Unavailable or BackendRefused."""
        ...

    async def unwrap(self, wrapped: bytes) -> bytearray:
        """Decrypt it; the caller wipes it. Called at every start, so it must be safe to repeat.

        Raises Unavailable when the keeper is away (the caller tries again) and Corrupted when it is not what it
        wrapped.
        """
        ...
