"""Public keys that verify tokens: out of PEM, and out of key sets (JWK, RFC 7517). Pure.

Only public keys for asymmetric algorithms come in: where no shared secret exists, none can be confused with a key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

Key = RSAKey | ECKey | OKPKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

_MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048
_UNFIT: Final = (
    f"expected an RSA key of at least {_MIN_RSA_BITS} bits, or one on the curves P-256, P-384, P-521, Ed25519, Ed448"
)
_KINDS: Final[tuple[tuple[type[PublicKey], Literal["RSA", "EC", "OKP"]], ...]] = (
    (rsa.RSAPublicKey, "RSA"),
    (ec.EllipticCurvePublicKey, "EC"),
    (ed25519.Ed25519PublicKey, "OKP"),
    (ed448.Ed448PublicKey, "OKP"),
)
_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
_SIGNING_CURVES: Final = frozenset({"P-256", "P-384", "P-521", "Ed25519", "Ed448"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key."""

    key: Key
    kid: str = ""
    """How tokens name it; empty when it has no name."""
    algorithm: str = ""
    """The only algorithm it may be used with; empty when its owner did not say."""


def key_of_pem(text: str) -> VerificationKey:
    """Read a PEM public key or certificate. Raises ValueError."""
    data = text.strip().encode()
    try:
        public: object = (
            x509.load_pem_x509_certificate(data).public_key()
            if b"BEGIN CERTIFICATE" in data
            else serialization.load_pem_public_key(data)
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("expected a PEM public key or certificate") from None
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < _MIN_RSA_BITS:
        raise ValueError(_UNFIT)
    for base, kind in _KINDS:
        if isinstance(public, base):
            spki = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            return _fit_key(spki, kind)
    raise ValueError(_UNFIT)


def _fit_key(spki: bytes, kind: Literal["RSA", "EC", "OKP"]) -> VerificationKey:
    try:
        key = import_key(spki, kind)
    except (JoseError, ValueError, KeyError):
        raise ValueError(_UNFIT) from None
    if not _is_fit(key):
        raise ValueError(_UNFIT)
    return VerificationKey(key)


def keys_of_set(body: bytes) -> tuple[VerificationKey, ...]:
    """Read a JWK set and return the keys in it that can verify tokens; others are passed over, as RFC 7517 says.

    Raises ValueError when it is no key set, or too large a one.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("the key set is not JSON") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError('the key set has no member "keys"')
    if len(members) > _MAX_KEYS:
        raise ValueError(f"the key set has more than {_MAX_KEYS} keys")
    found = (_key_of(member) for member in members if isinstance(member, dict))
    return tuple(key for key in found if key is not None)


def _key_of(member: dict[str, Any]) -> VerificationKey | None:
    public: dict[str, str | list[str]] = {
        name: value for name, value in member.items() if name in _PUBLIC and isinstance(value, str)
    }
    kid, algorithm, operations = member.get("kid", ""), member.get("alg", ""), member.get("key_ops", ["verify"])
    is_meant_for_it = member.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if public.get("kty") not in _TYPES or not is_meant_for_it:
        return None
    if public["kty"] == "RSA" and len(public.get("n", "")) * 6 < _MIN_RSA_BITS:
        return None
    try:
        key = import_key(public)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if not isinstance(key, Key) or not _is_fit(key) or not isinstance(kid, str) or not isinstance(algorithm, str):
        return None
    return VerificationKey(key, kid, algorithm)


_PUBLIC: Final = frozenset({"kty", "n", "e", "crv", "x", "y"})
"""Members that make a public key; private ones are not even read."""


def _is_fit(key: Key) -> bool:
    if isinstance(key, RSAKey):
        return key.raw_value.key_size >= _MIN_RSA_BITS
    return key.curve_name in _SIGNING_CURVES


def named(keys: Sequence[VerificationKey], kid: str) -> list[VerificationKey]:
    """Return the keys that a token which names its key may be signed with: those of that name, and nameless ones."""
    return [key for key in keys if not kid or not key.kid or key.kid == kid]
