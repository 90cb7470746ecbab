"""Finished certificates: assembled, read back, compared with pyca, and checked against their issuer."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from ca.x509 import der, pem
from ca.x509.algorithms import SCHEMES
from ca.x509.certificate import MAX_CERTIFICATE, ParsedCertificate, assemble, verifies
from ca.x509.extensions import Extension
from ca.x509.names import DistinguishedName
from ca.x509.public_keys import ski, spki_of
from ca.x509.spec import NEVER_EXPIRES, CertificateSpec, IssuerIdentity
from ca.x509.template import TemplateCache
from ca.x509.usages import CA_KEY_USAGES, KeyUsage
from managed_keys.keys import SignatureScheme
from tests.support.x509_keys import KEY_TYPES, issuer, key_for, sign
from tests.support.x509_specs import leaf_spec

P256 = SignatureScheme.ECDSA_SHA256


def issue(spec: CertificateSpec, identity: IssuerIdentity, scheme: SignatureScheme = P256) -> bytes:
    """Build, sign and assemble."""
    tbs = TemplateCache().build(spec, identity, scheme)
    return assemble(tbs, scheme, sign(tbs, scheme))


def root(scheme: SignatureScheme = P256) -> ParsedCertificate:
    """Return the self-signed certificate of `issuer(scheme)`."""
    spec = replace(
        leaf_spec(),
        subject=issuer(scheme).name_der,
        spki=spki_of(key_for(scheme).public_key()),
        is_ca=True,
        key_usages=CA_KEY_USAGES,
        ext_key_usages=(),
        not_after=NEVER_EXPIRES,
    )
    return ParsedCertificate.parse(issue(spec, issuer(scheme), scheme))


@pytest.mark.parametrize("key", KEY_TYPES)
@pytest.mark.parametrize("scheme", sorted(SCHEMES, key=str))
def test_every_key_under_every_scheme(key: str, scheme: SignatureScheme) -> None:
    spec = leaf_spec(key=key)
    encoded = issue(spec, issuer(scheme), scheme)
    assert verifies(encoded, root(scheme))
    parsed, theirs = ParsedCertificate.parse(encoded), x509.load_der_x509_certificate(encoded)
    assert parsed.serial == theirs.serial_number == spec.serial
    assert (parsed.not_before, parsed.not_after) == (spec.not_before, spec.not_after)
    assert parsed.subject == spec.subject
    assert parsed.subject_text == theirs.subject.rfc4514_string()
    assert parsed.issuer_text == theirs.issuer.rfc4514_string()
    assert parsed.spki == spec.spki
    assert parsed.public_key.spki == spec.spki
    assert parsed.sha256() == theirs.fingerprint(hashes.SHA256())
    assert parsed.sha1() == theirs.fingerprint(hashes.SHA1())  # a fingerprint that Vault's clients show
    assert parsed.extensions.sans == spec.sans
    assert parsed.extensions.subject_key_identifier == ski(spec.spki)
    assert parsed.extensions.authority_key_identifier == issuer(scheme).key_identifier
    assert not parsed.is_ca
    assert {(one.oid, one.critical, one.value) for one in parsed.extensions.all} == {
        (one.oid.dotted_string, one.critical, one.value.public_bytes()) for one in theirs.extensions
    }


def test_a_root() -> None:
    parsed = root()
    assert parsed.is_ca
    assert parsed.is_self_issued
    assert parsed.identity() == issuer(P256)
    assert parsed.extensions.key_usages == {KeyUsage.CERT_SIGN, KeyUsage.CRL_SIGN}
    assert parsed.not_after == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert verifies(parsed.der, parsed)
    assert ParsedCertificate.parse_pem(pem.encode(pem.CERTIFICATE, parsed.der)) == parsed


def test_what_does_not_verify() -> None:
    child = issue(leaf_spec(), issuer(P256))
    other_key, other_name = root(SignatureScheme.ECDSA_SHA384), issuer(P256)._replace(name_der=b"\x30\x00")
    assert not verifies(child, other_key)
    assert not verifies(issue(leaf_spec(), other_name), root())
    assert not verifies(child[:-1] + bytes([child[-1] ^ 1]), root())
    with pytest.raises(ValueError, match="is not a DER certificate"):
        verifies(b"", root())


def test_a_certificate_without_extensions() -> None:
    identity, spec = issuer(P256), leaf_spec()
    tbs = der.sequence(
        der.integer(5),
        der.sequence(der.oid("1.2.840.10045.4.3.2")),
        identity.name_der,
        der.sequence(der.time(spec.not_before), der.time(spec.not_after)),
        spec.subject_der(),
        spec.spki,
    )
    with pytest.raises(ValueError, match="certificate: is not of version 3"):
        ParsedCertificate.parse(assemble(tbs, P256, sign(tbs, P256)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Extension("2.5.29.17", False, b"\x30\x03\x82\x01"), r"certificate: extension 2\.5\.29\.17: malformed DER"),
        (Extension("2.5.29.35", False, b"\x04\x00"), r"certificate: extension 2\.5\.29\.35: malformed DER"),
        (Extension("2.5.29.19", True, b"\x30\x03\x02\x01\x05"), r"2\.5\.29\.19: malformed DER: not basic constraints"),
        (Extension("2.5.29.19", True, bytes.fromhex("30060101ff0201ff")), r"2\.5\.29\.19: path length is out of range"),
        (Extension("2.5.29.15", True, b"\x03\x01\x09"), r"2\.5\.29\.15: malformed key usage"),
    ],
)
def test_malformed_extensions_are_named(value: Extension, message: str) -> None:
    spec = replace(
        leaf_spec(), sans=replace(leaf_spec().sans, dns=()), key_usages=frozenset(), extra_extensions=(value,)
    )
    encoded = issue(spec, issuer(P256)._replace(key_identifier=None))
    with pytest.raises(ValueError, match=message):
        ParsedCertificate.parse(encoded)


@pytest.mark.parametrize("encoded", [b"", b"\x30\x00", b"x" * 100, bytes(MAX_CERTIFICATE + 1)], ids=len)
def test_what_is_no_certificate(encoded: bytes) -> None:
    with pytest.raises(ValueError, match=r"^certificate: "):
        ParsedCertificate.parse(encoded)


RECORDED = Path(__file__).parents[2] / "vectors" / "x509" / "openbao" / "leaf-all-names.pem"
OCTETS = pem.decode_one(RECORDED.read_text(), pem.CERTIFICATE)


@given(st.lists(st.tuples(st.integers(0, len(OCTETS) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_certificates_raise_nothing_but_value_error(damage: list[tuple[int, int]]) -> None:
    encoded = bytearray(OCTETS)
    for position, octet in damage:
        encoded[position] = octet
    with suppress(ValueError):
        parsed = ParsedCertificate.parse(bytes(encoded))
        assert parsed.subject_text
        assert parsed.public_key.spki == parsed.spki


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serial": 0}, "serial number must be positive"),
        ({"serial": 1 << 159}, "at most 20 octets"),
        ({"not_after": datetime(2025, 1, 1, tzinfo=UTC)}, "not_after must not be before not_before"),
        ({"not_after": datetime(2030, 1, 1)}, "must be in UTC"),  # noqa: DTZ001  # a naive time is the point
        ({"not_before": datetime(1949, 1, 1, tzinfo=UTC)}, "before 1950"),
        ({"path_length": 0}, "only a CA has one"),
        ({"is_ca": True, "path_length": -1}, "must not be negative"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(leaf_spec(), **change)  # type: ignore[arg-type]  # a table of fields of many types


def test_a_critical_alternative_name_stands_in_for_an_empty_subject() -> None:
    parsed = ParsedCertificate.parse(issue(replace(leaf_spec(), subject=DistinguishedName()), issuer(P256)))
    assert {one.oid: one.critical for one in parsed.extensions.all}["2.5.29.17"]
