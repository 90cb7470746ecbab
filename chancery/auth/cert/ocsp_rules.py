"""OCSP (RFC 6960): the question to a responder, and which answers to believe. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from chancery.auth.cert.chains import is_issued_by

_SKEW: Final = timedelta(minutes=5)
_MAX_UNDATED: Final = timedelta(days=1)
"""Oldest answer without an end that is believed when the role does not say."""
_MAX_SERVERS: Final = 5


class Standing(Enum):
    """What responders say of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class AnswerRefused(Exception):
    """An answer is not to be believed, for the reason given."""


class Verdict(NamedTuple):
    """An answer that is believed."""

    standing: Standing
    until: datetime | None
    """When the answer ends; None when it has to be asked for each time."""


@dataclass(frozen=True, slots=True)
class OcspSettings:
    """What a role wants of OCSP."""

    servers: tuple[str, ...] = ()
    """Instead of those in the certificate."""
    authorities: tuple[x509.Certificate, ...] = ()
    """Who may answer, or vouch for who answers, besides the certificate's issuer."""
    fail_open: bool = False
    query_all: bool = False
    max_age: int = 0
    """Seconds; 0 = as long as the answer says."""
    retries: int = 4


def servers_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the responders that a certificate names."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ()
    named = (
        each.access_location.value
        for each in access
        if each.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(each.access_location, x509.UniformResourceIdentifier)
    )
    return tuple(named)[:_MAX_SERVERS]


def question(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """Return the request for one certificate. SHA-1 names the issuer, as RFC 5019 demands; nothing is signed by it."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303 - see above
    return builder.build().public_bytes(Encoding.DER)


def verdict(
    body: bytes, certificate: x509.Certificate, issuer: x509.Certificate, settings: OcspSettings, now: datetime
) -> Verdict:
    """Return what an answer says of a certificate. Raises AnswerRefused when it is not to be believed."""
    try:
        response = ocsp.load_der_ocsp_response(body)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise AnswerRefused(f"the responder says {response.response_status.name}")
        _demand_signed(response, issuer, settings, now)
        single = _single(response, certificate, issuer)
        until = _demand_current(single, settings, now)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise AnswerRefused("it cannot be read") from None
    standing = {
        ocsp.OCSPCertStatus.GOOD: Standing.GOOD,
        ocsp.OCSPCertStatus.REVOKED: Standing.REVOKED,
        ocsp.OCSPCertStatus.UNKNOWN: Standing.UNKNOWN,
    }[single.certificate_status]
    return Verdict(standing, until)


def _single(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate
) -> ocsp.OCSPSingleResponse:
    asked = ocsp.load_der_ocsp_request(question(certificate, issuer))
    for single in response.responses:
        if (single.serial_number, single.issuer_key_hash, single.issuer_name_hash) == (
            asked.serial_number,
            asked.issuer_key_hash,
            asked.issuer_name_hash,
        ):
            return single
    raise AnswerRefused("it is about another certificate")


def _demand_current(single: ocsp.OCSPSingleResponse, settings: OcspSettings, now: datetime) -> datetime | None:
    start, end = single.this_update_utc, single.next_update_utc
    if start > now + _SKEW:
        raise AnswerRefused("it is from the future")
    if end is not None and end < now - _SKEW:
        raise AnswerRefused("it is out of date")
    longest = timedelta(seconds=settings.max_age) if settings.max_age else None if end is not None else _MAX_UNDATED
    if longest is not None and now - start > longest + _SKEW:
        raise AnswerRefused("it is too old")
    if end is not None and settings.max_age:
        return min(end, start + timedelta(seconds=settings.max_age))
    return end


def _demand_signed(
    response: ocsp.OCSPResponse, issuer: x509.Certificate, settings: OcspSettings, now: datetime
) -> None:
    """Raise AnswerRefused unless the issuer, or one whom it has authorized (RFC 6960, section 4.2.2.2), has signed."""
    trusted = (issuer, *settings.authorities)
    delegated = [each for each in response.certificates if _is_delegated(each, trusted, now)]
    if not any(_has_signed(each, response) for each in (*trusted, *delegated)):
        raise AnswerRefused("nobody who may answer has signed it")


def _is_delegated(certificate: x509.Certificate, trusted: Sequence[x509.Certificate], now: datetime) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    if ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
        return False
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return False
    return any(is_issued_by(certificate, each) for each in trusted)


def _has_signed(certificate: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    key, signature, signed = certificate.public_key(), response.signature, response.tbs_response_bytes
    algorithm = response.signature_hash_algorithm
    try:
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        elif isinstance(algorithm, hashes.SHA1 | hashes.MD5) or algorithm is None:
            return False
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
