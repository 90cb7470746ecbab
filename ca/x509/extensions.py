"""Certificate extensions (RFC 5280 4.2) as values, each encoded by asn1crypto, with Vault's criticality.

Nothing here is hot: `ca.x509.template` encodes these once per kind of certificate.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from asn1crypto import core, x509

from ca.x509 import der, oids
from ca.x509.general_names import encode_ia5
from ca.x509.policies import CertificatePolicy
from ca.x509.usages import KeyUsage, key_usage_bits

IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Extension:
    """Any extension: dotted type, criticality, and the DER within the OCTET STRING."""

    oid: str
    critical: bool
    value: bytes

    def encode(self) -> bytes:
        """Return the DER Extension. Raises ValueError when the type is no object identifier."""
        return der.extension(self.oid, self.critical, self.value)


class Subtrees(NamedTuple):
    """One side of the name constraints. A leading dot in a DNS name or URI host means: subdomains only."""

    dns: tuple[str, ...] = ()
    ips: tuple[IPNetwork, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.dns or self.ips or self.emails or self.uris)


class NameConstraints(NamedTuple):
    """What a CA's certificates may be about (RFC 5280 4.2.1.10)."""

    permitted: Subtrees = Subtrees()
    excluded: Subtrees = Subtrees()

    def __bool__(self) -> bool:
        return bool(self.permitted or self.excluded)


class AuthorityUrls(NamedTuple):
    """Where relying parties find the issuer's certificate, CRLs and OCSP responders."""

    issuing_certificates: tuple[str, ...] = ()
    crl_distribution_points: tuple[str, ...] = ()
    ocsp_servers: tuple[str, ...] = ()
    delta_crl_distribution_points: tuple[str, ...] = ()


def _extension(oid: str, critical: bool, value: core.Asn1Value) -> Extension:
    return Extension(oid, critical, value.dump())


def key_usage(usages: Iterable[KeyUsage]) -> Extension:
    """Return the critical KeyUsage of at least one usage."""
    return _extension(oids.KEY_USAGE, True, x509.KeyUsage(_trimmed(key_usage_bits(usages))))


def _trimmed(bits: tuple[int, ...]) -> tuple[int, ...]:
    """Drop trailing zeros, as DER demands of a named bit list."""
    while bits and not bits[-1]:
        bits = bits[:-1]
    return bits


def ext_key_usage(usages: Iterable[str]) -> Extension:
    """Return the ExtKeyUsage of object identifiers, in the order given."""
    purposes = [x509.KeyPurposeId.load(der.oid(usage)) for usage in usages]
    return _extension(oids.EXT_KEY_USAGE, False, x509.ExtKeyUsageSyntax(purposes))


def basic_constraints(is_ca: bool, path_length: int | None) -> Extension:
    """Return the critical BasicConstraints."""
    return _extension(
        oids.BASIC_CONSTRAINTS, True, x509.BasicConstraints({"ca": is_ca, "path_len_constraint": path_length})
    )


def subject_key_identifier(identifier: bytes) -> Extension:
    """Return the SubjectKeyIdentifier."""
    return _extension(oids.SUBJECT_KEY_IDENTIFIER, False, core.OctetString(identifier))


def authority_key_identifier(identifier: bytes) -> Extension:
    """Return the AuthorityKeyIdentifier with a key identifier only, as Vault's."""
    return _extension(oids.AUTHORITY_KEY_IDENTIFIER, False, x509.AuthorityKeyIdentifier({"key_identifier": identifier}))


def authority_information_access(urls: AuthorityUrls) -> Extension:
    """Return the AuthorityInformationAccess: OCSP responders first, then issuing certificates."""
    return _extension(
        oids.AUTHORITY_INFORMATION_ACCESS,
        False,
        x509.AuthorityInfoAccessSyntax(
            [{"access_method": "ocsp", "access_location": uri_name("ocsp_servers", url)} for url in urls.ocsp_servers]
            + [
                {"access_method": "ca_issuers", "access_location": uri_name("issuing_certificates", url)}
                for url in urls.issuing_certificates
            ]
        ),
    )


def distribution_points(oid: str, field: str, urls: Iterable[str]) -> Extension:
    """Return CRLDistributionPoints or FreshestCRL: one DistributionPoint for each URL."""
    return _extension(
        oid,
        False,
        x509.CRLDistributionPoints(
            [{"distribution_point": x509.DistributionPointName("full_name", [uri_name(field, url)])} for url in urls]
        ),
    )


def certificate_policies(policies: Iterable[CertificatePolicy]) -> Extension:
    """Return the CertificatePolicies."""
    return _extension(oids.CERTIFICATE_POLICIES, False, x509.CertificatePolicies(list(map(_policy, policies))))


def _policy(policy: CertificatePolicy) -> x509.PolicyInformation:
    qualifiers = [
        {"policy_qualifier_id": "certification_practice_statement", "qualifier": core.IA5String(uri)}
        for uri in policy.cps
    ] + [
        {"policy_qualifier_id": "user_notice", "qualifier": {"explicit_text": x509.DisplayText("utf8_string", text)}}
        for text in policy.notices
    ]
    information = {"policy_identifier": policy.oid}
    return x509.PolicyInformation(information | {"policy_qualifiers": qualifiers} if qualifiers else information)


def name_constraints(constraints: NameConstraints) -> Extension:
    """Return the critical NameConstraints: DNS, IP, email, URI on each side, as Go orders them."""
    sides = {"permitted_subtrees": constraints.permitted, "excluded_subtrees": constraints.excluded}
    value = {field: [{"base": name} for name in _subtree_names(side)] for field, side in sides.items() if side}
    return _extension(oids.NAME_CONSTRAINTS, True, x509.NameConstraints(value))


def _subtree_names(side: Subtrees) -> Iterable[x509.GeneralName]:
    for name in side.dns:
        yield dns_name(name)
    for network in side.ips:
        octets = network.network_address.packed + network.netmask.packed
        yield x509.GeneralName("ip_address", x509.IPAddress(contents=octets))
    for name in side.emails:
        yield email_name(name)
    for name in side.uris:
        yield uri_name("uri constraint", name)


def dns_name(name: str) -> x509.GeneralName:
    """Return a dNSName exactly as given: asn1crypto's own setter would rewrite it."""
    return x509.GeneralName("dns_name", x509.DNSName(contents=encode_ia5("dns name", name)))


def email_name(name: str) -> x509.GeneralName:
    """Return an rfc822Name exactly as given."""
    return x509.GeneralName("rfc822_name", x509.EmailAddress(contents=encode_ia5("email address", name)))


def uri_name(field: str, uri: str) -> x509.GeneralName:
    """Return a uniformResourceIdentifier exactly as given. Raises ValueError that names the field."""
    return x509.GeneralName("uniform_resource_identifier", x509.URI(contents=encode_ia5(f"{field}:", uri)))
