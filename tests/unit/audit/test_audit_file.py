"""The file device: one chain however many write, over rotation, restarts, torn lines and full disks."""

import errno
import os
import stat
from pathlib import Path

import pytest

from chancery.audit.devices.file import FILE
from chancery.kit.errors import BadInput
from tests.support.audit_devices import DiskFull, context, events, file_device, record, verified


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def test_two_devices_write_one_chain(log: Path) -> None:
    one, two = file_device(log), file_device(log)
    one.write([record("a"), record("b")])
    two.write([record("c")])
    one.write([record("d")])
    assert events(log) == ["begin", "a", "b", "open", "c", "d"]
    verifier = verified(log)
    assert verifier.findings == []
    assert len(verifier.chains) == 1


def test_a_restart_goes_on_where_the_file_ends(log: Path) -> None:
    first = file_device(log)
    first.write([record("a")])
    first.close()
    file_device(log).write([record("b")])
    assert events(log) == ["begin", "a", "open", "b"]
    assert verified(log).findings == []


def test_a_long_last_line_is_found_whole(log: Path) -> None:
    file_device(log).write([record("x" * 300_000)])
    file_device(log).write([record("b")])
    assert verified(log).findings == []


def test_a_renamed_file_is_followed_and_named_by_the_next(log: Path) -> None:
    one, two = file_device(log), file_device(log)
    one.write([record("a")])
    two.write([record("b")])
    old = log.rename(log.with_suffix(".1"))
    two.write([record("c")])
    one.write([record("d")])
    assert events(old) == ["begin", "a", "open", "b"]
    assert events(log) == ["continue", "c", "d"]
    assert verified(old, log).findings == []
    assert "out of order" in str(verified(log, old).findings[0])
    assert "begins after line 4" in str(verified(log).notes[0])


def test_reopening_begins_the_new_file_at_once(log: Path) -> None:
    device = file_device(log)
    device.write([record("a")])
    old = log.rename(log.with_suffix(".1"))
    log.touch(0o640)
    device.reopen()
    assert events(log) == ["continue"]
    assert verified(old, log).findings == []


def test_a_copied_and_truncated_file_goes_on(log: Path) -> None:
    device = file_device(log)
    device.write([record("a")])
    old = log.with_suffix(".1")
    old.write_bytes(log.read_bytes())
    os.truncate(log, 0)
    device.write([record("b")])
    assert events(log) == ["continue", "b"]
    assert verified(old, log).findings == []


def test_lines_that_vanish_while_the_server_runs_are_reported(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    device = file_device(log)
    device.write([record("a"), record("b")])
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]))
    device.write([record("c")])
    assert events(log) == ["begin", "a", "shortened", "c"]
    findings = " ".join(map(str, verified(log).findings))
    assert "line 3 of the chain missing" in findings
    assert "found its lines gone" in findings
    assert "1 lines from 3 on are gone" in caplog.text


def test_a_line_that_somebody_adds_is_found(log: Path) -> None:
    device = file_device(log)
    device.write([record("a")])
    with log.open("ab") as stream:
        stream.write(b"nothing to see here\n")
    device.write([record("b")])
    assert [str(finding) for finding in verified(log).findings] == ["audit.log:3: is no audit line, or was cut off"]


def test_a_torn_line_is_ended_and_told(log: Path) -> None:
    file_device(log).write([record("a")])
    with log.open("ab") as stream:
        stream.write(record("torn")[:25])
    file_device(log).write([record("b")])
    verifier = verified(log)
    assert verifier.findings == []
    assert "unfinished" in str(verifier.notes[0])


def test_a_server_that_was_killed_in_its_first_line_starts_again(log: Path) -> None:
    log.write_bytes(b'{"time":"20')
    file_device(log).write([record("a")])
    verifier = verified(log)
    assert verifier.findings == []
    assert "unfinished" in str(verifier.notes[0])


