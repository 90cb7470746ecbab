"""Alternative names: read back as written, understood by pyca, and refused in words."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509 import der
from ca.x509.general_names import SubjectAlternativeNames, ip_octets, parse_general_names
from tests.support.x509_specs import ALTERNATIVE_NAMES


@settings(max_examples=40)
@given(ALTERNATIVE_NAMES)
def test_names_are_read_back(names: SubjectAlternativeNames) -> None:
    read, unsupported = parse_general_names(names.encode())
    assert unsupported == ()
    assert (read.dns, read.emails, read.uris, read.other_names) == (
        names.dns,
        names.emails,
        names.uris,
        names.other_names,
    )
    assert [ip.packed for ip in read.ips] == [ip_octets(ip) for ip in names.ips]
    assert bool(read) == bool(names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (SubjectAlternativeNames(dns=("bücher.example",)), "dns name 'bücher.example' must be .* punycode"),
        (SubjectAlternativeNames(dns=("",)), "dns name '' must be 1 to"),
        (SubjectAlternativeNames(dns=("a b",)), "visible ASCII"),
        (SubjectAlternativeNames(dns=("a\n",)), "visible ASCII"),
        (SubjectAlternativeNames(emails=("ä@example.com",)), "email address"),
        (SubjectAlternativeNames(uris=("https://ä",)), "uri "),
        (SubjectAlternativeNames(uris=("x" * 2049,)), "1 to 2048"),
        (SubjectAlternativeNames(other_names=(("upn", "x"),)), "'upn' is not an object identifier"),
        (SubjectAlternativeNames(other_names=(("1.2.3", "\udc00"),)), "other name: is not valid Unicode"),
    ],
)
def test_what_cannot_be_written(names: SubjectAlternativeNames, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        names.encode()


def test_names_of_other_kinds_are_reported_not_lost() -> None:
    value = x509.SubjectAlternativeName(
        [
            x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])),
            x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
            x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x02\x01\x05"),
            x509.DNSName("a.example.com"),
            x509.IPAddress(ip_address("2001:db8::1")),
        ]
    ).public_bytes()
    names, unsupported = parse_general_names(value)
    assert names == SubjectAlternativeNames(dns=("a.example.com",), ips=(ip_address("2001:db8::1"),))
    assert unsupported == ("directoryName", "registeredID", "otherName")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (der.sequence(der.tlv(0x82, b"")), "empty"),
        (der.sequence(der.tlv(0x82, b"a\x00.example.com")), "zero octet"),
        (der.sequence(der.tlv(0x82, "ü".encode())), "not ASCII"),
        (der.sequence(der.tlv(0x87, b"123")), "neither 4 nor 16"),
        (der.sequence(der.tlv(0xA0, der.oid("1.2.3"))), "not an other name"),
        (der.sequence(der.tlv(0xA0, der.oid("1.2.3") + der.tlv(0xA0, der.tlv(0x0C, b"\xff")))), "not valid UTF-8"),
        (b"\x30\x05\x82", "malformed DER"),
    ],
)
def test_malformed_names(value: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_general_names(value)


@given(st.binary(max_size=60).map(lambda data: der.tlv(der.SEQUENCE, data)))
def test_hostile_octets_raise_nothing_but_value_error(data: bytes) -> None:
    with suppress(ValueError):
        parse_general_names(data)
