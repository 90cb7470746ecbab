"""Where a token is and how to log in."""

from dataclasses import dataclass, field

from chancery.kit.engine import KmsLibrary
from managed_keys.providers.pkcs11.messages import Login


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """A token behind a library, and a PIN. Exactly one of `token_label` and `slot` (decimal text) is given."""

    library: KmsLibrary = field(hash=False)
    token_label: str
    slot: str
    pin: str = field(repr=False)
    read_write: bool

    def __str__(self) -> str:
        which = f'token "{self.token_label}"' if self.token_label else f"slot {self.slot}"
        return f'{which} of kms_library "{self.library.name}"'

    @property
    def secret(self) -> bytes:
        """Return the PIN with the token that it is meant for: what one process at a time may attempt."""
        return "\0".join((str(self.library.library), self.token_label, self.slot, self.pin)).encode()

    def login(self, *, reinitialise: bool) -> Login:
        """Build the request that opens the token."""
        return Login(
            library=str(self.library.library),
            initialization=self.library.initialization,
            token_label=self.token_label,
            slot=self.slot,
            pin=self.pin,
            read_write=self.read_write,
            reinitialise=reinitialise,
        )
