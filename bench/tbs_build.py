"""Measures the encodings: `python -m bench.tbs_build`. Prints microseconds of one thread, the best of several rounds.

Peers are what one would use otherwise: asn1crypto for a TBSCertificate, pyca's builder (less the P-256 signature that
it cannot do without) and pyca's parser. All in one process and one run, so that ratios hold on a busy machine too.
"""

import itertools
import timeit
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.report import Figure
from ca.x509 import tbs
from ca.x509.certificate import ParsedCertificate, assemble
from ca.x509.crl import RevokedEntry, build_crl_tbs
from ca.x509.extensions import AuthorityUrls
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.public_keys import ski, spki_of
from ca.x509.request import ParsedRequest
from ca.x509.serials import new_serial
from ca.x509.spec import CertificateSpec, IssuerIdentity
from ca.x509.template import TemplateCache
from ca.x509.usages import parse_ext_key_usages, parse_key_usages
from managed_keys.keys import SignatureScheme

SCHEME = SignatureScheme.ECDSA_SHA256
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = spki_of(KEY.public_key())
ISSUER = IssuerIdentity(DistinguishedName(common_name="Root X1", organization=("Example",)).encode(), ski(SPKI))
KEY_USAGES = parse_key_usages(["DigitalSignature", "KeyAgreement", "KeyEncipherment"])
EXT_KEY_USAGES = parse_ext_key_usages(["ServerAuth", "ClientAuth"])
URLS = AuthorityUrls(("http://ca.example.com/ca",), ("http://ca.example.com/crl",), ("http://ca.example.com/ocsp",))
NUMBERS = itertools.count()


def leaf() -> CertificateSpec:
    """Describe the next leaf: another name, another serial, two alternative names."""
    host = f"host{next(NUMBERS)}.example.com"
    return CertificateSpec(
        serial=new_serial(),
        subject=DistinguishedName(common_name=host, organization=("Example",), country=("US",)),
        spki=SPKI,
        not_before=NOW,
        not_after=NOW + timedelta(days=30),
        sans=SubjectAlternativeNames(dns=(host, f"www.{host}")),
        key_usages=KEY_USAGES,
        ext_key_usages=EXT_KEY_USAGES,
        urls=URLS,
    )


def pyca_leaf() -> bytes:
    """Build and sign a comparable leaf with pyca alone."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"host{next(NUMBERS)}.example.com")])
    names = x509.SubjectAlternativeName([x509.DNSName("host.example.com"), x509.DNSName("www.host.example.com")])
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH])  # type: ignore[attr-defined]  # exported at run time
    builder = (
        x509.CertificateBuilder(name, name, KEY.public_key(), new_serial(), NOW, NOW + timedelta(days=30))
        .add_extension(x509.KeyUsage(True, False, True, False, True, False, False, False, False), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()), critical=False)
        .add_extension(names, critical=False)
    )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def request() -> str:
    """Return a P-256 request with one alternative name, as PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example.com")])
    names = x509.SubjectAlternativeName([x509.DNSName("a.example.com")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(names, critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def pyca_request(text: bytes) -> bool:
    """Read and verify a request as pyca's documentation would have it."""
    loaded = x509.load_pem_x509_csr(text)
    assert loaded.subject
    assert loaded.extensions
    assert spki_of(loaded.public_key())
    return loaded.is_signature_valid


def microseconds(work: Callable[[], object], number: int) -> float:
    """Return the cost of one call, the best of nine rounds."""
    return min(timeit.repeat(work, number=number, repeat=9)) / number * 1e6


def main() -> None:
    """Measure and print."""
    cache, pem = TemplateCache(), request()
    spec, signature = leaf(), bytes(71)
    to_be_signed = cache.build(spec, ISSUER, SCHEME)
    certificate = assemble(to_be_signed, SCHEME, signature)
    revoked = [RevokedEntry(new_serial(), NOW) for _ in range(100_000)]
    costs = {
        "tbs-build": (
            microseconds(lambda: cache.build(spec, ISSUER, SCHEME), 5000),
            microseconds(lambda: tbs.build(spec, ISSUER, SCHEME), 100),
        ),
        "tbs-describe-and-build": (microseconds(lambda: cache.build(leaf(), ISSUER, SCHEME), 5000), None),
        "certificate-without-signature": (
            microseconds(lambda: assemble(cache.build(leaf(), ISSUER, SCHEME), SCHEME, signature), 5000),
            microseconds(pyca_leaf, 1000) - microseconds(lambda: KEY.sign(bytes(600), ec.ECDSA(hashes.SHA256())), 1000),
        ),
        "assemble": (microseconds(lambda: assemble(to_be_signed, SCHEME, signature), 20000), None),
        "request-parse-and-verify": (
            microseconds(lambda: ParsedRequest.parse(pem), 1000),
            microseconds(lambda: pyca_request(pem.encode()), 1000),
        ),
        "certificate-parse": (microseconds(lambda: ParsedCertificate.parse(certificate), 2000), None),
        "crl-of-100000-entries": (
            microseconds(
                lambda: build_crl_tbs(ISSUER, SCHEME, number=1, this_update=NOW, next_update=NOW, revoked=revoked), 1
            ),
            None,
        ),
    }
    for name, (ours, peer) in costs.items():
        print(Figure(f"{name}-us", ours, peer, "less"))


if __name__ == "__main__":
    main()
