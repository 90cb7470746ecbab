"""The words of Vault's API: usages, policies, algorithm names, serial numbers."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given

from ca.x509 import extensions
from ca.x509.algorithms import SCHEMES, algorithm_identifier, parse_scheme_name, scheme_name, scheme_of
from ca.x509.der_reader import only
from ca.x509.extensions import AuthorityUrls, NameConstraints, Subtrees
from ca.x509.policies import CertificatePolicy, parse_policies
from ca.x509.serials import MAX_SERIAL, format_serial, new_serial, parse_serial
from ca.x509.signed import assemble
from ca.x509.template import TemplateCache
from ca.x509.usages import EXT_KEY_USAGES, KeyUsage, parse_ext_key_usages, parse_key_usages, read_key_usage_bits
from managed_keys.keys import SignatureScheme
from tests.support.x509_keys import issuer, sign
from tests.support.x509_specs import SERIALS, leaf_spec


def test_key_usages_in_any_spelling() -> None:
    names = [" digitalsignature", "KeyUsageCertSign", "CRLSIGN", "", "keyusagekeyagreement"]
    assert parse_key_usages(names) == {
        KeyUsage.DIGITAL_SIGNATURE,
        KeyUsage.CERT_SIGN,
        KeyUsage.CRL_SIGN,
        KeyUsage.KEY_AGREEMENT,
    }
    assert parse_key_usages(KeyUsage) == frozenset(KeyUsage)
    assert parse_key_usages([]) == frozenset()


def test_unknown_key_usages_list_the_known() -> None:
    with pytest.raises(ValueError, match="unknown key usage 'Signing'; use any of DigitalSignature, ContentCommitment"):
        parse_key_usages(["Signing"])


@pytest.mark.parametrize("usage", KeyUsage)
def test_each_key_usage_bit(usage: KeyUsage) -> None:
    encoded = extensions.key_usage([usage])
    assert encoded.critical
    assert read_key_usage_bits(only(encoded.value, 0x03)) == {usage}
    seen = x509.KeyUsage(
        digital_signature=usage is KeyUsage.DIGITAL_SIGNATURE,
        content_commitment=usage is KeyUsage.CONTENT_COMMITMENT,
        key_encipherment=usage is KeyUsage.KEY_ENCIPHERMENT,
        data_encipherment=usage is KeyUsage.DATA_ENCIPHERMENT,
        key_agreement=True,
        key_cert_sign=usage is KeyUsage.CERT_SIGN,
        crl_sign=usage is KeyUsage.CRL_SIGN,
        encipher_only=usage is KeyUsage.ENCIPHER_ONLY,
        decipher_only=usage is KeyUsage.DECIPHER_ONLY,
    )
    assert extensions.key_usage({usage, KeyUsage.KEY_AGREEMENT}).value == seen.public_bytes()


@pytest.mark.parametrize("content", [b"", b"\x08\x00", b"\x00\x00\x00\x00"])
def test_malformed_key_usage(content: bytes) -> None:
    with pytest.raises(ValueError, match="malformed key usage"):
        read_key_usage_bits(content)


def test_extended_key_usages_in_order_and_once() -> None:
    names = ["1.2.3", "clientauth", "ExtKeyUsageServerAuth", EXT_KEY_USAGES["ServerAuth"], "1.2.3", "any", " "]
    assert parse_ext_key_usages(names) == ("2.5.29.37.0", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.2.3")


@pytest.mark.parametrize(
    ("name", "message"), [("Servr", "unknown extended key usage 'Servr'"), ("1.x", "'1.x' is not an")]
)
def test_unknown_extended_key_usages(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_ext_key_usages([name])


def test_policies_as_identifiers_and_as_json() -> None:
    plain = (CertificatePolicy("1.2.3"), CertificatePolicy("1.2.4"))
    assert parse_policies("1.2.3, 1.2.4") == parse_policies(["1.2.3", "", "1.2.4"]) == plain
    qualified = CertificatePolicy("1.2.5", cps=("https://example.com",), notices=("Read, and obey",))
    text = '[{"oid": "1.2.5", "cps": "https://example.com", "notice": "Read, and obey"}, {"oid": "1.2.6", "cps": ""}]'
    assert parse_policies(text) == (qualified, CertificatePolicy("1.2.6"))
    assert parse_policies(['{"oid": "1.2.6"}']) == (CertificatePolicy("1.2.6"),)
    assert parse_policies('["1.2.3"]') == plain[:1]
    assert parse_policies("") == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("policy", "'policy' is not an object identifier"),
        ("[1]", 'a policy is an object with "oid"'),
        ('[{"oid": "1.2.3", "url": "x"}]', 'a policy is an object with "oid"'),
        ('[{"cps": "x"}]', 'a policy\'s "oid" must be text'),
        ('[{"oid": "1.2.3", "notice": 3}]', 'a policy\'s "notice" must be text'),
        ('[{"oid": "1.2.3"}', "not valid JSON"),
        ('[{"oid": "1.2.3", "cps": "http://ü"}]', "cps 'http://ü' must be"),
        ('[{"oid": "1.2.3", "notice": "' + "n" * 201 + '"}]', "1 to 200 characters"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_malformed_policies(value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_policies(value)


@pytest.mark.parametrize("scheme", sorted(SCHEMES, key=str))
def test_algorithm_names_both_ways(scheme: SignatureScheme) -> None:
    assert parse_scheme_name(scheme_name(scheme).upper()) is scheme
    assert scheme_of(algorithm_identifier(scheme)) is scheme


def test_other_algorithms_are_refused() -> None:
    assert parse_scheme_name("SHA384WithECDSA") is SignatureScheme.ECDSA_SHA384
    with pytest.raises(ValueError, match="use one of SHA256WithRSA, "):
        parse_scheme_name("MD5WithRSA")
    with pytest.raises(ValueError, match="not supported"):
        scheme_of(b"\x30\x00")
    with pytest.raises(ValueError, match=r"nothing of X\.509 is signed with ecdsa-sha1"):
        algorithm_identifier(SignatureScheme.ECDSA_SHA1)


@pytest.mark.parametrize("scheme", sorted(SCHEMES, key=str))
def test_pyca_understands_the_algorithm(scheme: SignatureScheme) -> None:
    tbs = TemplateCache().build(leaf_spec(), issuer(scheme), scheme)
    certificate = x509.load_der_x509_certificate(assemble(tbs, scheme, sign(tbs, scheme)))
    digest = certificate.signature_hash_algorithm
    assert (digest.name if digest else "") == ("" if scheme is SignatureScheme.ED25519 else scheme.value[-6:])
    parameters = certificate.signature_algorithm_parameters
    if "pss" in scheme.value:
        assert isinstance(parameters, padding.PSS)
        assert digest is not None
        assert parameters._salt_length == digest.digest_size
        assert parameters.mgf._algorithm.name == digest.name


def test_name_constraints_and_urls_are_checked() -> None:
    with pytest.raises(ValueError, match="issuing_certificates: 'http://ä'"):
        extensions.authority_information_access(AuthorityUrls(issuing_certificates=("http://ä",)))
    with pytest.raises(ValueError, match="dns name 'ä'"):
        extensions.name_constraints(NameConstraints(permitted=Subtrees(dns=("ä",))))


@given(SERIALS)
def test_serials_are_read_back(serial: int) -> None:
    text = format_serial(serial)
    assert parse_serial(text) == serial
    assert parse_serial(text.upper().replace(":", "-")) == serial
    assert all(len(part) == 2 for part in text.split(":"))


def test_new_serials() -> None:
    serials = {new_serial() for _ in range(1000)}
    assert len(serials) == 1000
    assert all(serial <= MAX_SERIAL and serial.bit_length() == 159 for serial in serials)
    assert {len(format_serial(serial)) for serial in serials} == {59}


@pytest.mark.parametrize(
    "text", ["", "0", "00", "zz", "1:2", "0a:1b-2c", "0a:", ":0a", "0a1b", "-1", "01" + ":00" * 20]
)
def test_what_is_no_serial(text: str) -> None:
    with pytest.raises(ValueError, match="serial number must be"):
        parse_serial(text)
