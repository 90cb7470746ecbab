"""The barrier: AES-256-GCM under the keyring. One object for the life of the process, locked and unlocked in place.

Sealed text: version 1, number of the key (4 bytes), random nonce (12 bytes), ciphertext with tag. The header is
authenticated together with the context. Random nonces allow 2^32 messages a key: `SealService.rotate` well before.
"""

import secrets
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chancery.kit.errors import Corrupted, Sealed, Unavailable
from chancery.seal.keyring import NONCE_SIZE, TAG_SIZE, Keyring

_HEADER = struct.Struct(">BI")
_VERSION = 1
_DERIVE = b"chancery barrier derive\x00"


@dataclass(frozen=True, slots=True)
class _Open:
    """What an unlocked barrier works with."""

    keyring: Keyring
    ciphers: dict[int, AESGCM] = field(repr=False)
    header: bytes
    cipher: AESGCM = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What `sys/key-status` tells: the number of the active key and when it was made."""

    term: int
    install_time: datetime


class KeyringBarrier:
    """`Barrier` of the kit. May be used from any thread; locking and unlocking belong to `SealService`."""

    def __init__(self) -> None:
        self._open: _Open | None = None
        self.encryptions = 0
        """How often the active key encrypted, not added up elsewhere yet. Threads may lose a few: an estimate."""

    @property
    def is_sealed(self) -> bool:
        """Tell whether the keyring is out of reach."""
        return self._open is None

    def key_status(self) -> KeyStatus:
        """Tell which key encrypts now. Raises Sealed."""
        active = self._state().keyring.active
        return KeyStatus(active.number, datetime.fromtimestamp(active.created_at, UTC))

    def unlock(self, keyring: Keyring) -> None:
        """Work with this keyring from now on; the barrier owns it, and overwrites the one before."""
        ciphers = {key.number: AESGCM(key.material) for key in keyring.keys}
        active = keyring.active.number
        self._replace(_Open(keyring, ciphers, _HEADER.pack(_VERSION, active), ciphers[active]))

    def uncount(self, term: int, number: int) -> None:
        """Forget encryptions that were added up elsewhere, unless another key is active meanwhile."""
        if self._open is not None and self._open.keyring.active.number == term:
            self.encryptions -= number

    def lock(self) -> None:
        """Forget the keyring and overwrite it."""
        self._replace(None)

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt, bound to `context`. Raises Sealed."""
        state = self._state()
        self.encryptions += 1
        nonce = secrets.token_bytes(NONCE_SIZE)
        return state.header + nonce + state.cipher.encrypt(nonce, plaintext, state.header + context)

    def open(self, ciphertext: bytes, context: bytes) -> bytes:
        """Decrypt. Raises Sealed, Corrupted, and Unavailable for a key that another process made just now."""
        state = self._state()
        header, nonce = ciphertext[: _HEADER.size], ciphertext[_HEADER.size : _HEADER.size + NONCE_SIZE]
        if len(ciphertext) < _HEADER.size + NONCE_SIZE + TAG_SIZE or header[0] != _VERSION:
            raise Corrupted("the sealed value has a form that this release does not know")
        number: int = _HEADER.unpack(header)[1]
        cipher = state.ciphers.get(number)
        if cipher is None:
            if number > state.keyring.active.number:
                raise Unavailable("the value is sealed under a newer key than this process has; try again")
            raise Corrupted("the value is sealed under a key that the keyring does not have")
        try:
            return cipher.decrypt(nonce, ciphertext[_HEADER.size + NONCE_SIZE :], header + context)
        except InvalidTag:
            raise Corrupted("the sealed value is not what was sealed, or not where it was sealed for") from None

    def derive(self, purpose: bytes) -> bytes:
        """Return 32 bytes from the root secret and the purpose (HKDF-SHA256); stable across rotation. Raises Sealed."""
        while True:
            state = self._state()
            derived = HKDF(SHA256(), length=32, salt=None, info=_DERIVE + purpose).derive(state.keyring.root_secret)
            if self._open is state:
                return derived
            # Locked or rotated meanwhile by another thread: the secret may have been half overwritten.

    def _replace(self, state: _Open | None) -> None:
        before, self._open = self._open, state
        if before is None or state is None or before.keyring.active.number != state.keyring.active.number:
            self.encryptions = 0
        if before is not None:
            before.keyring.wipe()

    def _state(self) -> _Open:
        state = self._open
        if state is None:
            raise Sealed
        return state
