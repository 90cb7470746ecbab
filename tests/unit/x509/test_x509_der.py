"""DER primitives against asn1crypto and against hostile octets."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from asn1crypto import core
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509 import der
from ca.x509.der_reader import all_of, boolean, children, dotted, integer, only
from tests.support.x509_specs import MOMENTS, OIDS


@given(st.binary(max_size=70000))
def test_lengths(content: bytes) -> None:
    assert der.tlv(der.OCTET_STRING, content) == core.OctetString(content).dump()


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 24])
def test_headers(length: int) -> None:
    assert der.tlv(der.OCTET_STRING, bytes(length)) == core.OctetString(bytes(length)).dump()
    assert children(der.tlv(der.OCTET_STRING, bytes(length))) == [(der.OCTET_STRING, bytes(length))]


@given(st.integers(0, 1 << 170))
def test_integers(value: int) -> None:
    assert der.integer(value) == core.Integer(value).dump()
    assert integer(only(der.integer(value), der.INTEGER)) == value


def test_negative_integers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        der.integer(-1)


@settings(max_examples=40)
@given(OIDS)
def test_object_identifiers(text: str) -> None:
    assert der.oid(text) == core.ObjectIdentifier(text).dump()
    assert dotted(only(der.oid(text), der.OBJECT_IDENTIFIER)) == text


@pytest.mark.parametrize(
    "text", ["", "1", "3.1", "1.40", "0.40.1", "1.2.", ".1.2", "1.2.03", "1.2.-3", "a.b", "1.2\n", "2.5.29.٣"]
)
def test_what_is_no_object_identifier(text: str) -> None:
    with pytest.raises(ValueError, match="is not an object identifier"):
        der.oid(text)


@given(MOMENTS)
def test_times(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    expected = core.UTCTime(whole) if moment.year < 2050 else core.GeneralizedTime(whole)
    assert der.time(moment) == expected.dump()


def test_the_turn_of_2050() -> None:
    assert der.time(datetime(2049, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)) == b"\x17\x0d491231235959Z"
    assert der.time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"
    assert der.time(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) == b"\x18\x0f99991231235959Z"
    assert der.time(datetime(2030, 1, 1, tzinfo=timezone(timedelta()))) == b"\x17\x0d300101000000Z"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2030, 1, 1),  # noqa: DTZ001  # a naive time is the point
        datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(1949, 12, 31, tzinfo=UTC),
    ],
)
def test_times_that_cannot_be_written(moment: datetime) -> None:
    with pytest.raises(ValueError, match="a time must"):
        der.time(moment)


@given(st.binary(max_size=200))
def test_hostile_octets_raise_nothing_but_value_error(data: bytes) -> None:
    for read in (
        children,
        integer,
        boolean,
        dotted,
        lambda octets: only(octets, 0x30),
        lambda octets: all_of(octets, 2),
    ):
        with suppress(ValueError):
            read(data)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from((0x02, 0x04, 0x0C, 0x30, 0xA0)), st.binary(max_size=300)), max_size=6))
def test_children_are_what_was_written(values: list[tuple[int, bytes]]) -> None:
    assert children(b"".join(der.tlv(tag, content) for tag, content in values)) == values


@pytest.mark.parametrize(
    "data",
    [
        "30",  # no length
        "3001",  # contents missing
        "308000",  # indefinite length
        "30810100",  # long form of a short length
        "3082008000",  # a leading zero in the length
        "308500000000ff",  # five octets of length
        "1f0100",  # a tag of more than one octet
        "30ff",  # reserved length
    ],
)
def test_what_is_not_der(data: str) -> None:
    with pytest.raises(ValueError, match="malformed DER"):
        children(bytes.fromhex(data))


@pytest.mark.parametrize("content", ["", "80", "8001", "2a80"])
def test_object_identifiers_that_are_not_der(content: str) -> None:
    with pytest.raises(ValueError, match="malformed DER"):
        dotted(bytes.fromhex(content))
