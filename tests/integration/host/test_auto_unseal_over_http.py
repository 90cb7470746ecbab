"""A real server that unseals itself through a real token, and changes its seal in the hands of `bao`."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_programs import Outcome, run_bao, run_ours
from tests.support.server_child import process_tree
from tests.support.server_process import ConfiguredServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class KeptServer(ConfiguredServer):
    """A server whose root key lies in its SoftHSM token; the PIN comes from a file."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(directory, settings=settings)
        self.pin_file = directory / "pin"
        self.pin_file.write_text(f"{self.hsm.pin}\n")
        self.kept = {
            "type": "pkcs11", "library": "softhsm", "token_label": self.hsm.label, "pin_file": str(self.pin_file),
            "key_label": "seal", "generate_key": True,
        }  # fmt: skip
        self.settings["seal"] = self.kept
        self.shares: list[str] = []

    def make_ready(self) -> None:
        """Initialise the first time; it unseals itself."""
        if not self.shares:
            with self.client() as client:
                answer = client.write("sys/init", recovery_shares=3, recovery_threshold=2)
            assert (answer.body["keys"], answer.body["keys_base64"]) == ([], [])
            self.shares, self.token = answer.body["recovery_keys_base64"], answer.body["root_token"]

    @property
    def tokens(self) -> Path:
        """Return the directory that is the HSM."""
        return self.hsm.directory / "tokens"

    def seal_status(self) -> dict[str, Any]:
        """Return `sys/seal-status`."""
        with self.client() as client:
            return client.read("sys/seal-status").body

    def bao(self, *arguments: str) -> Outcome:
        """Run the unmodified client."""
        return run_bao(arguments, {"BAO_ADDR": self.address, "BAO_TOKEN": self.token})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeptServer]:
    """Run a server that was initialised and unsealed itself."""
    with KeptServer(tmp_path) as running:
        yield running


def test_it_comes_back_by_itself_after_any_end(server: KeptServer) -> None:
    with server.client() as client:
        client.write("sys/policies/acl/p", policy='path "x" { capabilities = ["read"] }')
    for end in (server.stop, server.kill):
        end()
        server.start()
        with server.client() as client:
            assert "p" in client.read("sys/policies/acl?list=true").data["keys"]
    status = server.seal_status()
    assert {name: status[name] for name in ("type", "recovery_seal", "sealed", "t", "n")} == {
        "type": "pkcs11", "recovery_seal": True, "sealed": False, "t": 2, "n": 3,
    }  # fmt: skip


def test_both_command_lines_show_the_same_seal(server: KeptServer) -> None:
    for line in (["status"], ["status", "-format=json"]):
        ours, peer = (run(line, {"BAO_ADDR": server.address}) for run in (run_ours, run_bao))
        assert ours == peer


def test_the_pin_is_nowhere_to_be_seen(server: KeptServer) -> None:
    shown = server.log.read_bytes()
    for pid in process_tree(server.pid):
        for file in ("cmdline", "environ"):
            shown += Path(f"/proc/{pid}/{file}").read_bytes()
    shown += b"".join(file.read_bytes() for file in server.directory.glob("chancery.db*"))
    assert server.hsm.pin.encode() not in shown
    assert "signer" not in shown.decode(errors="replace"), "nobody stays logged in for the seal"


def test_an_hsm_that_is_away_is_waited_for(server: KeptServer) -> None:
    server.stop()
    away = server.tokens.rename(server.tokens.with_name("away"))
    server.tokens.mkdir()
    server.listen()
    server.running().wait_until(lambda: "unseal_error" in server.seal_status(), what="saying why it is sealed")
    status = server.seal_status()
    assert (status["sealed"], "no token with this label" in status["unseal_error"]) == (True, True)
    with server.client() as client:
        assert client.request("GET", "sys/health").status == 503
        assert client.request("GET", "sys/mounts").errors == ["Vault is sealed"]
    server.tokens.rmdir()
    away.rename(server.tokens)
    server.running().wait_until(lambda: not server.seal_status()["sealed"], what="unsealed")


