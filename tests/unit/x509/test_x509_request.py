"""Certification requests: of every kind of key, from every clipboard, and from people who mean harm."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509 import der, oids, pem
from ca.x509.extensions import Extension
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.public_keys import spki_of
from ca.x509.request import MAX_REQUEST, ParsedRequest, RequestSpec, assemble_request, build_request_tbs
from ca.x509.usages import KeyUsage
from managed_keys.keys import KeyAlgorithm, SignatureScheme
from tests.support.x509_keys import KEY_TYPES, PrivateKey, key_for, private_key, sign, spki
from tests.support.x509_specs import ALTERNATIVE_NAMES, NAMES

P256 = SignatureScheme.ECDSA_SHA256
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example.com")])


def builder() -> x509.CertificateSigningRequestBuilder:
    """Return a request for one name, before it is signed."""
    names = x509.SubjectAlternativeName([x509.DNSName("a.example.com")])
    return x509.CertificateSigningRequestBuilder().subject_name(NAME).add_extension(names, critical=False)


def signed_by(key: PrivateKey, **options: object) -> x509.CertificateSigningRequest:
    """Sign the request for one name."""
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder().sign(key, digest, **options)  # type: ignore[arg-type]  # only rsa_padding, in one test


def hand_made(spec: RequestSpec, *, tbs: Callable[[bytes], bytes] = bytes) -> bytes:
    """Build and sign a request with the P-256 key, changing what is signed."""
    changed = tbs(build_request_tbs(spec))
    return assemble_request(changed, P256, sign(changed, P256))


PLAIN = RequestSpec(subject=DistinguishedName(common_name="a.example.com"), spki=spki("p-256"))
PEM = signed_by(private_key("p-256")).public_bytes(Encoding.PEM).decode()
DER = pem.decode_one(PEM, pem.REQUEST)


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_every_kind_of_key(kind: str) -> None:
    loaded = signed_by(private_key(kind))
    request = ParsedRequest.parse(loaded.public_bytes(Encoding.PEM))
    assert request == ParsedRequest.parse(loaded.public_bytes(Encoding.DER))
    assert request.spki == spki(kind)
    assert request.key_algorithm == {"r": KeyAlgorithm.RSA, "p": KeyAlgorithm.EC, "e": KeyAlgorithm.ED25519}[kind[0]]
    assert request.key_bits == (0 if kind == "ed25519" else int(kind.partition("-")[2]))
    assert request.subject == DistinguishedName(common_name="a.example.com")
    assert request.subject_der == NAME.public_bytes()
    assert request.sans == SubjectAlternativeNames(dns=("a.example.com",))


def test_pss_signatures() -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    request = ParsedRequest.parse(signed_by(private_key("rsa-2048"), rsa_padding=pss).public_bytes(Encoding.DER))
    assert request.key_algorithm is KeyAlgorithm.RSA


def test_all_that_can_be_asked() -> None:
    loaded = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"),
                    x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Ex ä"),
                    x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "a@example.com"),
                ]
            )
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, False, False, False), critical=True)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.RFC822Name("a@example.com"),
                    x509.IPAddress(ip_address("10.0.0.1")),
                    x509.UniformResourceIdentifier("spiffe://example/a"),
                    x509.DirectoryName(NAME),
                ]
            ),
            critical=False,
        )
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"open sesame")
        .sign(private_key("p-384"), hashes.SHA384())
    )
    request = ParsedRequest.parse(loaded.public_bytes(Encoding.PEM).decode())
    assert request.subject == DistinguishedName(country=("DE",), organization=("Ex ä",))
    assert request.is_ca
    assert request.extensions.path_length == 2
    assert request.extensions.has_basic_constraints
    assert request.ext_key_usages == ("1.3.6.1.5.5.7.3.1",)
    assert request.key_usages == {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.CERT_SIGN}
    assert Extension("1.2.3.4", True, b"\x05\x00") in request.extensions.all
    assert request.sans == SubjectAlternativeNames(
        emails=("a@example.com",), ips=(ip_address("10.0.0.1"),), uris=("spiffe://example/a",)
    )
    assert request.extensions.unsupported_names == ("directoryName",)
    assert request.challenge == "open sesame"
    assert "sesame" not in repr(request)


CLIPBOARDS: dict[str, str | bytes] = {
    "as it was": PEM,
    "octets": PEM.encode(),
    "new": PEM.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
    "windows": PEM.replace("\n", "\r\n"),
    "one line": PEM.replace("\n", ""),
    "backslashes": PEM.replace("\n", "\\n"),
    "spaces": PEM.replace("\n", " "),
    "text around": f"Certificate Request:\n    Data: ...\n{PEM}\nthanks",
    "a certificate before": pem.encode(pem.CERTIFICATE, b"\x30\x00") + PEM,
}


@pytest.mark.parametrize("name", CLIPBOARDS)
def test_what_clipboards_do(name: str) -> None:
    assert ParsedRequest.parse(CLIPBOARDS[name]) == ParsedRequest.parse(DER)


def other_signature() -> bytes:
    """Return a request with another's signature."""
    tbs = x509.load_der_x509_csr(DER).tbs_certrequest_bytes
    return assemble_request(tbs, P256, ec.generate_private_key(ec.SECP256R1()).sign(tbs, ec.ECDSA(hashes.SHA256())))


