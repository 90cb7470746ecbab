"""From a client's certificate to a trusted one: path validation (RFC 5280, section 6). Pure.

The path is built and judged by pyca's verifier: signatures, validity, basic constraints, path lengths, key usages, name
constraints, unknown critical extensions. Only what it presumes of the Web's certificates is loosened here: private
authorities leave out key identifiers, key usages and alternative names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from chancery.auth.cert.identity import CertificateRefused, Holder, read_certificate, serves_clients

_MAX_CHAIN: Final = 10
_MAX_ANCHORS: Final = 100


def _may_sign_certificates(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the authority may not sign certificates")


def _may_be_a_client(_: Policy, certificate: x509.Certificate, __: x509.ExtendedKeyUsage | None) -> None:
    if not serves_clients(certificate):
        raise ValueError("the certificate is not for clients of TLS")


_AUTHORITIES: Final = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign_certificates)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.SubjectKeyIdentifier, Criticality.AGNOSTIC, None)
)
_CLIENTS: Final = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _may_be_a_client)
)


@dataclass(frozen=True, slots=True)
class Anchors:
    """The certificates that a role trusts."""

    certificates: tuple[x509.Certificate, ...]
    pinned: frozenset[bytes]
    """All of them as DER: whoever holds the key of one is let in by it, be it an authority's or not."""
    authorities: tuple[x509.Certificate, ...]

    @classmethod
    def parse(cls, pem: str) -> "Anchors":
        """Read one or more PEM certificates. Raises ValueError."""
        try:
            found = x509.load_pem_x509_certificates(pem.encode())
            certificates = tuple(read_certificate(der_of(each)) for each in found)
        except (ValueError, CertificateRefused):
            raise ValueError("failed to parse certificate") from None
        if len(certificates) > _MAX_ANCHORS:
            raise ValueError(f"expected at most {_MAX_ANCHORS} certificates")
        authorities = tuple(each for each in certificates if _is_authority(each))
        return cls(certificates, frozenset(map(der_of, certificates)), authorities)


def validated_chain(
    leaf: x509.Certificate, sent: Sequence[x509.Certificate], anchors: Anchors, now: datetime
) -> tuple[x509.Certificate, ...]:
    """Return the chain from a client's certificate to a trusted one, both included.

    Raises CertificateRefused. A certificate that is trusted itself is a chain of one.
    """
    if der_of(leaf) in anchors.pinned:
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise CertificateRefused("it is not valid at this time")
        if not serves_clients(leaf):
            raise CertificateRefused("it is not for clients of TLS")
        return (leaf,)
    if not anchors.authorities:
        raise CertificateRefused("it is not the certificate that the role trusts")
    verifier = (
        PolicyBuilder()
        .store(Store(list(anchors.authorities)))
        .time(now)
        .max_chain_depth(_MAX_CHAIN)
        .extension_policies(ca_policy=_AUTHORITIES, ee_policy=_CLIENTS)
        .build_client_verifier()
    )
    try:
        return tuple(verifier.verify(leaf, list(sent)).chain)
    except VerificationError as error:
        raise CertificateRefused(f"no chain to a trusted authority: {str(error)[:200]}") from None


def demand_constrained_subject(holder: Holder, chain: Sequence[x509.Certificate]) -> None:
    """Raise CertificateRefused when name constraints could be passed by with the common name.

    Constraints bind alternative names; the common name, which names the alias here, is none. Below an authority with
    constraints it must therefore be one of the alternative names.
    """
    if any(_has_name_constraints(each) for each in chain[1:]) and holder.common_name not in {
        *holder.dns_names,
        *holder.emails,
        *holder.addresses,
    }:
        raise CertificateRefused("its common name is outside of what the authority's name constraints are about")


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether a certificate was signed by another one's key, under its name."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def der_of(certificate: x509.Certificate) -> bytes:
    """Return a certificate as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _has_name_constraints(certificate: x509.Certificate) -> bool:
    try:
        certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    return True
