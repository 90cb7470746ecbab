"""Signature algorithms on the wire: AlgorithmIdentifier (RFC 4055, 5758, 8410) and the names that Vault's API uses."""

from collections.abc import Mapping
from typing import Final

from ca.x509 import der
from managed_keys.keys import SignatureScheme

_NULL: Final = b"\x05\x00"
_RSASSA_PSS: Final = "1.2.840.113549.1.1.10"
_MGF1: Final = "1.2.840.113549.1.1.8"


def _pss(digest_oid: str, salt_length: int) -> bytes:
    """Return id-RSASSA-PSS with all parameters of RFC 4055 3.1; trailerField is its default and therefore absent."""
    digest = der.sequence(der.oid(digest_oid), _NULL)
    parameters = der.sequence(
        der.tlv(der.context(0), digest),
        der.tlv(der.context(1), der.sequence(der.oid(_MGF1), digest)),
        der.tlv(der.context(2), der.integer(salt_length)),
    )
    return der.sequence(der.oid(_RSASSA_PSS), parameters)


_IDENTIFIERS: Final[Mapping[SignatureScheme, bytes]] = {
    SignatureScheme.RSA_PKCS1_SHA256: der.sequence(der.oid("1.2.840.113549.1.1.11"), _NULL),
    SignatureScheme.RSA_PKCS1_SHA384: der.sequence(der.oid("1.2.840.113549.1.1.12"), _NULL),
    SignatureScheme.RSA_PKCS1_SHA512: der.sequence(der.oid("1.2.840.113549.1.1.13"), _NULL),
    SignatureScheme.RSA_PSS_SHA256: _pss("2.16.840.1.101.3.4.2.1", 32),
    SignatureScheme.RSA_PSS_SHA384: _pss("2.16.840.1.101.3.4.2.2", 48),
    SignatureScheme.RSA_PSS_SHA512: _pss("2.16.840.1.101.3.4.2.3", 64),
    SignatureScheme.ECDSA_SHA256: der.sequence(der.oid("1.2.840.10045.4.3.2")),
    SignatureScheme.ECDSA_SHA384: der.sequence(der.oid("1.2.840.10045.4.3.3")),
    SignatureScheme.ECDSA_SHA512: der.sequence(der.oid("1.2.840.10045.4.3.4")),
    SignatureScheme.ED25519: der.sequence(der.oid("1.3.101.112")),
}

SCHEMES: Final = frozenset(_IDENTIFIERS)
"""What certificates, requests and CRLs are signed with: no SHA-1, no SHA-224, and no SHA-3, which few can verify."""

_SCHEMES: Final = {identifier: scheme for scheme, identifier in _IDENTIFIERS.items()}

_NAMES: Final[Mapping[SignatureScheme, str]] = {
    SignatureScheme.RSA_PKCS1_SHA256: "SHA256WithRSA",
    SignatureScheme.RSA_PKCS1_SHA384: "SHA384WithRSA",
    SignatureScheme.RSA_PKCS1_SHA512: "SHA512WithRSA",
    SignatureScheme.RSA_PSS_SHA256: "SHA256WithRSAPSS",
    SignatureScheme.RSA_PSS_SHA384: "SHA384WithRSAPSS",
    SignatureScheme.RSA_PSS_SHA512: "SHA512WithRSAPSS",
    SignatureScheme.ECDSA_SHA256: "ECDSAWithSHA256",
    SignatureScheme.ECDSA_SHA384: "ECDSAWithSHA384",
    SignatureScheme.ECDSA_SHA512: "ECDSAWithSHA512",
    SignatureScheme.ED25519: "Ed25519",
}
_SPELLINGS: Final = {name.lower(): scheme for scheme, name in _NAMES.items()} | {
    "pureed25519": SignatureScheme.ED25519,
    **{f"{name.removeprefix('ECDSAWith').lower()}withecdsa": s for s, name in _NAMES.items() if "ECDSA" in name},
}


def algorithm_identifier(scheme: SignatureScheme) -> bytes:
    """Return the DER AlgorithmIdentifier of a scheme in SCHEMES. Raises ValueError for the others."""
    try:
        return _IDENTIFIERS[scheme]
    except KeyError:
        raise ValueError(f"nothing of X.509 is signed with {scheme.value} here") from None


def scheme_of(identifier: bytes) -> SignatureScheme:
    """Return the scheme of a DER AlgorithmIdentifier, as `algorithm_identifier` writes it. Raises ValueError."""
    try:
        return _SCHEMES[identifier]
    except KeyError:
        raise ValueError("signature algorithm is not supported") from None


def scheme_name(scheme: SignatureScheme) -> str:
    """Return the name that Vault gives a scheme in SCHEMES: `SHA256WithRSA`, `ECDSAWithSHA384`, `Ed25519`."""
    return _NAMES[scheme]


def parse_scheme_name(name: str) -> SignatureScheme:
    """Return the scheme that Vault calls so, in any case. Raises ValueError that lists the names."""
    try:
        return _SPELLINGS[name.strip().lower()]
    except KeyError:
        raise ValueError(f"unknown signature algorithm; use one of {', '.join(_NAMES.values())}") from None