def weak_rsa() -> bytes:
    """Return a request of a key that is too short, properly signed."""
    key = rsa.generate_private_key(65537, 1024)
    return signed_by(key).public_bytes(Encoding.DER)


def with_dsa() -> bytes:
    """Return a request of a key that nobody certifies."""
    return signed_by(dsa.generate_private_key(1024)).public_bytes(Encoding.DER)  # type: ignore[arg-type]  # no PrivateKey of ours


def with_md5() -> bytes:
    """Return a request whose signature says MD5."""
    tbs = x509.load_der_x509_csr(signed_by(private_key("rsa-2048")).public_bytes(Encoding.DER)).tbs_certrequest_bytes
    md5 = der.sequence(der.oid("1.2.840.113549.1.1.4"), b"\x05\x00")
    return der.sequence(tbs, md5, der.bit_string(bytes(256)))


def off_the_curve() -> bytes:
    """Return a request with a point that is none, where the signature cannot be right either."""
    bad = spki("p-256")[:-1] + bytes([spki("p-256")[-1] ^ 1])
    return hand_made(replace(PLAIN, spki=bad))


def wrong_curve() -> bytes:
    """Return a request of a key on a curve of other trades."""
    return signed_by(ec.generate_private_key(ec.SECP256K1())).public_bytes(Encoding.DER)


def extended(*more: Extension) -> bytes:
    """Return a request that asks for more extensions."""
    return hand_made(replace(PLAIN, extra_extensions=more))


