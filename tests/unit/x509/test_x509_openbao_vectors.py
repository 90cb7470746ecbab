"""Certificates, requests and CRLs of a real OpenBao, described here and built again to the same octets."""

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from ca.x509 import der, pem, tbs
from ca.x509.certificate import ParsedCertificate, verifies
from ca.x509.crl import RevokedEntry, build_crl_tbs
from ca.x509.der_reader import children, only
from ca.x509.extensions import AuthorityUrls, NameConstraints, Subtrees
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.policies import parse_policies
from ca.x509.request import ParsedRequest, RequestSpec, build_request_tbs
from ca.x509.spec import CertificateSpec
from ca.x509.template import TemplateCache
from ca.x509.usages import CA_KEY_USAGES, parse_ext_key_usages, parse_key_usages
from managed_keys.keys import SignatureScheme

VECTORS = Path(__file__).parents[2] / "vectors" / "x509" / "openbao"

URLS = AuthorityUrls(
    issuing_certificates=("http://ca/a", "http://ca/b"),
    crl_distribution_points=("http://ca/crl1", "http://ca/crl2"),
    ocsp_servers=("http://ocsp/1", "http://ocsp/2"),
)
ONE_URL_EACH = AuthorityUrls(("http://ca/a",), ("http://ca/crl1",), ("http://ocsp/1",), ("http://d/1",))
ROLE_SUBJECT = DistinguishedName(
    common_name="test.example.com",
    organization=("Örg",),
    organizational_unit=("O1", "o2"),
    country=("US",),
    locality=("L",),
    province=("P",),
    street_address=("S1", "S2"),
    postal_code=("P1",),
)
ROLE_USAGES = parse_key_usages(["DigitalSignature", "KeyAgreement", "KeyEncipherment"])
ROLE_EXT_USAGES = parse_ext_key_usages(["1.2.3.4", "EmailProtection", "CodeSigning", "ClientAuth", "ServerAuth"])


def vector(name: str) -> ParsedCertificate:
    """Read a recorded certificate."""
    return ParsedCertificate.parse_pem((VECTORS / f"{name}.pem").read_text())


def described(name: str, recorded: ParsedCertificate) -> CertificateSpec:
    """Say in our words what a recorded certificate says; only numbers, times and keys are taken from it."""
    made = {
        "serial": recorded.serial,
        "spki": recorded.spki,
        "not_before": recorded.not_before,
        "not_after": recorded.not_after,
    }
    return CertificateSpec(**(made | DESCRIPTIONS[name]))  # type: ignore[arg-type]  # a table of fields of many types