def test_a_wrong_pin_does_not_lock_the_token(server: KeptServer) -> None:
    server.stop()
    server.pin_file.write_text("87654321")
    server.listen()
    server.running().wait_until(lambda: "unseal_error" in server.seal_status(), what="saying why it is sealed")
    assert "not tried again" in server.seal_status()["unseal_error"]
    server.pin_file.write_text(server.hsm.pin)
    server.running().send(signal.SIGHUP)
    server.running().wait_until(lambda: not server.seal_status()["sealed"], what="unsealed")
    assert "final" not in server.hsm.list_slots(), "it was tried once"


def test_an_operators_seal_opens_with_recovery_shares(server: KeptServer) -> None:
    assert server.bao("operator", "seal").status == 0
    assert server.bao("operator", "unseal", server.shares[0]).status == 0
    opened = server.bao("operator", "unseal", server.shares[2])
    assert (opened.status, "Sealed                   false" in opened.out) == (0, True), opened.out


def test_bao_initialises_with_recovery_shares(tmp_path: Path) -> None:
    server = KeptServer(tmp_path)
    try:
        server.listen()
        refused = server.bao("operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json")
        assert "not applicable to seal type pkcs11" in refused.err
        for run in (run_bao, run_ours):
            began = run(
                ["operator", "init", "-recovery-shares=1", "-recovery-threshold=1"], {"BAO_ADDR": server.address}
            )
            if run is run_bao:
                assert began.out.startswith("Recovery Key 1: "), (began.out, began.err)
            else:
                assert "already initialized" in began.err
    finally:
        server.sweep()


@pytest.mark.parametrize("run", [run_bao, run_ours], ids=["bao", "ours"])
def test_the_seal_migrates_there_and_back(tmp_path: Path, run: Any) -> None:
    with ConfiguredServer(tmp_path, settings={"seal": {"type": "shamir"}}) as server:
        known = {"BAO_ADDR": server.address, "BAO_TOKEN": server.token}
        kept: dict[str, Any] = {
            "type": "pkcs11", "library": "softhsm", "token_label": server.hsm.label, "pin": server.hsm.pin,
            "key_label": "seal", "generate_key": True, "mechanism": "CKM_RSA_PKCS_OAEP", "rsa_oaep_hash": "sha1",
        }  # fmt: skip
        share = server._unseal_key
        there: dict[str, Any] = {"seal": kept}
        back: dict[str, Any] = {"seal": {"type": "shamir"}, "previous_seal": kept}
        for settings in (there, back):
            server.stop()
            server.settings |= {"previous_seal": None} | settings
            server.listen()
            pending = run(["status"], known)
            assert (pending.status, "Seal Migration in Progress" in pending.out) == (2, True)
            refused = run(["operator", "unseal", share], known)
            assert (refused.status, "'migrate' set to true" in refused.err) == (2, True)
            done = run(["operator", "unseal", "-migrate", share], known)
            assert done.status == 0, done.err
            with server.client() as client:
                status = client.read("sys/seal-status").body
                assert (status["sealed"], status["type"]) == (False, settings["seal"]["type"])
                assert client.read("auth/token/lookup-self").data["policies"] == ["root"]


def test_workers_share_one_unsealing(tmp_path: Path) -> None:
    with KeptServer(tmp_path, workers=2) as server:
        server.stop()
        server.start()
        with server.client() as client:

            def all_serve() -> bool:
                statuses = set()
                for _ in range(20):
                    statuses.add(client.request("GET", "auth/token/lookup-self").status)
                    client.close()
                return statuses == {200}

            server.running().wait_until(all_serve, what="unsealed in every worker")
            began = client.write("sys/rekey/init", secret_shares=1, secret_threshold=1).body
            for share in server.shares[:2]:
                done = client.write("sys/rekey/update", key=share, nonce=began["nonce"]).body
                client.close()
            assert done["complete"]
            assert client.write("sys/rotate").status == 204
        server.kill()
        os.sync()
        server.start()
        with server.client() as client:
            assert client.read("sys/key-status").data["term"] == 2
