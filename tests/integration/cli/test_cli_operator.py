"""The operator commands, ours and `bao`'s, on our server and on OpenBao's: the same tables, documents, exit codes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chancery.seal import one_time_password
from tests.support.cli_programs import Outcome, run_bao, run_ours
from tests.support.seal_openbao import Sealed, initialise, open_openbao
from tests.support.server_process import ConfiguredServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class _Uninitialised(ConfiguredServer):
    """A server that the test initialises."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.made: Sealed | None = None

    def make_ready(self) -> None:
        """Initialise with three shares."""
        self.made = initialise(self.address)
        self.token = self.made.token


@pytest.fixture(scope="module", params=["chancery", "openbao"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """Run one server or the other."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "openbao":
        with open_openbao(directory) as running:
            yield running
    else:
        with _Uninitialised(directory) as ours:
            assert ours.made is not None
            yield ours.made


class Operator:
    """One command line on one server. Remembers the shares, which rekeying changes."""

    shares: list[str]

    def __init__(self, run: Any, server: Sealed) -> None:
        self._run, self._server = run, server

    def __call__(self, line: str, *, status: int = 0) -> Outcome:
        outcome: Outcome = self._run(["operator", *line.split()], self._server.variables)
        assert outcome.status == status, (line, outcome)
        return outcome

    def document(self, line: str) -> Any:
        """Return what it prints as JSON."""
        command, _, rest = line.partition(" ")
        return json.loads(self(f"{command} -format=json {rest}").out)


@pytest.fixture(params=[run_ours, run_bao], ids=["ours", "bao"])
def operator(request: pytest.FixtureRequest, server: Sealed) -> Operator:
    """Return a command line. What is asserted holds for both."""
    return Operator(request.param, server)


def rows(text: str) -> dict[str, str]:
    """Return the last table in a text."""
    lines = [re.split(r"  +", line, maxsplit=1) for line in text.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def test_rotate(operator: Operator) -> None:
    before = operator.document("key-status")
    rotated = operator("rotate")
    assert rotated.out.startswith("Success! Rotated key\n\nKey Term            ")
    table = rows(rotated.out)
    assert list(table) == ["Key Term", "Install Time", "Encryption Count"]
    assert int(table["Key Term"]) == before["term"] + 1
    assert re.fullmatch(r"\d\d \w{3} \d\d \d\d:\d\d UTC", table["Install Time"])
    assert list(operator.document("rotate")) == ["term", "install_time", "encryptions"]


@pytest.mark.parametrize("command", ["rekey", "rotate-keys"])
def test_new_shares(operator: Operator, server: Sealed, command: str) -> None:
    assert rows(operator(f"{command} -status").out) == {
        "Key": "Value",
        "---": "-----",
        "Nonce": "n/a",
        "Started": "false",
    }
    began = rows(operator(f"{command} -init -n 3 -t 2 -verify").out)
    assert began | {"Nonce": ""} == {
        "Key": "Value", "---": "-----", "Nonce": "", "Started": "true", "Progress": "0/2", "New Shares": "3",
        "New Threshold": "2", "Verification Required": "true",
    }  # fmt: skip
    nonce = began["Nonce"]
    assert "already in progress" in operator(f"{command} -init", status=2).err
    assert operator(f"{command} {server.shares[0]}", status=1).err == (
        "Missing nonce value: specify it via the -nonce flag\n"
    )
    assert rows(operator(f"{command} -nonce={nonce} {server.shares[0]}").out)["Progress"] == "1/2"
    assert "incorrect nonce" in operator(f"{command} -nonce=x {server.shares[1]}", status=2).err
    made = operator(f"{command} -nonce={nonce} {server.shares[1]}").out
    shares = re.findall(r"^Key \d: (\S+)$", made, re.MULTILINE)
    assert len(shares) == 3
    assert f"Operation nonce: {nonce}\n" in made
    verification = rows(made)["Verification Nonce"]
    status = operator.document(f"{command} -status")
    assert (status["verification_nonce"], status["nonce"], status["started"]) == (verification, nonce, True)
    assert rows(operator(f"{command} -verify -nonce={verification} {shares[2]}").out)["Verification Progress"] == "1/2"
    assert operator(f"{command} -verify -cancel").out.startswith("Success! Canceled r")
    pending = rows(operator(f"{command} -verify -status").out)
    assert (pending["Verification Progress"], pending["Verification Nonce"] == verification) == ("0/2", False)
    for share in shares[:2]:
        done = operator(f"{command} -verify -nonce={pending['Verification Nonce']} {share}")
    assert "complete" in done.out
    server.shares[:] = shares
    assert not operator.document(f"{command} -status")["started"]


def test_what_is_wrong_is_said_alike(operator: Operator) -> None:
    for line, status, words in (
        ("rekey -target=x -init", 1, "Unknown target: x"),
        ("rekey -target=recovery -init", 2, "not supported"),
        ("rekey -init -n 1 -t 2", 2, "threshold cannot be larger than shares"),
        ("rekey -verify -status", 2, "no rekey configuration found"),
        ("rekey -init -backup", 2, "without providing PGP keys"),
        ("rekey -init -pgp-keys=nowhere", 1, 'invalid value "nowhere" for flag -pgp-keys'),
        ("rekey -backup-retrieve", 2, "no backed-up keys found"),
        ("generate-root -decode=AAAA", 1, "Missing otp: use -otp to supply it"),
        ("generate-root -init -otp=short", 2, "OTP string has incorrect length"),
        ("key-status x", 1, "Too many arguments"),
    ):
        assert words in operator(line, status=status).err, line
    assert operator("rekey -backup-delete").out == "Success! Deleted backed up keys (if they existed)\n"
    assert operator("rekey -cancel").out == "Success! Canceled rekeying (if it was started)\n"
    assert "No rekey is in progress" in operator("rekey abcd", status=1).err


def test_a_root_token_from_shares(operator: Operator, server: Sealed) -> None:
    idle = operator.document("generate-root -status")
    assert (idle["started"], idle["required"]) == (False, 2)
    password = operator("generate-root -generate-otp").out
    assert len(password) == idle["otp_length"]
    began = rows(operator("generate-root -init").out)
    assert list(began) == ["Nonce", "Started", "Progress", "Complete", "OTP", "OTP Length"]
    nonce = began["Nonce"]
    assert rows(operator(f"generate-root -nonce={nonce} {server.shares[0]}").out) == {
        "Nonce": nonce, "Started": "true", "Progress": "1/2", "Complete": "false",
    }  # fmt: skip
    done = rows(operator(f"generate-root -nonce={nonce} {server.shares[2]}").out)
    assert (done["Complete"], done["Progress"]) == ("true", "2/2")
    token = operator(f"generate-root -decode={done['Encoded Token']} -otp={began['OTP']}").out
    assert token == one_time_password.decode(done["Encoded Token"], began["OTP"])
    with server.client(token=False) as client:
        client.token = token
        assert client.read("auth/token/lookup-self").data["policies"] == ["root"]
    operator(f"generate-root -init -otp={password}")
    assert operator("generate-root -cancel").out == "Success! Root token generation canceled (if it was started)\n"
    assert "No root generation is in progress" in operator("generate-root abcd", status=1).err


def test_without_a_terminal_the_remedy_is_named(server: Sealed) -> None:
    ours = Operator(run_ours, server)
    nonce = rows(ours("rekey -init -n 1 -t 1").out)["Nonce"]
    asked = ours("rekey", status=1)
    assert (nonce in asked.err, "-nonce" in asked.err) == (True, True)
    entered = run_ours(
        ["operator", "rekey", f"-nonce={nonce}", "-"], server.variables, stdin=f"{server.shares[0]}\n".encode()
    )
    assert rows(entered.out)["Progress"] == "1/2", entered.err
    ours("rekey -cancel")
