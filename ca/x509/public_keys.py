"""Public keys as DER SubjectPublicKeyInfo: what they are, how they are identified, and which are refused."""

import hashlib
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ca.x509 import der
from ca.x509.der_reader import DerReader
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
    reader = DerReader.whole(spki, der.SEQUENCE)
    reader.read(der.SEQUENCE)
    content = reader.read(der.BIT_STRING)
    reader.finish()
    if not content or content[0]:
        raise ValueError("public key is not a whole number of octets")
    return content[1:]


def load(spki: bytes) -> PublicKeyTypes:
    """Return the pyca key. Raises ValueError when it is malformed, or not a point on its curve."""
    try:
        return load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("public key is malformed or of a kind that is not supported") from None


def describe(spki: bytes) -> PublicKey:
    """Return what kind of key it is. Raises ValueError for keys that nobody should use, and says why."""
    return describe_loaded(spki, load(spki))


def describe_loaded(spki: bytes, key: PublicKeyTypes) -> PublicKey:
    """As `describe`, for a key that pyca has loaded from this SubjectPublicKeyInfo already."""
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
