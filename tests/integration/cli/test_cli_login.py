"""Logging in: what is stored, what is printed, what goes before what."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.cli_programs import Outcome, run_bao, run_ours

pytestmark = pytest.mark.slow


@pytest.fixture
def home(server: Mapping[str, str], tmp_path: Path) -> dict[str, str]:
    """Return variables for somebody with an empty home directory and no token."""
    return {"BAO_ADDR": server["BAO_ADDR"], "HOME": str(tmp_path)}


def table_of(outcome: Outcome) -> str:
    """Return the table below whatever words stand above it."""
    return outcome.normalized().out[outcome.normalized().out.index("Key ") :]


def test_login_stores_the_token_for_the_commands_that_follow(home: dict[str, str], tmp_path: Path) -> None:
    assert run_ours(["token", "lookup"], home).status == 2
    ours, peer = run_ours(["login", "root"], home), run_bao(["login", "root"], home)
    assert (ours.status, ours.err) == (0, "")
    assert table_of(ours) == table_of(peer)
    stored = tmp_path / ".vault-token"
    assert (stored.read_text(), stored.stat().st_mode & 0o777) == ("root", 0o600)
    assert run_ours(["print", "token"], home).out == "root\n"
    assert run_ours(["token", "lookup", "-field=path"], home).out == "auth/token/create"
    assert run_bao(["token", "lookup", "-field=path"], home).out == "auth/token/create"


@pytest.mark.parametrize(
    ("line", "stdin"),
    [
        ("login -format=json root", b""),
        ("login -format=yaml root", b""),
        ("login -field=token root", b""),
        ("login -field=policies root", b""),
        ("login -token-only root", b""),
        ("login -no-print root", b""),
        ("login -no-print token=root", b""),
        ("login -token-only -", b"root\n"),
        ("login -wrap-ttl=5m -no-store -method=userpass username=bob password=pw", b""),
        ("login -field=policies -method=userpass username=bob password=pw", b""),
        ("login -field=token_duration -wrap-ttl=5m -method=userpass username=bob password=pw", b""),
    ],
)
def test_login_prints_what_bao_prints(line: str, stdin: bytes, home: dict[str, str]) -> None:
    ours, peer = run_ours(line.split(), home, stdin=stdin), run_bao(line.split(), home, stdin=stdin)
    assert (ours.normalized().out, ours.status) == (peer.normalized().out, peer.status)


def test_login_refused(home: dict[str, str], tmp_path: Path) -> None:
    for line in (
        "login nobody",
        "login -method=userpass username=bob password=no",
        "login -method=userpass password=x",
    ):
        ours, peer = run_ours(line.split(), home), run_bao(line.split(), home)
        assert ours == peer
    assert not (tmp_path / ".vault-token").exists()


def test_no_store_leaves_nothing_behind(home: dict[str, str], tmp_path: Path) -> None:
    arguments = ["login", "-no-store", "-method=userpass", "username=bob", "password=pw"]
    ours, peer = run_ours(arguments, home), run_bao(arguments, home)
    assert table_of(ours) == table_of(peer)
    assert not (tmp_path / ".vault-token").exists()


def test_environment_goes_before_the_stored_token(home: dict[str, str]) -> None:
    told = run_ours(["login", "root"], {**home, "VAULT_TOKEN": "other"})
    assert told.status == 0
    assert "VAULT_TOKEN is set in the environment" in told.err
    assert run_ours(["print", "token"], {**home, "VAULT_TOKEN": "other", "BAO_TOKEN": "third"}).out == "other\n"
    assert run_ours(["print", "token"], {**home, "CHANCERY_TOKEN": "first", "VAULT_TOKEN": "other"}).out == "first\n"


def test_login_without_a_terminal_names_the_remedy(home: dict[str, str]) -> None:
    for line in ("login", "login -non-interactive", "login -method=userpass username=bob"):
        asked = run_ours(line.split(), home)
        assert asked.out == ""
        assert asked.status != 0
        assert "stdin" in asked.err


def at_a_terminal(arguments: list[str], variables: Mapping[str, str], typed: bytes = b"") -> str:
    """Run the installed command with a terminal for all three streams; return what it showed."""
    ours, theirs = pty.openpty()
    program = str(Path(sys.executable).with_name("chancery"))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", **variables}
    with subprocess.Popen(
        [program, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says EIO when the last writer closes a terminal
                break
            shown += chunk
            if typed and b"hidden): " in shown:
                os.write(ours, typed)
                typed = b""
        process.wait(timeout=30)
    os.close(ours)
    return shown.decode()


def test_at_a_terminal(server: Mapping[str, str], home: dict[str, str]) -> None:
    shown = at_a_terminal(["login"], home, typed=b"root\n")
    assert "You are now authenticated" in shown
    assert shown.count("root\r\n") == 1, "the token is shown once, by the table, and not echoed"
    field = at_a_terminal(["read", "-field=enable_templating", "pki/config/urls"], server)
    assert field == "false\r\n"
    coloured = at_a_terminal(["read", "-format=json", "pki/config/urls"], server)
    assert "\x1b[" in coloured
    plain = at_a_terminal(["read", "-format=json", "pki/config/urls"], {**server, "NO_COLOR": "1"})
    assert "\x1b[" not in plain
    assert plain.replace("\r\n", "\n").startswith('{\n  "request_id": ')
    assert "\x1b[91mNo value found" in at_a_terminal(["read", "nothing/here"], server)
