"""Public keys as DER SubjectPublicKeyInfo: what they are, how they are identified, and which are refused."""

import hashlib
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ca.x509 import der
from ca.x509.der_reader import children, only
from ca.x509.weak_rsa import refuse_weak_modulus
from managed_keys.keys import EC_BITS, KeyAlgorithm, PublicKey

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
_MAX_EXPONENT: Final = 1 << 256
_CURVES: Final = {"secp224r1", "secp256r1", "secp384r1", "secp521r1"}


def spki_of(key: PublicKeyTypes) -> bytes:
    """Return the DER SubjectPublicKeyInfo of a pyca public key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ski(spki: bytes) -> bytes:
    """Return the key identifier of RFC 5280 4.2.1.2 (1): SHA-1 of the BIT STRING's octets. Raises ValueError."""
    return hashlib.sha1(_key_bits(spki), usedforsecurity=False).digest()


def _key_bits(spki: bytes) -> bytes:
    match children(only(spki, der.SEQUENCE)):
        case [(der.SEQUENCE, _), (der.BIT_STRING, content)] if content[:1] == b"\x00":
            return content[1:]
        case _:
            raise ValueError("public key is not a SubjectPublicKeyInfo")


def load(spki: bytes) -> PublicKeyTypes:
    """Return the pyca key. Raises ValueError when it is malformed, or not a point on its curve."""
    try:
        return load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("public key is malformed, unsafe or of a kind that is not supported") from None


_FIXED_LENGTH: Final[Mapping[int, tuple[bytes, KeyAlgorithm, int]]] = {
    44: (bytes.fromhex("302a300506032b6570032100"), KeyAlgorithm.ED25519, 0),
    80: (bytes.fromhex("304e301006072a8648ce3d020106052b81040021033a0004"), KeyAlgorithm.EC, 224),
    91: (bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), KeyAlgorithm.EC, 256),
    120: (bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), KeyAlgorithm.EC, 384),
    158: (bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"), KeyAlgorithm.EC, 521),
}
"""Length of a SubjectPublicKeyInfo -> how it begins when nothing but the key's octets follow, and what it then is."""


def describe_unchecked(spki: bytes) -> PublicKey:
    """As `describe`, ten times as fast, for a key under which a signature is verified next.

    Does not look whether a point lies on its curve: whoever verifies a signature finds out.
    """
    known = _FIXED_LENGTH.get(len(spki))
    if known is not None and spki.startswith(known[0]):
        return PublicKey(spki, known[1], known[2])
    return describe(spki)


def describe(spki: bytes) -> PublicKey:
    """Return what kind of key it is. Raises ValueError for keys that nobody should use, and says why."""
    key = load(spki)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _describe_ec(spki, key)
    if isinstance(key, rsa.RSAPublicKey):
        return _describe_rsa(spki, key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(spki, KeyAlgorithm.ED25519, 0)
    raise ValueError("key type is not supported; use rsa, ec or ed25519")


def _describe_ec(spki: bytes, key: ec.EllipticCurvePublicKey) -> PublicKey:
    if key.curve.name not in _CURVES:
        raise ValueError(f"elliptic curve is not supported; use P-{', P-'.join(map(str, EC_BITS))}")
    if _key_bits(spki)[0] != 0x04:
        raise ValueError("elliptic curve point must be uncompressed")
    return PublicKey(spki, KeyAlgorithm.EC, key.curve.key_size)


def _describe_rsa(spki: bytes, key: rsa.RSAPublicKey) -> PublicKey:
    bits = key.key_size
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise ValueError(f"RSA keys must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this one has {bits}")
    numbers = key.public_numbers()
    if numbers.e < 3 or numbers.e % 2 == 0 or numbers.e >= _MAX_EXPONENT:
        raise ValueError("RSA public exponent must be odd, greater than 1 and less than 2^256")
    refuse_weak_modulus(numbers.n)
    return PublicKey(spki, KeyAlgorithm.RSA, bits)
