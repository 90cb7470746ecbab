"""Certificates that exist: assembled after signing, read back, and checked against their issuer."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from ca.x509 import der, pem
from ca.x509.der_reader import Value, children, integer, only
from ca.x509.names import DistinguishedName, render
from ca.x509.parsed_extensions import ParsedExtensions
from ca.x509.public_keys import describe
from ca.x509.signed import assemble
from ca.x509.spec import IssuerIdentity
from managed_keys.keys import PublicKey

__all__ = ["MAX_CERTIFICATE", "ParsedCertificate", "assemble", "verifies"]

MAX_CERTIFICATE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ParsedCertificate:
    """A certificate as read from its DER. Nothing here says that it can be trusted."""

    der: bytes = field(repr=False)
    serial: int
    subject_der: bytes
    issuer_der: bytes
    not_before: datetime
    not_after: datetime
    spki: bytes
    extensions: ParsedExtensions

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Read a DER certificate. Raises ValueError in clear words for anything else."""
        try:
            return cls._read(encoded, _load(encoded))
        except ValueError as error:
            raise ValueError(f"certificate: {error}") from None

    @classmethod
    def parse_pem(cls, text: str | bytes) -> Self:
        """Read the first certificate of a PEM text. Raises ValueError."""
        return cls.parse(pem.decode_one(text, pem.CERTIFICATE))

    @classmethod
    def _read(cls, encoded: bytes, loaded: x509.Certificate) -> Self:
        match children(only(loaded.tbs_certificate_bytes, der.SEQUENCE)):
            case [(der.EXPLICIT_0, _), (der.INTEGER, serial), _, (_, issuer), _, (_, subject), (_, spki), *rest]:
                pass
            case _:
                raise ValueError("is not of version 3")
        return cls(
            der=encoded,
            serial=integer(serial),
            subject_der=der.tlv(der.SEQUENCE, subject),
            issuer_der=der.tlv(der.SEQUENCE, issuer),
            not_before=loaded.not_valid_before_utc,
            not_after=loaded.not_valid_after_utc,
            spki=der.tlv(der.SEQUENCE, spki),
            extensions=_read_extensions(rest),
        )

    @property
    def subject(self) -> DistinguishedName:
        """The attributes of the subject that Vault knows."""
        return DistinguishedName.parse(self.subject_der)

    @property
    def subject_text(self) -> str:
        """The subject as text of RFC 4514."""
        return render(self.subject_der)

    @property
    def issuer_text(self) -> str:
        """The issuer as text of RFC 4514."""
        return render(self.issuer_der)

    @property
    def is_ca(self) -> bool:
        """Whether the basic constraints say so."""
        return self.extensions.is_ca

    @property
    def public_key(self) -> PublicKey:
        """What kind of key is certified. Raises ValueError when it is one that this server refuses."""
        return describe(self.spki)

    @property
    def is_self_issued(self) -> bool:
        """Whether subject and issuer are the same name."""
        return self.subject_der == self.issuer_der

    def identity(self) -> IssuerIdentity:
        """Return this certificate as the issuer of others."""
        return IssuerIdentity(self.subject_der, self.extensions.subject_key_identifier)

    def sha1(self) -> bytes:
        """Return the SHA-1 fingerprint."""
        return hashlib.sha1(self.der, usedforsecurity=False).digest()

    def sha256(self) -> bytes:
        """Return the SHA-256 fingerprint."""
        return hashlib.sha256(self.der).digest()


def _load(encoded: bytes) -> x509.Certificate:
    if len(encoded) > MAX_CERTIFICATE:
        raise ValueError(f"must not be larger than {MAX_CERTIFICATE} octets")
    try:
        return x509.load_der_x509_certificate(encoded)
    except (ValueError, x509.InvalidVersion):
        raise ValueError("is not a DER certificate of version 3") from None


def _read_extensions(rest: list[Value]) -> ParsedExtensions:
    """Read what follows the public key: unique identifiers, which nobody uses, and the extensions."""
    for tag, content in rest:
        if tag == der.EXPLICIT_3:
            return ParsedExtensions.parse(only(content, der.SEQUENCE))
    return ParsedExtensions()


def verifies(child_der: bytes, parent: ParsedCertificate) -> bool:
    """Tell whether the parent's key made the child's signature and the child names the parent as its issuer.

    Says nothing of validity, constraints or revocation. Raises ValueError when either is no certificate.
    """
    child, issuer = _load(child_der), _load(parent.der)
    try:
        child.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
