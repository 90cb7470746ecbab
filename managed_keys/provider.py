"""The port that key providers implement: PKCS#11, cloud services, and whatever a third party adds.

A provider is found through the entry point group `chancery.key_providers`, whose entries name a `ProviderType`. Errors
are those of `chancery.kit.errors`: Unavailable (away, may be retried), BackendRefused (it answered no).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chancery.kit.attempts import Attempts, OwnAttempts
from chancery.kit.clock import Clock
from chancery.kit.engine import KmsLibrary
from chancery.kit.errors import BadInput
from chancery.kit.metrics import Meter, Unmetered
from managed_keys.keys import NewKey, PublicKey, SignatureScheme
from managed_keys.parameters import KeyParameters


@dataclass(frozen=True, slots=True)
class KeyHandle:
    """A key in a backend: how it is found again, and the public key that is pinned to it.

    `external_id` is the backend's own: CKA_ID in hex, an ARN, a key version's name. Empty when the parameters alone
    lead to the key.
    """

    external_id: str
    public_key: PublicKey


class BackendKey(Protocol):
    """An open key of a provider. Safe for concurrent use; holding one holds no session and no lock."""

    @property
    def public_key(self) -> PublicKey:
        """Return the public key that it was opened with."""
        ...

    @property
    def schemes(self) -> frozenset[SignatureScheme]:
        """Return the schemes that the configuration lets it sign with."""
        ...

    @property
    def verifies(self) -> bool:
        """Tell whether signatures have been verified under the public key before `sign` returns them."""
        ...

    @property
    def keeps_deadline(self) -> bool:
        """Tell whether `sign` ends within its own deadline."""
        ...

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the message; return the X.509 encoding. Signing twice does no harm."""
        ...


class KeyGenerator(Protocol):
    """The power to make keys."""

    def plan(self) -> tuple[str, NewKey]:
        """Choose the identifier of a key to be made, and say what it will be. Contacts nothing.

        Raises BadInput when the parameters do not allow or do not describe a key.
        """
        ...

    async def generate(self, external_id: str, new: NewKey) -> KeyHandle:
        """Make the key that was planned. Idempotent: the key that has this identifier already is the answer."""
        ...


class KeyProvider(Protocol):
    """The connection that one entry describes. Cheap: connections proper are shared behind it.

    Optional powers are attributes that may be None.
    """

    @property
    def generator(self) -> KeyGenerator | None:
        """Return the power to make keys, if the backend has it."""
        ...

    async def find(self, external_id: str = "") -> KeyHandle | None:
        """Find the key by its identifier or, without one, as the parameters name it. None when there is none.

        Raises BackendRefused when several fit.
        """
        ...

    def open(self, handle: KeyHandle) -> BackendKey:
        """Open a key that was found. Contacts nothing."""
        ...

    async def aclose(self) -> None:
        """Give back what belongs to this entry alone. The entry changed: a refused PIN may be tried anew."""
        ...


class Backend(Protocol):
    """A running provider: from unseal to seal."""

    def check(self, parameters: KeyParameters) -> None:
        """Refuse parameters that this node could never use. Contacts nothing. Raises BadInput."""
        ...

    def connect(self, parameters: KeyParameters) -> KeyProvider:
        """Build the connection for an entry. Contacts nothing."""
        ...

    async def reload(self) -> None:
        """Follow changed settings; what did not change keeps running."""
        ...

    async def aclose(self) -> None:
        """Forget every secret, end every process and connection."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """The world of a provider."""

    clock: Clock
    kms_libraries: Callable[[], Sequence[KmsLibrary]]
    attempts: Attempts = field(default_factory=OwnAttempts)
    meter: Meter = field(default_factory=Unmetered)


class ProviderType(Protocol):
    """A kind of provider. `name` is the `{type}` of `sys/managed-keys/{type}`."""

    @property
    def name(self) -> str:
        """Return the type's name."""
        ...

    @property
    def parameters(self) -> type[KeyParameters]:
        """Return the model of its parameters."""
        ...

    def open(self, context: ProviderContext) -> Backend:
        """Build the running provider. Cheap and without I/O."""
        ...


def unsupported_type(name: str, known: Sequence[str]) -> BadInput:
    """Build the refusal of a type that is not installed. Terraform recognises its first words."""
    return BadInput(f'unsupported managed key type "{name}": this server has {", ".join(sorted(known)) or "none"}')
