"""Tokens made by hand, good and forged: nothing here is shared with what verifies them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Signer = Callable[[bytes], bytes]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(65537, 2048)

_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, sign: Signer) -> str:
    """Return a compact JWS over whatever header and payload, signed by whatever."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = ".".join(map(encode, parts))
    return f"{signed}.{encode(sign(signed.encode()))}"


def token(claims: Mapping[str, Any], key: PrivateKey = RSA, algorithm: str = "RS256", **header: Any) -> str:
    """Return a token signed in the ordinary way; `header` adds members such as `kid`."""
    return compact({"alg": algorithm, "typ": "JWT"} | header, claims, signer(key, algorithm))


def signer(key: PrivateKey, algorithm: str) -> Signer:
    """Return what signs with a key by an algorithm of RFC 7518."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    digest = _HASHES[algorithm[2:]]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return lambda data: _raw(key, key.sign(data, ec.ECDSA(digest)))
    if algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
        return lambda data: key.sign(data, pss, digest)
    return lambda data: key.sign(data, padding.PKCS1v15(), digest)


def hmac_signer(secret: bytes) -> Signer:
    """Return what signs with a shared secret (HS256)."""
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


def public_pem(key: PrivateKey) -> str:
    """Return the public key as PEM."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """Return the public key as a JWK, with more members such as `kid`."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)} | members
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.key_size + 7) // 8
        return {
            "kty": "EC",
            "crv": f"P-{key.key_size}",
            "x": encode(point.x.to_bytes(size, "big")),
            "y": encode(point.y.to_bytes(size, "big")),
        } | members
    return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().public_bytes_raw())} | members


def jwks(*keys: Mapping[str, Any]) -> bytes:
    """Return a key set."""
    return json.dumps({"keys": list(keys)}).encode()


def _integer(number: int) -> str:
    return encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _raw(key: ec.EllipticCurvePrivateKey, der: bytes) -> bytes:
    size = (key.key_size + 7) // 8
    r, s = decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
