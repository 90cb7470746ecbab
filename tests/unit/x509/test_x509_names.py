"""Distinguished names: what is written is what asn1crypto and pyca read, and what cannot be written says why."""

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509 import der
from ca.x509.names import ATTRIBUTES, DistinguishedName, relative_distinguished_names, render
from tests.support.x509_specs import NAMES

EVERYTHING = DistinguishedName(
    common_name="a.example.com",
    serial_number="42",
    organization=("Example, Inc.",),
    organizational_unit=("B", "A"),
    country=("US",),
    locality=("Berlin",),
    province=("BE",),
    street_address=("Street 1",),
    postal_code=("12345",),
    user_ids=("u2", "u1"),
)


@settings(max_examples=40)
@given(NAMES)
def test_names_are_read_back(name: DistinguishedName) -> None:
    encoded = name.encode()
    read = DistinguishedName.parse(encoded)
    assert read.encode() == encoded
    assert read.common_name == name.common_name
    assert set(read.organization) == set(name.organization)
    assert read.user_ids == name.user_ids
    assert asn1_x509.Name.load(encoded).dump() == encoded
    assert len(asn1_x509.Name.load(encoded).chosen) == len(list(name.relative_names()))


def test_the_order_is_that_of_openbao() -> None:
    assert str(EVERYTHING) == (
        "UID=u1,UID=u2,serialNumber=42,CN=a.example.com,OU=A+OU=B,O=Example\\, Inc.,postalCode=12345,"
        "STREET=Street 1,L=Berlin,ST=BE,C=US"
    )


def test_one_rdn_does_not_repeat_a_value() -> None:
    name = DistinguishedName(organization=("A", "A"))
    assert relative_distinguished_names(name.encode()) == [[("2.5.4.10", "A")]]


@pytest.mark.parametrize(("text", "tag"), [("Printable 1", 0x13), ("*.example.com", 0x0C), ("a@b", 0x0C), ("ü", 0x0C)])
def test_the_string_type_is_the_narrowest_of_two(text: str, tag: int) -> None:
    octets = text.encode()
    assert bytes([tag, len(octets)]) + octets in DistinguishedName(common_name=text).encode()


@pytest.mark.parametrize("field", ATTRIBUTES)
def test_limits_name_the_field(field: str) -> None:
    limit = ATTRIBUTES[field].limit
    for length in (limit, limit + 1):
        value = "x" * length
        name = DistinguishedName()._replace(**{field: value if field in {"common_name", "serial_number"} else (value,)})  # type: ignore[arg-type]  # both kinds of field
        if length <= limit:
            assert name.encode()
        else:
            with pytest.raises(ValueError, match=f"^{field}: must "):
                name.encode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (DistinguishedName(country=("Germany",)), "country: must be a code of 2 letters"),
        (DistinguishedName(country=("ÜÖ",)), "country: may contain only"),
        (DistinguishedName(country=("U1",)), "country: must be a code of 2 letters"),
        (DistinguishedName(serial_number="1*"), "serial_number: may contain only"),
        (DistinguishedName(common_name="a\x00b"), "common_name: must not contain control characters"),
        (DistinguishedName(organization=("",)), "organization: must not contain an empty value"),
        (DistinguishedName(organization=("\ud800",)), "organization: is not valid Unicode"),
    ],
)
def test_what_cannot_be_written(name: DistinguishedName, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        name.encode()


def test_names_of_others_keep_what_is_known() -> None:
    foreign = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.DOMAIN_COMPONENT, "example"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "first"),
            x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "a@example.com"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "last", x509.name._ASN1Type.BMPString),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, " lead;+", x509.name._ASN1Type.T61String),
        ]
    ).public_bytes()
    assert DistinguishedName.parse(foreign) == DistinguishedName(common_name="last", organization=(" lead;+",))
    assert render(foreign) == "O=\\ lead\\;\\+,CN=last,emailAddress=a@example.com,CN=first,DC=example"


@given(st.lists(st.sampled_from('aB ,+"\\<>;#=\x00\n\x7f€'), min_size=1, max_size=12).map("".join))
def test_rendering_agrees_with_pyca(text: str) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _validate=False)])
    theirs = x509.Name.from_rfc4514_string(render(name.public_bytes()))
    assert theirs == name


@pytest.mark.parametrize(
    "malformed",
    [
        b"",
        b"\x31\x00",
        der.sequence(der.tlv(der.SEQUENCE, b"")),
        der.sequence(der.tlv(der.SET, der.sequence(der.oid("2.5.4.3")))),
        der.sequence(der.tlv(der.SET, der.sequence(der.oid("2.5.4.3"), der.tlv(der.UTF8_STRING, b"\xff")))),
        der.sequence(der.tlv(der.SET, der.sequence(der.oid("2.5.4.3"), der.tlv(0x1E, b"odd")))),
    ],
)
def test_malformed_names(malformed: bytes) -> None:
    with pytest.raises(ValueError, match=r"malformed DER|character set"):
        DistinguishedName.parse(malformed)