HOSTILE: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "nothing": (bytes, "no PEM block -----BEGIN CERTIFICATE REQUEST----- found"),
    "no PEM": (lambda: "hello", "no PEM block"),
    "cut PEM": (lambda: PEM[:-30], "no line -----END CERTIFICATE REQUEST-----"),
    "no base64": (lambda: PEM.replace("MI", "!!", 1), "valid base64"),
    "empty sequence": (lambda: pem.encode(pem.REQUEST, b"\x30\x00"), "is not a DER certification request"),
    "sequences in sequences": (lambda: b"\x30" * 100, "is not a DER certification request"),
    "cut DER": (lambda: DER[:-1], "is not a DER certification request"),
    "data behind": (lambda: DER + b"\x00", "is not a DER certification request"),
    "too many octets": (lambda: b"\x30" + bytes(MAX_REQUEST), "must not be larger than 65536 octets"),
    "too many characters": (lambda: "-" * (MAX_REQUEST + 1), "must not be larger"),
    "damaged signature": (lambda: DER[:-1] + bytes([DER[-1] ^ 1]), "signature is not by the key in the request"),
    "another's signature": (other_signature, "signature is not by the key in the request"),
    "changed name": (lambda: DER.replace(b"a.example.com", b"b.example.com"), "signature is not by the key"),
    "weak RSA": (weak_rsa, "RSA keys must have 2048 to 8192 bits, this one has 1024"),
    "DSA": (with_dsa, "key type is not supported; use rsa, ec or ed25519"),
    "MD5": (with_md5, "signature algorithm is broken; sign the request with SHA-256"),
    "point off the curve": (off_the_curve, "signature algorithm is not supported, or the key is not valid"),
    "wrong curve": (wrong_curve, "elliptic curve is not supported"),
    "extension twice": (
        lambda: extended(Extension("1.2.3", False, b"a"), Extension("1.2.3", False, b"b")),
        "an extension is given twice",
    ),
    "malformed names": (lambda: extended(Extension("2.5.29.17", False, b"\x30")), "extension 2.5.29.17: malformed"),
    "many extensions": (
        lambda: extended(*(Extension(f"1.2.{number}", False, b"") for number in range(65))),
        "more than 64 extensions",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests(name: str) -> None:
    hostile, message = HOSTILE[name]
    with pytest.raises(ValueError, match=message) as caught:
        ParsedRequest.parse(hostile())
    assert str(caught.value).startswith("csr: ")
    assert caught.value.__suppress_context__


def rebuilt(attributes: bytes) -> Callable[[bytes], bytes]:
    """Return a function that replaces the attributes of a PLAIN request."""
    return lambda _: der.sequence(der.integer(0), PLAIN.subject.encode(), PLAIN.spki, attributes)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (der.tlv(0xA0, der.sequence(der.oid(oids.EXTENSION_REQUEST), der.tlv(der.SET, b""))), "malformed DER"),
        (der.tlv(0xA0, der.sequence(der.oid(oids.EXTENSION_REQUEST), der.tlv(der.SET, b"\x05\x00"))), "malformed DER"),
        (
            der.tlv(0xA0, b"".join(der.sequence(der.oid(f"1.2.{n}"), der.tlv(der.SET, b"")) for n in range(20))),
            "more than 16 attributes",
        ),
    ],
)
def test_malformed_attributes(attributes: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ParsedRequest.parse(hand_made(PLAIN, tbs=rebuilt(attributes)))


def test_attributes_may_be_missing_or_strange() -> None:
    strange = der.tlv(0xA0, der.sequence(der.oid("1.2.3"), der.tlv(der.SET, b"\x05\x00\x05\x00")))
    assert ParsedRequest.parse(hand_made(PLAIN, tbs=rebuilt(strange))).extensions.all == ()
    assert ParsedRequest.parse(hand_made(PLAIN)).challenge is None


@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_requests_raise_nothing_but_value_error(damage: list[tuple[int, int]]) -> None:
    encoded = bytearray(DER)
    for position, octet in damage:
        encoded[position] = octet
    with suppress(ValueError):
        assert ParsedRequest.parse(bytes(encoded)).spki == spki("p-256")


@given(st.text() | st.binary())
def test_anything_at_all_raises_nothing_but_value_error(anything: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"^csr: "):
        ParsedRequest.parse(anything)


@settings(max_examples=30)
@given(NAMES, ALTERNATIVE_NAMES, st.frozensets(st.sampled_from(KeyUsage)), st.none() | st.integers(0, 9))
def test_requests_of_ours_are_read_back(
    name: DistinguishedName, sans: SubjectAlternativeNames, usages: frozenset[KeyUsage], path_length: int | None
) -> None:
    spec = RequestSpec(
        subject=name, spki=spki("p-256"), sans=sans, key_usages=usages, ask_for_ca=True, path_length=path_length
    )
    request = ParsedRequest.parse(hand_made(spec))
    assert request.subject_der == name.encode()
    assert (request.key_usages, request.is_ca, request.extensions.path_length) == (usages, True, path_length)
    assert (request.sans.dns, request.sans.other_names) == (sans.dns, sans.other_names)


@pytest.mark.parametrize("scheme", [P256, SignatureScheme.RSA_PSS_SHA512, SignatureScheme.ED25519])
def test_requests_of_ours_verify(scheme: SignatureScheme) -> None:
    tbs = build_request_tbs(replace(PLAIN, spki=spki_of(key_for(scheme).public_key())))
    assert x509.load_der_x509_csr(assemble_request(tbs, scheme, sign(tbs, scheme))).is_signature_valid
