"""Certificate revocation lists (RFC 5280 5), complete and delta: 100,000 entries in a fraction of a second."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from ca.x509 import der, oids
from ca.x509.algorithms import algorithm_identifier
from ca.x509.general_names import URI, encode_ia5
from ca.x509.signed import assemble
from ca.x509.spec import IssuerIdentity
from managed_keys.keys import SignatureScheme

__all__ = ["IssuingDistributionPoint", "RevocationReason", "RevokedEntry", "assemble", "build_crl_tbs"]


class RevocationReason(IntEnum):
    """CRLReason (RFC 5280 5.3.1)."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    REMOVE_FROM_CRL = 8
    PRIVILEGE_WITHDRAWN = 9
    AA_COMPROMISE = 10


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One revoked certificate. The time is aware UTC."""

    serial: int
    revoked_at: datetime
    reason: RevocationReason = RevocationReason.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class IssuingDistributionPoint:
    """Where this CRL is published and what it covers (RFC 5280 5.2.5). At most one of the `only_` facts."""

    urls: tuple[str, ...] = ()
    only_user_certificates: bool = False
    only_ca_certificates: bool = False

    def encode(self) -> bytes:
        """Return the DER of the extension's value. Raises ValueError."""
        if self.only_user_certificates and self.only_ca_certificates:
            raise ValueError("a CRL cannot be for user certificates only and for CA certificates only")
        parts = []
        if self.urls:
            names = b"".join(der.tlv(URI, encode_ia5("distribution point", url)) for url in self.urls)
            parts.append(der.tlv(der.EXPLICIT_0, der.tlv(der.EXPLICIT_0, names)))
        if self.only_user_certificates:
            parts.append(der.tlv(der.IMPLICIT_1, b"\xff"))
        if self.only_ca_certificates:
            parts.append(der.tlv(der.IMPLICIT_2, b"\xff"))
        if not parts:
            raise ValueError("an issuing distribution point must say something")
        return der.sequence(*parts)


_REASONS: Final = {
    reason: der.sequence(der.extension(oids.REASON_CODE, False, der.tlv(der.ENUMERATED, bytes([reason]))))
    for reason in RevocationReason
    if reason is not RevocationReason.UNSPECIFIED
} | {RevocationReason.UNSPECIFIED: b""}
"""entryExtensions by reason; unspecified is said by silence (RFC 5280 5.3.1)."""


def build_crl_tbs(
    issuer: IssuerIdentity,
    scheme: SignatureScheme,
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    revoked: Iterable[RevokedEntry],
    base_crl_number: int | None = None,
    issuing_distribution_point: IssuingDistributionPoint | None = None,
) -> bytes:
    """Return the DER TBSCertList of version 2; `base_crl_number` makes it a delta CRL.

    Entries are written in the order given. Raises ValueError when a value cannot be encoded or the times contradict.
    """
    if next_update < this_update:
        raise ValueError("next_update must not be before this_update")
    entries = b"".join(map(_entry, revoked))
    extensions = _crl_extensions(issuer, number, base_crl_number, issuing_distribution_point)
    return der.sequence(
        der.integer(1),
        algorithm_identifier(scheme),
        issuer.name_der,
        der.time(this_update),
        der.time(next_update),
        der.tlv(der.SEQUENCE, entries) if entries else b"",
        der.tlv(der.EXPLICIT_0, der.tlv(der.SEQUENCE, extensions)),
    )


def _entry(entry: RevokedEntry) -> bytes:
    return der.tlv(der.SEQUENCE, der.integer(entry.serial) + der.time(entry.revoked_at) + _REASONS[entry.reason])


def _crl_extensions(
    issuer: IssuerIdentity, number: int, base: int | None, point: IssuingDistributionPoint | None
) -> bytes:
    """Return the crlExtensions in Vault's order."""
    parts = []
    if issuer.key_identifier:
        identifier = der.tlv(der.IMPLICIT_0, issuer.key_identifier)
        parts.append(der.extension(oids.AUTHORITY_KEY_IDENTIFIER, False, der.sequence(identifier)))
    parts.append(der.extension(oids.CRL_NUMBER, False, der.integer(number)))
    if base is not None:
        if base >= number:
            raise ValueError("a delta CRL must be newer than its base")
        parts.append(der.extension(oids.DELTA_CRL_INDICATOR, True, der.integer(base)))
    if point is not None:
        parts.append(der.extension(oids.ISSUING_DISTRIBUTION_POINT, True, point.encode()))
    return b"".join(parts)
