"""Reading DER that strangers sent: bounded, strict about lengths, and nothing but ValueError when it is wrong."""

from typing import Final, Self

from ca.x509 import der

_MALFORMED: Final = "malformed DER"


class DerReader:
    """Reads one value after the other from a piece of DER. Not shared, not rewound."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    @classmethod
    def whole(cls, data: bytes, tag: int) -> Self:
        """Return a reader of the contents of `data`, which must be one value with this tag and nothing behind it."""
        outer = cls(data)
        inner = outer.enter(tag)
        outer.finish()
        return inner

    def peek(self) -> int:
        """Return the identifier octet of the next value; -1 at the end."""
        return self._data[self._at] if self._at < self._end else -1

    def read(self, tag: int) -> bytes:
        """Return the contents of the next value. Raises ValueError when it has another tag."""
        start, end = self._next(tag)
        return self._data[start:end]

    def read_raw(self, tag: int) -> bytes:
        """Return the next value with its identifier and length."""
        start = self._at
        _, end = self._next(tag)
        return self._data[start:end]

    def read_any(self) -> tuple[int, bytes]:
        """Return identifier octet and contents of the next value, whatever it is."""
        tag = self.peek()
        return tag, self.read(tag)

    def enter(self, tag: int) -> Self:
        """Return a reader of the contents of the next value."""
        start, end = self._next(tag)
        return type(self)(self._data, start, end)

    def finish(self) -> None:
        """Raise ValueError unless everything was read."""
        if self._at != self._end:
            raise ValueError(f"{_MALFORMED}: unexpected data after a value")

    def boolean(self, tag: int = der.BOOLEAN) -> bool:
        """Read a BOOLEAN."""
        content = self.read(tag)
        if content not in {b"\x00", b"\xff"}:
            raise ValueError(f"{_MALFORMED}: not a boolean")
        return content == b"\xff"

    def integer(self, tag: int = der.INTEGER) -> int:
        """Read an INTEGER of at most 64 octets."""
        content = self.read(tag)
        if not content or len(content) > 64:
            raise ValueError(f"{_MALFORMED}: not an integer of a usable size")
        return int.from_bytes(content, "big", signed=True)

    def oid(self, tag: int = der.OBJECT_IDENTIFIER) -> str:
        """Read an OBJECT IDENTIFIER as its dotted form."""
        return dotted(self.read(tag))

    def _next(self, tag: int) -> tuple[int, int]:
        data, at, limit = self._data, self._at, self._end
        if at + 2 > limit:
            raise ValueError(f"{_MALFORMED}: it ends too early")
        if data[at] != tag or tag & 0x1F == 0x1F:
            raise ValueError(f"{_MALFORMED}: unexpected tag 0x{data[at]:02x}")
        length = data[at + 1]
        start = at + 2
        if length >= 0x80:
            start, length = self._long_length(start, length & 0x7F)
        end = start + length
        if end > limit:
            raise ValueError(f"{_MALFORMED}: it ends too early")
        self._at = end
        return start, end

    def _long_length(self, start: int, octets: int) -> tuple[int, int]:
        end = start + octets
        if not 1 <= octets <= 4 or end > self._end:
            raise ValueError(f"{_MALFORMED}: bad length")
        length = int.from_bytes(self._data[start:end], "big")
        if length < 0x80 or length.bit_length() <= 8 * (octets - 1):
            raise ValueError(f"{_MALFORMED}: length is not minimal")
        return end, length


def dotted(content: bytes) -> str:
    """Return the dotted form of an object identifier's contents."""
    known = _DOTTED.get(content)
    return known if known is not None else _decode_oid(content)


def _decode_oid(content: bytes) -> str:
    if not content or len(content) > 128 or content[-1] & 0x80:
        raise ValueError(f"{_MALFORMED}: not an object identifier")
    arcs, value, fresh = [], 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise ValueError(f"{_MALFORMED}: object identifier is not minimal")
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
_DOTTED: Final = {DerReader(der.oid(text)).read(der.OBJECT_IDENTIFIER): text for text in _FREQUENT}
