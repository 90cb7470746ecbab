"""Key usages and extended key usages, by the names that Vault's API has for them."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from ca.x509 import der


class KeyUsage(StrEnum):
    """The bits of KeyUsage (RFC 5280 4.2.1.3), in their order."""

    DIGITAL_SIGNATURE = "DigitalSignature"
    CONTENT_COMMITMENT = "ContentCommitment"
    KEY_ENCIPHERMENT = "KeyEncipherment"
    DATA_ENCIPHERMENT = "DataEncipherment"
    KEY_AGREEMENT = "KeyAgreement"
    CERT_SIGN = "CertSign"
    CRL_SIGN = "CRLSign"
    ENCIPHER_ONLY = "EncipherOnly"
    DECIPHER_ONLY = "DecipherOnly"


CA_KEY_USAGES: Final = frozenset({KeyUsage.CERT_SIGN, KeyUsage.CRL_SIGN})
"""What Vault gives every CA certificate."""

EXT_KEY_USAGES: Final[Mapping[str, str]] = {
    "Any": "2.5.29.37.0",
    "ServerAuth": "1.3.6.1.5.5.7.3.1",
    "ClientAuth": "1.3.6.1.5.5.7.3.2",
    "CodeSigning": "1.3.6.1.5.5.7.3.3",
    "EmailProtection": "1.3.6.1.5.5.7.3.4",
    "IPSECEndSystem": "1.3.6.1.5.5.7.3.5",
    "IPSECTunnel": "1.3.6.1.5.5.7.3.6",
    "IPSECUser": "1.3.6.1.5.5.7.3.7",
    "TimeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
    "MicrosoftServerGatedCrypto": "1.3.6.1.4.1.311.10.3.3",
    "NetscapeServerGatedCrypto": "2.16.840.1.113730.4.1",
    "MicrosoftCommercialCodeSigning": "1.3.6.1.4.1.311.2.1.22",
    "MicrosoftKernelCodeSigning": "1.3.6.1.4.1.311.61.1.1",
}
"""Vault's name -> object identifier, in the order in which Vault encodes them."""

_BITS: Final = {usage: bit for bit, usage in enumerate(KeyUsage)}
_BY_NAME: Final = {usage.lower(): usage for usage in KeyUsage} | {
    "nonrepudiation": KeyUsage.CONTENT_COMMITMENT,
    "keycertsign": KeyUsage.CERT_SIGN,
}
_EXT_BY_NAME: Final = {name.lower(): oid for name, oid in EXT_KEY_USAGES.items()}
_EXT_ORDER: Final = {oid: position for position, oid in enumerate(EXT_KEY_USAGES.values())}


def parse_key_usages(names: Iterable[str]) -> frozenset[KeyUsage]:
    """Return the usages named as in Vault's `key_usage`: any case, with or without the prefix `KeyUsage`.

    Empty names are ignored. Raises ValueError that lists the names there are.
    """
    found = set()
    for name in filter(None, map(str.strip, names)):
        folded = name.lower()
        usage = _BY_NAME.get(folded) or _BY_NAME.get(folded.removeprefix("keyusage"))
        if usage is None:
            raise ValueError(f"unknown key usage {name[:80]!r}; use any of {', '.join(KeyUsage)}")
        found.add(usage)
    return frozenset(found)


def parse_ext_key_usages(names: Iterable[str]) -> tuple[str, ...]:
    """Return the object identifiers of usages named as in Vault's `ext_key_usage`, or given as identifiers.

    Vault's own come first and in Vault's order, the others after them as given; each once. Raises ValueError.
    """
    found = dict.fromkeys(_ext_key_usage(name) for name in filter(None, map(str.strip, names)))
    return tuple(sorted(found, key=lambda oid: _EXT_ORDER.get(oid, len(_EXT_ORDER))))


def _ext_key_usage(name: str) -> str:
    folded = name.lower()
    oid = _EXT_BY_NAME.get(folded) or _EXT_BY_NAME.get(folded.removeprefix("extkeyusage"))
    if oid is None:
        if not name[0].isdigit():
            raise ValueError(f"unknown extended key usage {name[:80]!r}; use its object identifier")
        der.oid(name)
        oid = name
    return oid


def key_usage_bits(usages: Iterable[KeyUsage]) -> tuple[int, ...]:
    """Return the nine bits of the BIT STRING, the first one being bit 0."""
    positions = {_BITS[usage] for usage in usages}
    return tuple(int(bit in positions) for bit in range(len(_BITS)))


def read_key_usage_bits(content: bytes) -> frozenset[KeyUsage]:
    """Read the contents of a KeyUsage BIT STRING. Raises ValueError."""
    if len(content) not in {1, 2, 3} or content[0] > 7:
        raise ValueError("malformed key usage")
    bits = int.from_bytes(content[1:].ljust(2, b"\x00"), "big")
    return frozenset(usage for usage, bit in _BITS.items() if bits >> (15 - bit) & 1)
