"""What is stored about a managed key, sealed: its parameters, the intent to generate it, the key that it became."""

from pydantic import JsonValue

from chancery.kit.storage import Stored
from managed_keys.keys import PublicKey
from managed_keys.verification import load_public_key


class Intent(Stored):
    """A key is about to be generated under this identifier. Written before the backend is asked.

    Whoever finds an intent first looks for its key: a crash between act and result leaves no orphan and makes no second
    key. Until `expires` (Unix seconds) the key belongs to the process `owner`, which may be at work.
    """

    external_id: str
    owner: str
    expires: float


class Pinned(Stored):
    """The key that the entry stands for, from first contact on.

    The public key never changes again; `external_id` is empty when the entry was pointed to another place and the key
    has not been found there yet.
    """

    external_id: str
    spki: bytes
    generated: bool = False

    def public_key(self) -> PublicKey:
        """Return the pinned public key."""
        return load_public_key(self.spki)


class KeyEntry(Stored):
    """One managed key. Documents are named by the key's name, which is unique over all types."""

    uuid: str
    type: str
    name: str
    parameters: dict[str, JsonValue]
    writes: int = 1
    """How often a client wrote the entry. State changes of the server's own do not count."""
    intent: Intent | None = None
    pinned: Pinned | None = None

    def __repr__(self) -> str:
        return f"KeyEntry(type={self.type!r}, name={self.name!r}, uuid={self.uuid!r})"

    __str__ = __repr__