@pytest.mark.parametrize("room", [0, 10, 250])
def test_a_full_disk_leaves_no_half_line(log: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    device = file_device(log)
    device.write([record("a")])
    before = log.read_bytes()
    monkeypatch.setattr("chancery.audit.logfile.os.write", DiskFull(room))
    with pytest.raises(OSError, match="No space left"):
        device.write([record("b"), record("c")])
    assert log.read_bytes() == before
    monkeypatch.undo()
    device.write([record("d")])
    assert events(log) == ["begin", "a", "d"]
    assert verified(log).findings == []


def test_a_file_that_cannot_be_shortened_again_is_marked(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _length: int) -> None:
        raise PermissionError(errno.EPERM, "append only")

    device = file_device(log)
    device.write([record("a")])
    monkeypatch.setattr("chancery.audit.logfile.os.write", DiskFull(30))
    monkeypatch.setattr("chancery.audit.logfile.os.ftruncate", refuse)
    with pytest.raises(OSError, match="No space left"):
        device.write([record("b")])
    monkeypatch.undo()
    device.write([record("c")])
    assert verified(log).findings == []
    assert len(verified(log).notes) == 1


def test_a_process_with_a_chain_of_its_own_joins_what_it_finds(log: Path) -> None:
    old, fresh = file_device(log), file_device(log)
    old.write([record("a")])
    rotated = log.rename(log.with_suffix(".1"))
    fresh.write([record("b")])
    old.write([record("c")])
    fresh.write([record("d")])
    assert events(log) == ["begin", "b", "join", "c", "d"]
    assert verified(rotated, log).findings == []
    rotated.write_bytes(b"".join(rotated.read_bytes().splitlines(keepends=True)[:1]))
    assert "does not end as told" in str(verified(rotated, log).findings[0])


@pytest.mark.parametrize(
    "content", [b'{"unseal_key": "00"}', b'{"unseal_key": "00"}\n', b"SQLite format 3\0" + b"x" * 5000, b"text\n"]
)
def test_files_of_others_are_left_alone(log: Path, content: bytes) -> None:
    log.write_bytes(content)
    with pytest.raises(OSError, match="something else"):
        file_device(log).write([record("a")])
    assert log.read_bytes() == content


def test_lines_of_vault_may_come_before_ours(log: Path) -> None:
    log.write_bytes(record("old") + b"\n")
    file_device(log).write([record("a")])
    verifier = verified(log)
    assert verifier.findings == []
    assert "older than the chain" in str(verifier.notes[0])


def test_links_pipes_and_directories_are_refused(tmp_path: Path) -> None:
    device = file_device(tmp_path / "link")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        device.write([record("a")])
    assert not (tmp_path / "elsewhere").exists()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        file_device(tmp_path / "pipe").write([])
    with pytest.raises(OSError, match="directory"):
        file_device(tmp_path / "none" / "log").write([])


def test_permissions(tmp_path: Path) -> None:
    def mode_of(name: str, mode: str = "") -> int:
        path = tmp_path / name
        file_device(path, mode=mode).write([])
        return stat.S_IMODE(path.stat().st_mode)

    (tmp_path / "kept").touch(0o644)
    (tmp_path / "kept").chmod(0o644)
    assert mode_of("default") == 0o600
    assert mode_of("group", mode="0640") == 0o640
    assert mode_of("kept", mode="0000") == 0o644
    assert mode_of("kept") == 0o600


def test_the_prefix_comes_before_every_line(log: Path) -> None:
    device = file_device(log, prefix=b"@cee: ", fsync="true")
    device.write([record("a")])
    file_device(log, prefix=b"@cee: ").write([record("b")])
    assert all(line.startswith(b'@cee: {"time"') for line in log.read_bytes().splitlines())
    assert verified(log).findings == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "file_path is required"),
        ({"file_path": "relative.log"}, "absolute path"),
        ({"file_path": "/var/log/../../etc/passwd"}, "absolute path"),
        ({"file_path": "/"}, "absolute path"),
        ({"file_path": "/tmp/x", "mode": "abc"}, "octal"),
        ({"file_path": "/tmp/x", "mode": "0755"}, "0664"),
        ({"file_path": "/tmp/x", "mode": "0666"}, "0664"),
        ({"file_path": "/tmp/x", "fsync": "perhaps"}, "fsync"),
    ],
)
def test_wrong_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        FILE.open(context(options))


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    device = FILE.open(context({"file_path": "stdout"}, prefix=b"> "))
    device.write([record("a")])
    device.reopen()
    device.write([record("b")])
    device.close()
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith('> {"time"') for line in lines)
