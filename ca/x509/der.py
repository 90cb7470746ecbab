"""Writing DER (X.690): the few primitives that the hot paths concatenate.

asn1crypto encodes whatever is not hot; property tests hold the two equal. Tags are whole identifier octets.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
UTF8_STRING: Final = 0x0C
SEQUENCE: Final = 0x30
SET: Final = 0x31
PRINTABLE_STRING: Final = 0x13
IA5_STRING: Final = 0x16
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18

EXPLICIT_0: Final = 0xA0
EXPLICIT_3: Final = 0xA3
IMPLICIT_0: Final = 0x80
IMPLICIT_1: Final = 0x81
IMPLICIT_2: Final = 0x82

TRUE: Final = b"\x01\x01\xff"

_OID: Final = re.compile(r"(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]{0,38}))(?:\.(?:0|[1-9][0-9]{0,38})){0,30}")
_NO_OFFSET: Final = timedelta()


def context(number: int, *, constructed: bool = True) -> int:
    """Return the identifier octet of a context-specific tag, `number` below 31."""
    return (0xA0 if constructed else 0x80) | number


def header(tag: int, length: int) -> bytes:
    """Return identifier and length octets for contents of `length` octets."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def tlv(tag: int, content: bytes) -> bytes:
    """Return the encoding of `content` under `tag`."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    return header(tag, length) + content


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE of encoded parts."""
    return tlv(SEQUENCE, b"".join(parts))


def integer(value: int) -> bytes:
    """Return an INTEGER. Raises ValueError for a negative one: nothing in X.509 here has any."""
    if value < 0:
        raise ValueError("a negative number has no place here")
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bit_string(octets: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\x00" + octets)


@lru_cache(maxsize=1024)
def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER from its dotted form. Raises ValueError when it is none."""
    if not _OID.fullmatch(dotted):
        raise ValueError(f"{dotted[:80]!r} is not an object identifier such as 1.3.6.1.5.5.7.3.1")
    first, second, *rest = map(int, dotted.split("."))
    return tlv(OBJECT_IDENTIFIER, b"".join(map(_base128, (40 * first + second, *rest))))


def _base128(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))


def time(moment: datetime) -> bytes:
    """Return a Time (RFC 5280 4.1.2.5): UTCTime through the year 2049, GeneralizedTime from then on.

    Takes aware UTC only and drops fractions of a second. Raises ValueError for any other zone and for years before
    1950, which UTCTime does not reach.
    """
    if moment.tzinfo is not UTC and moment.utcoffset() != _NO_OFFSET:
        raise ValueError("a time must be in UTC")
    year = moment.year
    rest = (moment.month, moment.day, moment.hour, moment.minute, moment.second)
    if year >= 2050:
        return b"\x18\x0f%04d%02d%02d%02d%02d%02dZ" % (year, *rest)
    if year < 1950:
        raise ValueError("a time must not be before 1950")
    return b"\x17\x0d%02d%02d%02d%02d%02d%02dZ" % (year % 100, *rest)


def extension(dotted: str, critical: bool, value: bytes) -> bytes:
    """Return an Extension (RFC 5280 4.1); `value` is the DER that the OCTET STRING wraps."""
    return sequence(oid(dotted), TRUE if critical else b"", tlv(OCTET_STRING, value))
