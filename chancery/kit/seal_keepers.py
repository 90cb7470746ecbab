"""Seal keepers: something outside, such as an HSM, that wraps the root key and gives it back.

Found by the entry point group `chancery.seal_keepers`, whose entries name a `SealKeeperType`. The host knows none of
them by name: the setting `seal.type` does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chancery.kit.attempts import Attempts, OwnAttempts
from chancery.kit.engine import KmsLibrary


class SealKeeper(Protocol):
    """Keeps a secret wrapped under a key that never leaves its HSM or KMS.

    Errors are Unavailable (away: the caller tries again) and BackendRefused (it answered no).
    """

    @property
    def type(self) -> str:
        """Return what `sys/seal-status` calls it: `pkcs11`, `awskms`, ..."""
        ...

    def recognises(self, wrapped: bytes) -> bool:
        """Tell whether the wrapped secret names this keeper's own key, as far as that shows without asking anybody."""
        ...

    async def wrap(self, secret: bytearray) -> bytes:
        """Encrypt, making the wrapping key first if the settings allow it. Must be safe to repeat after a crash."""
        ...

    async def unwrap(self, wrapped: bytes) -> bytearray:
        """Decrypt; the caller wipes the secret. Raises Corrupted when it is not what was wrapped."""
        ...

    async def reload(self) -> None:
        """Follow SIGHUP: a PIN that was refused may be tried anew."""
        ...


@dataclass(frozen=True, slots=True)
class SealKeeperContext:
    """The world of a keeper."""

    kms_libraries: Callable[[], Sequence[KmsLibrary]]
    """As configured now: SIGHUP may change them."""
    attempts: Attempts = field(default_factory=OwnAttempts)


class SealKeeperType(Protocol):
    """A kind of keeper."""

    @property
    def name(self) -> str:
        """Return the value of `seal.type` that chooses it."""
        ...

    def open(self, options: Mapping[str, object], context: SealKeeperContext) -> SealKeeper:
        """Build the keeper from the other settings of the section. Contacts nothing and reads no file.

        Raises BadInput naming every wrong setting.
        """
        ...
