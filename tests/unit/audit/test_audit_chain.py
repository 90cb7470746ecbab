"""The chain, and what verifying finds when somebody meddles with it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.audit.chain import ORIGIN, Event, ProcessChain, as_fact, begin, digest, link, notice, read_line
from chancery.audit.verify import Verifier
from tests.support.audit_devices import NOON, record

Lines = list[bytes]


def chained(count: int, first: int = 0) -> Lines:
    return link([record(f"r{number}") for number in range(first, first + count)], begin())[0]


def verify(lines: Lines, *anchors: str) -> Verifier:
    verifier = Verifier(frozenset(anchors))
    verifier.read("log", [line + b"\n" for line in lines])
    verifier.finish()
    return verifier


def found(lines: Lines) -> list[str]:
    return [str(finding) for finding in verify(lines).findings]


def test_lines_name_the_one_before() -> None:
    first, second = [read_line(line) for line in chained(2)]
    assert first is not None
    assert second is not None
    assert first.point is not None
    assert second.point is not None
    assert (first.point.sequence, first.previous) == (1, ORIGIN)
    assert (second.point.sequence, second.previous) == (2, first.point.hash)
    assert first.point.hash == digest(first.text)
    assert second.document["request"]["id"] == "r1"


def test_a_prefix_belongs_to_no_chain() -> None:
    line = chained(1)[0]
    read = read_line(b"<134>host: " + line + b"\r\n")
    assert read is not None
    assert read.text == line


def test_a_whole_log_has_no_findings() -> None:
    lines = chained(5)
    verifier = verify(lines, digest(lines[2]))
    assert verifier.findings == verifier.notes == []
    [stretch] = verifier.chains.values()
    assert (stretch.first.sequence, stretch.last.sequence, stretch.lines) == (1, 5, 5)
    assert stretch.last.hash == digest(lines[-1])


def _altered(lines: Lines) -> Lines:
    return [line.replace(b'"r2"', b'"r9"') for line in lines]


MEDDLING: list[tuple[Callable[[Lines], Lines], str]] = [
    (lambda lines: lines[:2] + lines[3:], "log:3: line 3 of the chain missing between log:2 and here"),
    (lambda lines: lines[:1] + lines[4:], "log:2: lines 2 to 4 of the chain missing between log:1 and here"),
    (_altered, "log:4: the line before it (log:3) was altered, or this one"),
    (lambda lines: [*lines[:3], lines[3][:60], *lines[4:]], "log:4: is no audit line, or was cut off"),
    (lambda lines: [*lines[:3], lines[1], *lines[3:]], "log:4: out of order: line 2 of the chain comes after line 3"),
    (lambda lines: [lines[1], lines[0], *lines[2:]], "log:2: out of order: line 1 of the chain comes after line 2"),
    (lambda lines: [*lines[:2], record("forged"), *lines[2:]], "log:3: is on no chain"),
    (lambda lines: [*lines[:2], b"garbage", *lines[2:]], "log:3: is no audit line, or was cut off"),
    (lambda lines: [*lines, lines[-1][:20]], "log:6: is no audit line, or was cut off"),
    (lambda lines: [*lines[:3], chained(1)[0], *chained(9)[3:]], "lines 1 to 3 of this chain are missing"),
    (lambda lines: [lines[0].replace(ORIGIN.encode(), b"1" * 64), *lines[1:]], "another's beginning"),
]


@pytest.mark.parametrize(("meddle", "finding"), MEDDLING)
def test_meddling_is_found_where_it_is(meddle: Callable[[Lines], Lines], finding: str) -> None:
    assert finding in "\n".join(found(meddle(chained(5))))


@given(st.integers(2, 12), st.data())
def test_no_single_line_can_be_removed_altered_or_moved(count: int, data: st.DataObject) -> None:
    lines = chained(count)
    at = data.draw(st.integers(0, count - 2))
    removed = lines[:at] + lines[at + 1 :]
    assert found(removed) or (at == 0 and verify(removed).notes)
    position = data.draw(st.integers(1, len(lines[at]) - 2))
    flipped = bytearray(lines[at])
    flipped[position] ^= data.draw(st.integers(1, 255))
    assert found([*lines[:at], bytes(flipped), *lines[at + 1 :]])
    target = data.draw(st.integers(0, count - 1).filter(lambda other: other != at))
    moved = lines[:at] + lines[at + 1 :]
    moved.insert(target, lines[at])
    assert found(moved)


def test_only_an_anchor_finds_a_log_that_was_rewritten_to_its_end() -> None:
    lines = chained(5)
    rewritten = lines[:2] + link([record("forged")], begin())[0]
    forged_on = [*lines[:3]]
    assert found(forged_on) == []
    assert [str(finding) for finding in verify(forged_on, digest(lines[4])).findings] == [
        f"-:0: no line has the hash {digest(lines[4])}"
    ]
    assert verify(rewritten, digest(lines[4])).findings


def test_a_torn_line_is_accounted_for_by_the_line_after_it() -> None:
    lines, point = link([record("a")], begin())
    torn = b'{"time":"2026'
    told = notice(Event.TORN, NOON, torn={"bytes": len(torn), "hash": digest(torn)})
    after, _ = link([told, record("b")], point)
    verifier = verify([*lines, torn, *after])
    assert verifier.findings == []
    assert [str(note) for note in verifier.notes] == ["log:2: unfinished, as the line after it tells"]
    assert found([*lines, b'{"time":"2027', *after]) == ["log:2: is no audit line, or was cut off"]


def test_a_chain_that_was_left_must_end_as_told() -> None:
    left, end = link([record("a"), record("b")], begin())
    theirs, point = link([record("c")], begin())
    joined, _ = link([notice(Event.JOIN, NOON, left=as_fact(end)), record("d")], point)
    assert found([*left, *theirs, *joined]) == []
    assert "does not end as told" in found([left[0], *theirs, *joined])[0]


def test_chains_of_several_processes_may_be_interleaved() -> None:
    one, two = ProcessChain(), ProcessChain()
    lines = [line for number in range(4) for chain in (one, two) for line in chain.link([record(f"r{number}")])]
    assert found(lines) == []
    assert len(found(lines[:2] + lines[3:])) == 1


def test_lines_of_another_server_may_come_before_the_chain_only() -> None:
    lines = chained(2)
    assert found([record("old"), *lines]) == []
    assert len(verify([record("old"), *lines]).notes) == 1
    assert found([*lines, record("new")]) == ["log:3: is on no chain: this server did not write it so"]


def test_a_lost_stretch_is_a_note(tmp_path: Path) -> None:
    lines, _ = link([record("a"), notice(Event.LOST, NOON, lines=7), record("b")], begin())
    verifier = verify(lines)
    assert verifier.findings == []
    assert "7 lines before this are not here" in str(verifier.notes[0])
