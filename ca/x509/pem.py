"""PEM (RFC 7468), written as Vault writes it and read as people paste it."""

import binascii
from collections.abc import Iterable
from typing import Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

CERTIFICATE: Final = "CERTIFICATE"
REQUEST: Final = "CERTIFICATE REQUEST"
NEW_REQUEST: Final = "NEW CERTIFICATE REQUEST"
CRL: Final = "X509 CRL"
PRIVATE_KEY: Final = "PRIVATE KEY"
EC_PRIVATE_KEY: Final = "EC PRIVATE KEY"
RSA_PRIVATE_KEY: Final = "RSA PRIVATE KEY"
PUBLIC_KEY: Final = "PUBLIC KEY"

MAX_TEXT: Final = 1 << 20
_BEGIN: Final = "-----BEGIN "
_DASHES: Final = "-----"


class PemBlock(NamedTuple):
    """One block: what stands behind BEGIN, and the octets. Never print one that may hold a key."""

    label: str
    der: bytes

    def __repr__(self) -> str:
        return f"PemBlock({self.label!r}, {len(self.der)} octets)"


def encode(label: str, der: bytes) -> str:
    """Return one block of 64-character lines, without a newline at the end: so Vault has it in JSON."""
    text = binascii.b2a_base64(der, newline=False).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])


def bundle(blocks: Iterable[str]) -> str:
    """Join encoded blocks as in Vault's `pem_bundle`: key first, then the certificate, then its chain."""
    return "\n".join(block.strip("\n") for block in blocks if block)


def decode(text: str | bytes) -> list[PemBlock]:
    """Return all blocks of a text, ignoring what stands between them.

    Lenient as people's clipboards demand: missing or CRLF line ends, spaces for newlines, literal backslash-n. Raises
    ValueError for what is not base64 (headers of encrypted keys are not), and for a BEGIN without its END.
    """
    clean = _plain_text(text)
    blocks = []
    at = clean.find(_BEGIN)
    while at >= 0:
        label_end = clean.find(_DASHES, at + len(_BEGIN))
        label = clean[at + len(_BEGIN) : max(label_end, 0)]
        if label_end < 0 or len(label) > 64:
            raise ValueError("PEM block has a malformed BEGIN line")
        start = label_end + len(_DASHES)
        end = clean.find(f"-----END {label}-----", start)
        if end < 0:
            raise ValueError(f"PEM block has no line -----END {label}-----")
        blocks.append(PemBlock(label, _base64(clean[start:end])))
        at = clean.find(_BEGIN, end)
    return blocks


def decode_one(text: str | bytes, *labels: str) -> bytes:
    """Return the octets of the first block with one of these labels. Raises ValueError when there is none."""
    for block in decode(text):
        if block.label in labels:
            return block.der
    raise ValueError(f"no PEM block -----BEGIN {labels[0]}----- found")


def _plain_text(text: str | bytes) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError(f"PEM text must not be longer than {MAX_TEXT} characters")
    clean = text if isinstance(text, str) else text.decode("latin-1")
    return clean.replace("\\r", "\r").replace("\\n", "\n") if "\\" in clean else clean


def _base64(text: str) -> bytes:
    try:
        octets = binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError("PEM block does not contain valid base64") from None
    if not octets:
        raise ValueError("PEM block is empty")
    return octets


def encode_private_key(pkcs8: bytes, *, as_pkcs8: bool = False) -> str:
    """Return a private key as Vault's `private_key`: RSA and EC in their own formats, others (or all) as PKCS#8.

    Raises ValueError, which says nothing of the key, when it is not an unencrypted PKCS#8 key.
    """
    if as_pkcs8:
        return encode(PRIVATE_KEY, pkcs8)
    try:
        key = load_der_private_key(pkcs8, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("private key is not an unencrypted PKCS#8 key") from None
    if isinstance(key, rsa.RSAPrivateKey):
        label = RSA_PRIVATE_KEY
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        label = EC_PRIVATE_KEY
    else:
        return encode(PRIVATE_KEY, pkcs8)
    return encode(label, key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
