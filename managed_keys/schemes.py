"""Signature schemes in octets: digests, DigestInfo, r||s and DER. The one place that knows these encodings.

Pure, and imported by signer processes: nothing here may import more than the standard library.
Sources: RFC 8017 section 9.2 (DigestInfo) and 8.1 (PSS), RFC 3279 section 2.2.3 (ECDSA-Sig-Value), FIPS 180-4, FIPS
202.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from managed_keys.keys import KeyAlgorithm, PublicKey, SignatureScheme


class Padding(Enum):
    """What is done with a digest before the key's own operation."""

    PKCS1 = "rsa-pkcs1"
    PSS = "rsa-pss"
    ECDSA = "ecdsa"
    PURE = "ed25519"
    """Ed25519 takes the message itself."""


class Digest(Enum):
    """A hash function: its name in `SignatureScheme`."""

    SHA1 = "sha1"
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"
    SHA3_224 = "sha3-224"
    SHA3_256 = "sha3-256"
    SHA3_384 = "sha3-384"
    SHA3_512 = "sha3-512"

    @property
    def size(self) -> int:
        """Return the length of the digest in bytes."""
        return 20 if self is Digest.SHA1 else int(self.value[-3:]) // 8

    def of(self, message: bytes) -> bytes:
        """Hash a message."""
        return _HASHES[self](message).digest()


_HASHES: dict[Digest, Callable[[bytes], "hashlib._Hash"]] = {
    digest: getattr(hashlib, digest.value.replace("-", "_")) for digest in Digest
}

# Last arcs below joint-iso-itu-t(2) country(16) us(840) organization(1) gov(101) csor(3) nistAlgorithm(4) hashAlgs(2).
_NIST_ARCS = {
    Digest.SHA256: 1,
    Digest.SHA384: 2,
    Digest.SHA512: 3,
    Digest.SHA224: 4,
    Digest.SHA3_224: 7,
    Digest.SHA3_256: 8,
    Digest.SHA3_384: 9,
    Digest.SHA3_512: 10,
}
_NIST_HASHES = bytes.fromhex("608648016503040200")[:-1]
_OIW_SHA1 = bytes.fromhex("2b0e03021a")


@dataclass(frozen=True, slots=True)
class Parts:
    """A scheme taken apart. `digest` is None for Ed25519 alone."""

    padding: Padding
    digest: Digest | None


def _take_apart(scheme: SignatureScheme) -> Parts:
    if scheme is SignatureScheme.ED25519:
        return Parts(Padding.PURE, None)
    padding = next(padding for padding in Padding if scheme.value.startswith(f"{padding.value}-"))
    return Parts(padding, Digest(scheme.value.removeprefix(f"{padding.value}-")))


PARTS = {scheme: _take_apart(scheme) for scheme in SignatureScheme}

_PADDINGS = {
    KeyAlgorithm.RSA: {Padding.PKCS1, Padding.PSS},
    KeyAlgorithm.EC: {Padding.ECDSA},
    KeyAlgorithm.ED25519: {Padding.PURE},
}
_SCHEMES = {
    algorithm: frozenset(scheme for scheme, parts in PARTS.items() if parts.padding in paddings)
    for algorithm, paddings in _PADDINGS.items()
}


def schemes_of(key: PublicKey) -> frozenset[SignatureScheme]:
    """Return the schemes that a key of this algorithm can have at all."""
    return _SCHEMES[key.algorithm]


def _tlv(tag: int, content: bytes) -> bytes:
    """Encode a DER element of at most 255 octets."""
    size = len(content)
    return bytes((tag, size)) + content if size < 0x80 else bytes((tag, 0x81, size)) + content


def _digest_info_prefix(digest: Digest) -> bytes:
    oid = _OIW_SHA1 if digest is Digest.SHA1 else _NIST_HASHES + bytes((_NIST_ARCS[digest],))
    algorithm = _tlv(0x30, _tlv(0x06, oid) + b"\x05\x00")
    whole = _tlv(0x30, algorithm + _tlv(0x04, bytes(digest.size)))
    return whole[: -digest.size]


_DIGEST_INFO = {digest: _digest_info_prefix(digest) for digest in Digest}


def digest_info(digest: Digest, value: bytes) -> bytes:
    """Return the DER DigestInfo that RSASSA-PKCS1-v1_5 pads. `value` is the digest itself."""
    return _DIGEST_INFO[digest] + value


def _integer(octets: bytes) -> bytes:
    body = octets.lstrip(b"\x00") or b"\x00"
    if body[0] & 0x80:
        body = b"\x00" + body
    return bytes((0x02, len(body))) + body


def ecdsa_der(raw: bytes) -> bytes:
    """Turn r||s, two halves of equal length, into ECDSA-Sig-Value. Raises ValueError for an odd or absurd length."""
    half, odd = divmod(len(raw), 2)
    if odd or not 1 <= half <= 66:
        raise ValueError(f"an ECDSA signature has two equal halves of at most 66 bytes, not {len(raw)} bytes")
    return _tlv(0x30, _integer(raw[:half]) + _integer(raw[half:]))


def ecdsa_raw(der: bytes, width: int) -> bytes:
    """Turn ECDSA-Sig-Value into r||s of `width` bytes each. Raises ValueError for what is not DER or too wide."""
    header = 3 if der[1:2] == b"\x81" else 2
    r, after = _read_integer(der, header)
    s, end = _read_integer(der, after)
    try:
        raw = r.to_bytes(width, "big") + s.to_bytes(width, "big")
    except OverflowError:
        raise ValueError(f"the ECDSA signature does not fit a curve of {width} bytes") from None
    if end != len(der) or ecdsa_der(raw) != der:
        raise ValueError("not a DER ECDSA-Sig-Value")
    return raw


def _read_integer(der: bytes, at: int) -> tuple[int, int]:
    if der[at : at + 1] != b"\x02" or at + 2 > len(der):
        raise ValueError("not a DER ECDSA-Sig-Value")
    start, end = at + 2, at + 2 + der[at + 1]
    return int.from_bytes(der[start:end], "big"), end


def curve_width(bits: int) -> int:
    """Return the length in bytes of a coordinate, or of r and s, on a curve of this many bits."""
    return (bits + 7) // 8
