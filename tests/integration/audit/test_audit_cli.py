"""The audit commands: ours and `bao` against both servers, and `audit verify` on files."""

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.audit_devices import file_device, record
from tests.support.cli_openbao import ROOT_TOKEN, dev_server
from tests.support.cli_programs import run_bao, run_ours
from tests.support.server_process import DevServer

LINES = [
    "audit list",
    "audit list -format=json",
    "audit enable -path=one -description=first file file_path=DIR/WHO.log",
    "audit enable -path=one file file_path=DIR/WHO.log",
    "audit enable -path=none file",
    "audit enable",
    "audit enable -local=true -path=two/deep file file_path=DIR/WHO-2.log",
    "audit list",
    "audit list -detailed",
    "audit list -format=json",
    "audit list -detailed -format=yaml",
    "audit disable",
    "audit disable one",
    "audit disable two/deep/",
    "audit disable nothing",
    "audit list extra",
]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mapping[str, str], Path]]:
    with DevServer(tmp_path_factory.mktemp("chancery")) as running:
        yield {"BAO_ADDR": running.address, "BAO_TOKEN": running.token}, running.data


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mapping[str, str], Path]]:
    home = tmp_path_factory.mktemp("bao")
    with dev_server(home, settings="unsafe_allow_api_audit_creation = true\n") as address:
        yield {"BAO_ADDR": address, "BAO_TOKEN": ROOT_TOKEN}, home


@pytest.mark.slow
@pytest.mark.parametrize("side", ["ours", "peer"])
def test_both_command_lines_say_the_same(side: str, request: pytest.FixtureRequest) -> None:
    variables, directory = request.getfixturevalue(side)
    outcomes = []
    for line in LINES:
        words = line.replace("WHO", "audit").replace("DIR", str(directory)).split()
        mine = run_ours(words, variables).normalized()
        bao = None
        if words[1] == "list" or mine.status != 0 or "nothing" in words:
            bao = run_bao(words, variables).normalized()
            assert (line, mine.out, mine.status) == (line, bao.out, bao.status), (mine.err, bao.err)
        outcomes.append(mine.status)
    assert outcomes == [2, 0, 0, 2, 2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    device = file_device(path)
    device.write([record("a"), record("b"), record("c")])
    device.close()
    return path


def test_a_whole_log(log: Path) -> None:
    outcome = run_ours(["audit", "verify", str(log)], {})
    assert outcome.status == 0
    assert "lines 1 to 4, 4 here" in outcome.out
    assert outcome.out.endswith("no faults\n")
    last = outcome.out.split("hash ")[1].split()[0]
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    assert run_ours(["audit", "verify", str(log)], {}).status == 0
    cut = run_ours(["audit", "verify", f"-anchor={last}", str(log)], {})
    assert cut.status == 1
    assert f"no line has the hash {last}" in cut.out


def test_a_log_that_was_meddled_with(log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"b"', b'"x"'))
    outcome = run_ours(["audit", "verify", str(log)], {})
    assert outcome.status == 1
    assert f"{log}:4: the line before it ({log}:3) was altered, or this one\n" in outcome.out
    assert outcome.out.endswith("1 faults\n")


def test_rotated_and_compressed_logs(log: Path) -> None:
    old = log.with_suffix(".1.gz")
    old.write_bytes(gzip.compress(log.read_bytes()))
    log.write_bytes(b"")
    assert run_ours(["audit", "verify", str(log)], {}).status == 1
    assert run_ours(["audit", "verify", str(old), str(log)], {}).status == 0


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bnot really")
    for name in ("none", "broken.gz", "."):
        outcome = run_ours(["audit", "verify", str(tmp_path / name)], {})
        assert outcome.status == 1
        assert "cannot read" in outcome.err
