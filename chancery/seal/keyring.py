"""The keyring: numbered AES-256 keys, of which the newest encrypts, and a root secret that never changes.

It is stored wrapped by the root key, and the root key wrapped by the unseal key: `wrap` and `unwrap`. Everything
here is kept in bytearrays, so that sealing can overwrite it.
"""

import secrets
import struct
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chancery.kit.errors import Corrupted

KEY_SIZE = 32
NONCE_SIZE = 12
TAG_SIZE = 16

_WRAP_VERSION = b"\x01"
_HEADER = struct.Struct(">BI32s")
_ENTRY = struct.Struct(">IQ32s")
_KEYRING_VERSION = 1


def new_key() -> bytearray:
    """Return a random key of 32 bytes."""
    return bytearray(secrets.token_bytes(KEY_SIZE))


def wipe(*secret: bytearray) -> None:
    """Overwrite secrets in place."""
    for each in secret:
        each[:] = bytes(len(each))


@dataclass(frozen=True, slots=True)
class BarrierKey:
    """One key of the keyring. Numbers begin with 1 and are never used twice."""

    number: int
    created_at: int
    """Unix seconds."""
    material: bytearray = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys that anything may be encrypted with; the last one is active."""

    root_secret: bytearray = field(repr=False)
    """What `Barrier.derive` derives from; the same for the life of the installation."""
    keys: tuple[BarrierKey, ...]

    @classmethod
    def generate(cls, now: datetime) -> "Keyring":
        """Make the first keyring of an installation."""
        return cls(new_key(), (BarrierKey(1, int(now.timestamp()), new_key()),))

    @property
    def active(self) -> BarrierKey:
        """Return the key that encrypts."""
        return self.keys[-1]

    def rotated(self, now: datetime) -> "Keyring":
        """Return a keyring with one more key. Shares the memory of this one: wipe only the newer."""
        newest = BarrierKey(self.active.number + 1, int(now.timestamp()), new_key())
        return Keyring(self.root_secret, (*self.keys, newest))

    def wipe(self) -> None:
        """Overwrite every key; the keyring is useless afterwards."""
        wipe(self.root_secret, *(key.material for key in self.keys))

    def to_bytes(self) -> bytearray:
        """Return the plain encoding; the caller wraps and wipes it."""
        encoded = bytearray(_HEADER.size + _ENTRY.size * len(self.keys))
        _HEADER.pack_into(encoded, 0, _KEYRING_VERSION, len(self.keys), self.root_secret)
        for index, key in enumerate(self.keys):
            _ENTRY.pack_into(encoded, _HEADER.size + index * _ENTRY.size, key.number, key.created_at, key.material)
        return encoded

    @classmethod
    def from_bytes(cls, encoded: bytearray) -> "Keyring":
        """Parse the plain encoding. Raises Corrupted."""
        try:
            version, count, root_secret = _HEADER.unpack_from(encoded)
            if version != _KEYRING_VERSION or len(encoded) != _HEADER.size + count * _ENTRY.size or not count:
                raise Corrupted("the stored keyring has a form that this release does not know")
            keys = (BarrierKey(number, at, bytearray(key)) for number, at, key in _entries(encoded))
            return cls(bytearray(root_secret), tuple(keys))
        except struct.error:
            raise Corrupted("the stored keyring is cut short") from None


def _entries(encoded: bytearray) -> list[tuple[int, int, bytes]]:
    return list(_ENTRY.iter_unpack(memoryview(encoded)[_HEADER.size :]))


def wrap(key: bytearray, secret: bytearray, purpose: bytes) -> bytes:
    """Encrypt a secret for storage under a key of 32 bytes, bound to its purpose."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    return _WRAP_VERSION + nonce + AESGCM(key).encrypt(nonce, secret, _WRAP_VERSION + purpose)


def unwrap(key: bytearray, wrapped: bytes, purpose: bytes) -> bytearray:
    """Decrypt into memory that can be wiped. Raises Corrupted when key, purpose or text is another."""
    start = len(_WRAP_VERSION) + NONCE_SIZE
    if wrapped[:1] != _WRAP_VERSION or len(wrapped) < start + TAG_SIZE:
        raise Corrupted("the wrapped key has a form that this release does not know")
    secret = bytearray(len(wrapped) - start - TAG_SIZE)
    try:
        AESGCM(key).decrypt_into(wrapped[1:start], wrapped[start:], _WRAP_VERSION + purpose, secret)
    except InvalidTag:
        raise Corrupted("the wrapped key does not open with this key") from None
    return secret
