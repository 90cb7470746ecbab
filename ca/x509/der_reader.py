"""Reading DER that strangers sent: strict about lengths, bounded by its input, nothing but ValueError when it is wrong.

A value is a pair (identifier octet, contents), and `children` splits contents into values: structures are read by
matching the list, which was twice as fast as a reader object with a position.
"""

from typing import Final

from ca.x509 import der

Value = tuple[int, bytes]

MALFORMED: Final = "malformed DER"


def children(data: bytes) -> list[Value]:
    """Return the values that stand one after the other in `data`. Raises ValueError unless they fill it exactly."""
    found = []
    at, limit = 0, len(data)
    while at < limit:
        tag = data[at]
        if at + 2 > limit or tag & 0x1F == 0x1F:
            raise ValueError(f"{MALFORMED}: truncated, or a tag that is not used here")
        length = data[at + 1]
        start = at + 2
        if length >= 0x80:
            start, length = _long_length(data, start, length & 0x7F)
        at = start + length
        if at > limit:
            raise ValueError(f"{MALFORMED}: a value is longer than what contains it")
        found.append((tag, data[start:at]))
    return found


def _long_length(data: bytes, start: int, octets: int) -> tuple[int, int]:
    """Return where the contents begin and how long they are. Non-minimal lengths are refused: they are not DER."""
    end = start + octets
    if not 1 <= octets <= 4 or end > len(data):
        raise ValueError(f"{MALFORMED}: bad length")
    length = int.from_bytes(data[start:end], "big")
    if length < 0x80 or length.bit_length() <= 8 * (octets - 1):
        raise ValueError(f"{MALFORMED}: length is not minimal")
    return end, length


def only(data: bytes, tag: int) -> bytes:
    """Return the contents of the one value that `data` must be. Raises ValueError when it is something else."""
    values = children(data)
    if len(values) != 1 or values[0][0] != tag:
        raise ValueError(f"{MALFORMED}: expected one value with tag 0x{tag:02x}")
    return values[0][1]


def all_of(data: bytes, tag: int) -> list[bytes]:
    """Return the contents of values that must all have this tag: the inside of a SEQUENCE OF. Raises ValueError."""
    values = children(data)
    if any(found != tag for found, _ in values):
        raise ValueError(f"{MALFORMED}: unexpected tag where 0x{tag:02x} should be")
    return [content for _, content in values]


def integer(content: bytes) -> int:
    """Return the number that an INTEGER's contents stand for, at most 64 octets. Raises ValueError."""
    if not 1 <= len(content) <= 64:
        raise ValueError(f"{MALFORMED}: not an integer of a usable size")
    return int.from_bytes(content, "big", signed=True)


def boolean(content: bytes) -> bool:
    """Return what a BOOLEAN's contents say. Raises ValueError."""
    if content not in {b"\x00", b"\xff"}:
        raise ValueError(f"{MALFORMED}: not a boolean")
    return content == b"\xff"


def dotted(content: bytes) -> str:
    """Return the dotted form of an OBJECT IDENTIFIER's contents. Raises ValueError."""
    known = _DOTTED.get(content)
    return known if known is not None else _decode_oid(content)


def _decode_oid(content: bytes) -> str:
    if not content or len(content) > 128 or content[-1] & 0x80:
        raise ValueError(f"{MALFORMED}: not an object identifier")
    arcs, value, fresh = [], 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise ValueError(f"{MALFORMED}: object identifier is not minimal")
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


_FREQUENT: Final = (
    *(f"2.5.4.{arc}" for arc in (3, 5, 6, 7, 8, 9, 10, 11, 17)),
    *(f"2.5.29.{arc}" for arc in (14, 15, 17, 19, 30, 31, 32, 35, 37)),
    *(f"1.3.6.1.5.5.7.3.{arc}" for arc in (1, 2, 3, 4, 8, 9)),
    "1.3.6.1.5.5.7.1.1",
    "1.2.840.113549.1.9.14",
)
_DOTTED: Final = {only(der.oid(text), der.OBJECT_IDENTIFIER): text for text in _FREQUENT}
