"""Is a log whole? Reads lines in the order of writing and names every joint that does not hold.

What the chain cannot tell: lines cut off at the very end, and a log that was rewritten from some line on to its end.
Both show against a hash that was noted elsewhere (`anchors`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chancery.audit.chain import ORIGIN, Event, Line, Point, digest, read_line


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, and where: a file, the number of a line in it (from 1), and words."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(slots=True)
class Stretch:
    """A chain as far as it was read."""

    first: Point
    last: Point
    lines: int
    where: str
    """File and number of its last line."""


@dataclass(slots=True)
class _Open:
    """A line that its successor must account for: a torn one."""

    file: str
    line: int
    hash: str


@dataclass(slots=True)
class Verifier:
    """Follows every chain in the lines that it is fed, and collects findings."""

    anchors: frozenset[str] = frozenset()
    """Hashes of lines that must be there."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    """What is worth knowing and wrong in no way."""
    chains: dict[str, Stretch] = field(default_factory=dict)
    _unread: _Open | None = None
    _follows_older: bool = False
    """Whether lines without a chain came first."""
    _seen_anchors: set[str] = field(default_factory=set)

    def read(self, file: str, lines: Iterable[bytes]) -> None:
        """Follow one file. Files come in the order in which they were written."""
        for number, raw in enumerate(lines, 1):
            if raw.strip():
                self._take(file, number, raw)

    def finish(self) -> list[Finding]:
        """Say that there is no more. Returns every finding."""
        self._settle_unread(None)
        missing = sorted(self.anchors - self._seen_anchors)
        self.findings += [Finding("-", 0, f"no line has the hash {anchor}") for anchor in missing]
        return self.findings

    def _take(self, file: str, number: int, raw: bytes) -> None:
        line = read_line(raw)
        self._settle_unread(line)
        if line is None:
            self._unread = _Open(file, number, digest(raw.rstrip(b"\n")))
        elif line.point is None:
            self._unchained(file, number, line)
        else:
            if line.point.hash in self.anchors:
                self._seen_anchors.add(line.point.hash)
            self._follow(file, number, line, line.point)

    def _settle_unread(self, line: Line | None) -> None:
        unread, self._unread = self._unread, None
        if unread is None:
            return
        document = line.document if line is not None else {}
        if document.get("event") == Event.TORN and _member(document, "torn", "hash") == unread.hash:
            self.notes.append(Finding(unread.file, unread.line, "unfinished, as the line after it tells"))
        else:
            self.findings.append(Finding(unread.file, unread.line, "is no audit line, or was cut off"))

    def _unchained(self, file: str, number: int, line: Line) -> None:
        if self.chains or not line.is_audit:
            self.findings.append(Finding(file, number, "is on no chain: this server did not write it so"))
        else:
            self.notes.append(Finding(file, number, "is older than the chain"))
            self._follows_older = True

    def _follow(self, file: str, number: int, line: Line, point: Point) -> None:
        known = self.chains.get(point.chain)
        if known is None:
            self._start(file, number, line, point)
            return
        for problem in _problems(known, line, point):
            self.findings.append(Finding(file, number, problem))
        known.lines += 1
        known.last, known.where = point, f"{file}:{number}"
        self._heed(file, number, line)

    def _start(self, file: str, number: int, line: Line, point: Point) -> None:
        if (point.sequence == 1) != (line.previous == ORIGIN):
            self.findings.append(Finding(file, number, f"line {point.sequence} of its chain has another's beginning"))
        elif point.sequence > 1 and (self.chains or self._follows_older):
            self.findings.append(Finding(file, number, f"lines 1 to {point.sequence - 1} of this chain are missing"))
        elif point.sequence > 1:
            self.notes.append(Finding(file, number, f"begins after line {point.sequence - 1}, hash {line.previous}"))
        self.chains[point.chain] = Stretch(point, point, 1, f"{file}:{number}")
        self._heed(file, number, line)

    def _heed(self, file: str, number: int, line: Line) -> None:
        """Check and pass on what the server itself tells of its chain."""
        if line.document.get("type") != "chain":
            return
        match line.document.get("event"):
            case Event.JOIN:
                self._joined(file, number, line.document)
            case Event.SHORTENED:
                self.findings.append(Finding(file, number, "the server found its lines gone before it wrote this one"))
            case Event.LOST:
                lines = line.document.get("lines")
                self.notes.append(
                    Finding(file, number, f"the device had failed: {lines} lines before this are not here")
                )

    def _joined(self, file: str, number: int, document: dict[str, Any]) -> None:
        left = self.chains.get(_member(document, "left", "id"))
        if left is not None and left.last.hash != _member(document, "left", "hash"):
            self.findings.append(
                Finding(file, number, f"the chain that was left here does not end as told ({left.where})")
            )


def _problems(known: Stretch, line: Line, point: Point) -> Iterator[str]:
    before = known.last
    ahead = point.sequence - before.sequence - 1
    if ahead > 0:
        few = f"line {before.sequence + 1}" if ahead == 1 else f"lines {before.sequence + 1} to {point.sequence - 1}"
        yield f"{few} of the chain missing between {known.where} and here"
    elif ahead < 0:
        yield f"out of order: line {point.sequence} of the chain comes after line {before.sequence} ({known.where})"
    elif line.previous != before.hash:
        yield f"the line before it ({known.where}) was altered, or this one"


def _member(document: dict[str, Any], name: str, member: str) -> str:
    value = document.get(name)
    found = value.get(member) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
