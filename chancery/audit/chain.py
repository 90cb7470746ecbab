"""The chain that lines hang on. Pure but for the random name of a new chain.

A line is a record with one more member, `"chain": {"id", "sequence", "previous"}`, where `previous` is the SHA-256 of
the line before (of its JSON text, without prefix and line feed), and zeros for the first. Whoever alters, removes or
moves a line breaks the joint behind it. Records of type `chain` tell of the chain itself.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson

ORIGIN = "0" * 64
"""What the first line of a chain has for the hash of the line before."""


class Event(StrEnum):
    """What a record of type `chain` tells of."""

    BEGIN = "begin"
    """The chain begins here."""
    OPEN = "open"
    """A process opened what others had written before."""
    CONTINUE = "continue"
    """The chain goes on here; the lines before are in the file that lay here before."""
    JOIN = "join"
    """A process left its chain, named in `left`, for the one that it found here."""
    SHORTENED = "shortened"
    """Lines that this process had written are gone; the chain goes on from them all the same."""
    TORN = "torn"
    """The line before was not finished, by a crash or a full disk; `torn` has its length and hash."""
    LOST = "lost"
    """The device failed for a while: as many lines as `lines` says never got here."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a chain has got to: its name, the number of its last line and that line's hash."""

    chain: str
    sequence: int
    hash: str


def begin() -> Point:
    """Return the point before the first line of a new chain."""
    return Point(secrets.token_hex(8), 0, ORIGIN)


def digest(line: bytes) -> str:
    """Return the hash by which the next line refers to this one."""
    return sha256(line).hexdigest()


def link(records: Sequence[bytes], point: Point) -> tuple[list[bytes], Point]:
    """Append records to a chain: return them as lines, and where the chain then is."""
    chain, sequence, previous = point.chain, point.sequence, point.hash
    lines = []
    for record in records:
        sequence += 1
        text = f',"chain":{{"id":"{chain}","sequence":{sequence},"previous":"{previous}"}}}}'
        line = record[:-1] + text.encode()
        previous = digest(line)
        lines.append(line)
    return lines, Point(chain, sequence, previous)


def notice(event: Event, now: datetime, **facts: Any) -> bytes:
    """Return the record that tells of something that befell the chain."""
    return orjson.dumps({"time": timestamp(now), "type": "chain", "event": event.value, **facts})


def timestamp(now: datetime) -> str:
    """Render a moment in UTC as lines have it: RFC 3339 with `Z`."""
    return now.isoformat().removesuffix("+00:00") + "Z"


def as_fact(point: Point) -> dict[str, str | int]:
    """Render a point for a notice."""
    return {"id": point.chain, "sequence": point.sequence, "hash": point.hash}


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is found: its JSON text, the parsed object and its place in a chain, if it has one."""

    text: bytes
    document: dict[str, Any]
    point: Point | None
    previous: str = ""

    @property
    def is_audit(self) -> bool:
        """Tell whether this is a line of an audit device, be it one of another server that knows no chains."""
        return self.document.get("type") in {"request", "response", "chain"} and "time" in self.document


def read_line(raw: bytes) -> Line | None:
    """Understand a line as a file has it, prefix and all. None for what is no JSON object."""
    text = raw[max(raw.find(b"{"), 0) :].rstrip(b"\r\n")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    match document.get("chain"):
        case {"id": str(chain), "sequence": int(sequence), "previous": str(previous)}:
            return Line(text, document, Point(chain, sequence, digest(text)), previous)
    return Line(text, document, None)


class ProcessChain:
    """`Chain` of the kit: begins with the process, and moves on whether or not its lines arrive."""

    def __init__(self) -> None:
        self._point = begin()

    def link(self, records: Sequence[bytes]) -> list[bytes]:
        """Return the records as lines of the chain."""
        lines, self._point = link(records, self._point)
        return lines
