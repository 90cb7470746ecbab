"""The same certificates from a live OpenBao: whatever it issues today is what is built here, octet for octet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ca.x509.certificate import ParsedCertificate
from ca.x509.extensions import AuthorityUrls
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.policies import parse_policies
from ca.x509.spec import CertificateSpec
from ca.x509.template import TemplateCache
from ca.x509.usages import parse_ext_key_usages, parse_key_usages
from managed_keys.keys import SignatureScheme
from tests.support.server_client import ApiClient
from tests.support.server_openbao import OpenBaoServer

pytestmark = pytest.mark.slow

USAGES = ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]
URLS = AuthorityUrls(("http://ca.test/ca",), ("http://ca.test/crl",), ("http://ca.test/ocsp",))
SUBJECT = DistinguishedName(
    common_name="*.example.com",
    organization=("Example & Sons", "Example"),
    organizational_unit=("B", "A"),
    country=("DE",),
    locality=("Köln",),
    province=("NRW",),
    street_address=("Domplatz 1",),
    postal_code=("50667",),
)


@pytest.fixture(scope="module")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiClient]:
    """Return a client of a server with a mounted PKI and its URLs set."""
    with OpenBaoServer(tmp_path_factory.mktemp("openbao")) as server, server.client() as client:
        client.write("sys/mounts/pki", type="pki", config={"max_lease_ttl": "90000h"})
        client.write(
            "pki/config/urls",
            issuing_certificates=list(URLS.issuing_certificates),
            crl_distribution_points=list(URLS.crl_distribution_points),
            ocsp_servers=list(URLS.ocsp_servers),
        )
        yield client


def rebuilt(
    recorded: ParsedCertificate, parent: ParsedCertificate, spec: CertificateSpec, scheme: SignatureScheme
) -> bytes:
    """Build the description with the numbers, times and key of what OpenBao made."""
    same = replace(
        spec,
        serial=recorded.serial,
        spki=recorded.spki,
        not_before=recorded.not_before,
        not_after=recorded.not_after,
    )
    return TemplateCache().build(same, parent.identity(), scheme)


def described(**fields: Any) -> CertificateSpec:
    """Describe a certificate whose numbers, times and key come later."""
    some = ParsedCertificate.parse_pem(ROOT.read_text())
    return CertificateSpec(serial=1, spki=some.spki, not_before=some.not_before, not_after=some.not_after, **fields)


ROOT = Path(__file__).parents[2] / "vectors" / "x509" / "openbao" / "root.pem"
CA_USAGES = parse_key_usages(["CertSign", "CRLSign"])


@pytest.mark.parametrize(
    ("key", "scheme"),
    [
        ({"key_type": "ec", "key_bits": 256}, SignatureScheme.ECDSA_SHA256),
        ({"key_type": "ec", "key_bits": 384}, SignatureScheme.ECDSA_SHA384),
        ({"key_type": "ec", "key_bits": 521}, SignatureScheme.ECDSA_SHA512),
        ({"key_type": "rsa", "key_bits": 2048}, SignatureScheme.RSA_PKCS1_SHA256),
        ({"key_type": "rsa", "key_bits": 2048, "signature_bits": 512}, SignatureScheme.RSA_PKCS1_SHA512),
        ({"key_type": "rsa", "key_bits": 2048, "use_pss": True}, SignatureScheme.RSA_PSS_SHA256),
        ({"key_type": "ed25519"}, SignatureScheme.ED25519),
    ],
    ids=lambda value: value.value if isinstance(value, SignatureScheme) else "",
)
def test_roots_and_leaves(openbao: ApiClient, key: dict[str, object], scheme: SignatureScheme) -> None:
    answer = openbao.write("pki/root/generate/internal", common_name="A Root", ttl="80000h", **key)
    root = ParsedCertificate.parse_pem(answer.data["certificate"])
    spec = described(subject=DistinguishedName(common_name="A Root"), is_ca=True, key_usages=CA_USAGES)
    signed = x509.load_der_x509_certificate(root.der).tbs_certificate_bytes
    assert rebuilt(root, root, replace(spec, urls=urls_of(root)), scheme) == signed

    openbao.write(
        "pki/roles/leaf",
        issuer_ref=answer.data["issuer_id"],
        allow_any_name=True,
        enforce_hostnames=False,
        use_csr_sans=False,
        key_type="any",
        key_usage=USAGES,
        signature_bits=key.get("signature_bits", 0),
        use_pss=key.get("use_pss", False),
        policy_identifiers=["1.2.3.4"],
        organization=list(SUBJECT.organization),
        ou=list(SUBJECT.organizational_unit),
        country=list(SUBJECT.country),
        locality=list(SUBJECT.locality),
        province=list(SUBJECT.province),
        street_address=list(SUBJECT.street_address),
        postal_code=list(SUBJECT.postal_code),
    )
    request = (ROOT.parent / "leaf.csr.pem").read_text()
    issued = openbao.write("pki/sign/leaf", csr=request, common_name="*.example.com", alt_names="b.example.com")
    leaf = ParsedCertificate.parse_pem(issued.data["certificate"])
    expected = described(
        subject=SUBJECT,
        sans=SubjectAlternativeNames(dns=("*.example.com", "b.example.com")),
        key_usages=parse_key_usages(USAGES),
        ext_key_usages=parse_ext_key_usages(["ServerAuth", "ClientAuth"]),
        policies=parse_policies("1.2.3.4"),
        urls=URLS,
    )
    assert rebuilt(leaf, root, expected, scheme) == x509.load_der_x509_certificate(leaf.der).tbs_certificate_bytes


def urls_of(root: ParsedCertificate) -> AuthorityUrls:
    """Return the URLs in a root: none in the first of a mount, the configured ones in later ones."""
    return URLS if any(one.oid == "1.3.6.1.5.5.7.1.1" for one in root.extensions.all) else AuthorityUrls()