DESCRIPTIONS: dict[str, dict[str, object]] = {
    "root": {
        "subject": DistinguishedName(
            common_name="Root X", organization=("O1", "O2"), organizational_unit=("a", "b"), country=("US",)
        ),
        "is_ca": True,
        "key_usages": CA_KEY_USAGES,
    },
    "root-pss-constrained": {
        "subject": DistinguishedName(
            common_name="Root X",
            serial_number="SN",
            organization=("O1", "O2"),
            organizational_unit=("a", "b"),
            country=("US", "DE"),
            locality=("L1",),
            province=("P1",),
            street_address=("S1",),
            postal_code=("PC1",),
        ),
        "is_ca": True,
        "path_length": 0,
        "key_usages": CA_KEY_USAGES,
        "sans": SubjectAlternativeNames(dns=("x.com",)),
        "name_constraints": NameConstraints(permitted=Subtrees(dns=(".a.com", "b.com"))),
    },
    "intermediate": {
        "subject": DistinguishedName(common_name="Int Y", organization=("OO",), country=("US",)),
        "is_ca": True,
        "path_length": 3,
        "key_usages": CA_KEY_USAGES,
        "name_constraints": NameConstraints(permitted=Subtrees(dns=("x.com",))),
        "urls": URLS,
    },
    "leaf-all-names": {
        "subject": ROLE_SUBJECT,
        "sans": SubjectAlternativeNames(
            dns=("test.example.com", "a.example.com", "c.example.com"),
            emails=("a@b.com", "b@example.com"),
            ips=(ip_address("1.2.3.4"), ip_address("::1"), ip_address("::ffff:1.2.3.5")),
            uris=("https://x/y",),
        ),
        "key_usages": ROLE_USAGES,
        "ext_key_usages": ROLE_EXT_USAGES,
        "basic_constraints_valid_for_non_ca": True,
        "policies": parse_policies("1.3.6.1.4.1.1,2.5.29.32.0"),
        "urls": URLS,
    },
    "leaf-other-name": {
        "subject": DistinguishedName(
            common_name="test.example.com",
            serial_number="S-123",
            organization=("Örg",),
            organizational_unit=("O1", "o2"),
            country=("US",),
            locality=("L",),
            province=("P",),
            street_address=("S1", "S2"),
            postal_code=("P1",),
            user_ids=("u1", "u2"),
        ),
        "sans": SubjectAlternativeNames(
            dns=("test.example.com", "a.example.com"),
            emails=("b@example.com",),
            ips=(ip_address("1.2.3.4"), ip_address("::1")),
            uris=("https://x/y",),
            other_names=(("1.3.6.1.4.1.311.20.2.3", "ümail"),),
        ),
        "key_usages": ROLE_USAGES,
        "ext_key_usages": ROLE_EXT_USAGES,
        "basic_constraints_valid_for_non_ca": True,
        "policies": parse_policies("1.3.6.1.4.1.1,2.5.29.32.0"),
        "urls": URLS,
    },
    "leaf-no-subject": {
        "subject": DistinguishedName(),
        "key_usages": parse_key_usages(["DigitalSignature", "DecipherOnly"]),
        "ext_key_usages": (
            *parse_ext_key_usages(["ServerAuth", "IPSECUser", "Any", "TimeStamping", "ClientAuth"]),
            "1.3.6.1.5.5.7.3.1",  # the role named it by its identifier as well
            "1.2.3",
        ),
        "urls": URLS,
    },
    "leaf-qualified-policies": {
        "subject": DistinguishedName(),
        "sans": SubjectAlternativeNames(dns=("foo.com",)),
        "policies": parse_policies(
            '[{"oid":"1.3.6.1.4.1.7.8","notice":"I am a user Notice"},'
            '{"oid":"1.3.6.1.4.1.44947.1.2.4","cps":"https://example.com"},'
            '{"oid":"1.2.3","cps":"https://e","notice":"n é"}]'
        ),
        "urls": ONE_URL_EACH,
    },
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_the_same_description_gives_the_same_octets(name: str) -> None:
    recorded = vector(name)
    parent = recorded if name.startswith("root") else vector("root")
    scheme = SignatureScheme.RSA_PSS_SHA384 if "pss" in name else SignatureScheme.ECDSA_SHA256
    expected = x509.load_der_x509_certificate(recorded.der).tbs_certificate_bytes
    spec = described(name, recorded)
    assert tbs.build(spec, parent.identity(), scheme) == expected
    assert TemplateCache().build(spec, parent.identity(), scheme) == expected


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_recorded_certificates_are_read_back(name: str) -> None:
    recorded = vector(name)
    spec = described(name, recorded)
    assert recorded.subject == ParsedCertificate.parse(recorded.der).subject
    assert recorded.subject_der == spec.subject_der()
    assert recorded.is_ca == spec.is_ca
    assert recorded.extensions.path_length == spec.path_length
    assert recorded.extensions.key_usages == spec.key_usages
    assert recorded.extensions.ext_key_usages == spec.ext_key_usages
    assert recorded.extensions.sans.dns == spec.sans.dns
    assert recorded.extensions.sans.other_names == spec.sans.other_names
    parent = recorded if name.startswith("root") else vector("root")
    assert verifies(recorded.der, parent)


def test_the_request_of_an_intermediate() -> None:
    text = (VECTORS / "intermediate.csr.pem").read_text()
    request = ParsedRequest.parse(text)
    sans = SubjectAlternativeNames(
        dns=("x.com",),
        emails=("other@x.com",),
        ips=(ip_address("1.2.3.4"),),
        uris=("https://a/b",),
        other_names=(("1.2.3", "foo"),),
    )
    subject = DistinguishedName(
        common_name="Int X", organizational_unit=("a",), country=("US",), locality=("L",), province=("P",)
    )
    assert (request.sans, request.subject, request.is_ca) == (sans, subject, True)
    spec = RequestSpec(subject=subject, spki=request.spki, sans=sans, ask_for_ca=True)
    assert build_request_tbs(spec) == x509.load_pem_x509_csr(text.encode()).tbs_certrequest_bytes


@pytest.mark.parametrize(("name", "number", "base"), [("crl", 3, None), ("delta-crl", 7, 5)])
def test_the_crls(name: str, number: int, base: int | None) -> None:
    recorded = x509.load_pem_x509_crl((VECTORS / f"{name}.pem").read_bytes())
    assert recorded.next_update_utc is not None
    built = build_crl_tbs(
        vector("root").identity(),
        SignatureScheme.ECDSA_SHA256,
        number=number,
        this_update=recorded.last_update_utc,
        next_update=recorded.next_update_utc,
        revoked=[RevokedEntry(one.serial_number, one.revocation_date_utc) for one in recorded],
        base_crl_number=base,
    )
    assert built == recorded.tbs_certlist_bytes


def test_pem_is_wrapped_as_openbao_wraps_it() -> None:
    for path in VECTORS.glob("*.pem"):
        text = path.read_text().removesuffix("\n")
        [block] = pem.decode(text)
        assert pem.encode(block.label, block.der) == text


def test_a_certificate_is_what_was_signed_the_algorithm_and_the_signature() -> None:
    [(_, signed), (_, algorithm), (tag, signature)] = children(only(vector("root").der, der.SEQUENCE))
    assert der.sequence(der.oid("1.2.840.10045.4.3.2")) == der.tlv(der.SEQUENCE, algorithm)
    assert (tag, signature[0]) == (der.BIT_STRING, 0)
    assert der.tlv(der.SEQUENCE, signed) == x509.load_der_x509_certificate(vector("root").der).tbs_certificate_bytes
    assert vector("root").not_before == datetime(2026, 11, 22, 7, 45, 56, tzinfo=UTC)
