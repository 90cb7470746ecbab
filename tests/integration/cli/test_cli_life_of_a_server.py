"""From an empty server to a sealed one, typed into ours and into `bao`, each with a server of its own."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.cli_openbao import empty_server
from tests.support.cli_programs import Outcome, run_bao, run_ours

pytestmark = pytest.mark.slow

Run = Callable[..., Outcome]


@pytest.fixture(params=[run_ours, run_bao], ids=["ours", "bao"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return the command line under test: what is asserted holds for both."""
    chosen: Run = request.param
    return chosen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with empty_server(tmp_path) as address:
        yield {"BAO_ADDR": address}


def rows(table: str) -> dict[str, str]:
    """Return a table of two columns as a mapping."""
    lines = [line.split("  ", 1) for line in table.splitlines()[2:]]
    return {line[0].strip(): line[1].strip() for line in lines}


def test_init_unseal_seal(run: Run, server: Mapping[str, str]) -> None:
    sealed = run(["status"], server)
    assert sealed.status == 2
    assert rows(sealed.out)["Initialized"] == "false"
    assert rows(sealed.out)["Unseal Progress"] == "0/0"
    assert run(["operator", "init", "-status"], server) == Outcome(2, "Vault is not initialized\n", "")

    began = run(["operator", "init", "-n", "3", "-t=2", "-format=json"], server)
    assert began.status == 0, began.err
    secrets = json.loads(began.out)
    assert list(secrets)[:4] == ["unseal_keys_b64", "unseal_keys_hex", "unseal_shares", "unseal_threshold"]
    assert (len(secrets["unseal_keys_b64"]), secrets["unseal_shares"], secrets["unseal_threshold"]) == (3, 3, 2)
    assert secrets["recovery_keys_b64"] is None

    first, second = secrets["unseal_keys_b64"][0], secrets["unseal_keys_hex"][2]
    halfway = run(["operator", "unseal", first], server)
    assert (halfway.status, rows(halfway.out)["Unseal Progress"]) == (0, "1/2")
    again = run(["operator", "unseal", "-reset"], server)
    assert (again.status, rows(again.out)["Unseal Progress"]) == (0, "0/2")
    assert run(["operator", "unseal", "zz"], server).status == 2
    assert run(["operator", "unseal", first], server).status == 0
    opened = run(["operator", "unseal", "-format=json", second], server)
    assert json.loads(opened.out)["sealed"] is False
    assert run(["status"], server).status == 0

    known = {**server, "BAO_TOKEN": secrets["root_token"]}
    assert run(["operator", "seal"], known) == Outcome(0, "Success! Vault is sealed.\n", "")
    refused = run(["secrets", "list"], known)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.endswith("Code: 503. Errors:\n\n* Vault is sealed\n")


def test_init_as_text(run: Run, server: Mapping[str, str]) -> None:
    began = run(["operator", "init", "-key-shares=2", "-key-threshold=2"], server)
    lines = began.out.splitlines()
    assert [line.partition(": ")[0] for line in lines[:4]] == ["Unseal Key 1", "Unseal Key 2", "", "Initial Root Token"]
    assert lines[4] == ""
    assert " ".join(lines[5:]).count("2") >= 2, "the advice names both numbers"
    assert run(["operator", "init", "-status", "-format=json"], server).out == '{\n  "Initialized": true\n}\n'


def test_share_from_stdin(server: Mapping[str, str]) -> None:
    began = json.loads(run_ours(["operator", "init", "-n=1", "-t=1", "-format=json"], server).out)
    share = began["unseal_keys_b64"][0]
    opened = run_ours(["operator", "unseal", "-"], server, stdin=f"{share}\n".encode())
    assert (opened.status, rows(opened.out)["Sealed"]) == (0, "false")


def test_unsealing_without_a_terminal_names_the_remedy(server: Mapping[str, str]) -> None:
    asked = run_ours(["operator", "unseal"], server)
    assert (asked.status, asked.out) == (1, "")
    assert "`chancery operator unseal -`" in asked.err
