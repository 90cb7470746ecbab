"""The unmodified `bao` command line drives a real server through what an operator's scripts do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_programs import run_bao
from tests.support.server_process import DevServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Operator:
    """Somebody at a shell with `bao`, an address and a token."""

    def __init__(self, server: DevServer, token: str, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self._variables = {"BAO_ADDR": server.address} | ({"BAO_TOKEN": token} if token else {})

    def run(self, line: str, *more: str, stdin: str = "", **variables: str) -> str:
        """Run a command that has to succeed; return what it printed."""
        outcome = run_bao(
            [*line.split(), *more], self._variables | variables, stdin=stdin.encode(), directory=self.directory
        )
        assert outcome.status == 0, (line, outcome.out, outcome.err)
        return outcome.out

    def json(self, line: str, *more: str) -> Any:
        """Run a command that has to succeed; return what it printed, decoded."""
        return json.loads(self.run(line, *more, BAO_FORMAT="json"))

    def refused(self, line: str) -> str:
        """Run a command that has to fail; return what it said."""
        outcome = run_bao(line.split(), self._variables, directory=self.directory)
        assert outcome.status == 2, (line, outcome.out)
        return outcome.err

    def with_token(self, token: str) -> "Operator":
        """Return the same with another token."""
        return Operator(self.server, token, self.directory)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with DevServer(tmp_path_factory.mktemp("server")) as running:
        yield Operator(running, running.token, tmp_path_factory.mktemp("shell"))


def test_status_and_seal_operations(operator: Operator) -> None:
    assert operator.json("status")["sealed"] is False
    assert operator.json("operator key-status")["term"] >= 1
    operator.run("operator rotate")
    started = operator.json("operator generate-root -init")
    assert started["started"] is True
    operator.run("operator generate-root -cancel")
    operator.run("operator rekey -init -key-shares=1 -key-threshold=1")
    operator.run("operator rekey -cancel")


def test_policies_and_tokens(operator: Operator) -> None:
    operator.run("policy write reader -", stdin='path "sys/mounts" { capabilities = ["read"] }')
    assert "reader" in operator.json("policy list")
    token = operator.json("token create -policy=reader -ttl=1h")["auth"]["client_token"]
    reader = operator.with_token(token)
    assert "cubbyhole/" in reader.json("secrets list")
    assert "permission denied" in reader.refused("policy list")
    assert operator.run("token capabilities", token, "sys/mounts").strip() == "read"
    assert reader.json("token renew -increment=30m")["auth"]["lease_duration"] == 1800
    operator.run("token revoke", token)
    assert "permission denied" in reader.refused("token lookup")
    operator.run("policy delete reader")


def test_pki_with_a_key_in_the_hsm(operator: Operator) -> None:
    pin = next(line.split()[-1] for line in operator.server.log.read_text().splitlines() if "PIN" in line)
    operator.run(
        "write sys/managed-keys/pkcs11/bao library=softhsm key_label=bao mechanism=0x1041 curve=P256 "
        f"token_label={operator.server.TOKEN_LABEL} pin={pin} allow_generate_key=true"
    )
    assert operator.run("read -field=pin sys/managed-keys/pkcs11/bao") == "redacted"
    operator.run("write -f sys/managed-keys/pkcs11/bao/test/sign")
    operator.run("secrets enable -max-lease-ttl=87600h pki")
    assert "allowed_managed_keys" in operator.refused("write pki/root/generate/kms managed_key_name=bao common_name=r")
    operator.run("write sys/mounts/pki/tune allowed_managed_keys=bao")
    operator.run("write pki/root/generate/kms managed_key_name=bao common_name=root ttl=8760h")
    operator.run(
        "write pki/roles/web allowed_domains=example.com allow_subdomains=true key_type=ec generate_lease=true"
    )
    issued = operator.json("write pki/issue/web common_name=www.example.com")
    assert "BEGIN CERTIFICATE" in issued["data"]["certificate"]
    assert operator.json("lease lookup", issued["lease_id"])["data"]["id"] == issued["lease_id"]
    operator.run("lease revoke -sync", issued["lease_id"])
    revoked = operator.json(f"read pki/cert/{issued['data']['serial_number']}")
    assert revoked["data"]["revocation_time"] > 0
    operator.run("lease revoke -prefix pki/")


def test_userpass(operator: Operator) -> None:
    operator.run("auth enable userpass")
    operator.run("write auth/userpass/users/ada policies=default password=-", stdin="correct horse")
    login = operator.with_token("")
    token = login.run("login -no-store -token-only -method=userpass username=ada password=-", stdin="correct horse")
    person = operator.with_token(token.strip())
    assert person.json("token lookup")["data"]["display_name"] == "userpass-ada"
    assert "invalid username or password" in login.refused("login -no-store -method=userpass username=ada password=x")
    operator.run("auth disable userpass")
    assert "permission denied" in person.refused("token lookup")


def test_approle_with_a_wrapped_secret_id(operator: Operator) -> None:
    operator.run("auth enable approle")
    operator.run("write auth/approle/role/ci token_policies=default token_ttl=10m")
    role_id = operator.run("read -field=role_id auth/approle/role/ci/role-id")
    wrapped = operator.json("write -f -wrap-ttl=60s auth/approle/role/ci/secret-id")["wrap_info"]["token"]
    secret_id = operator.run("unwrap -field=secret_id", wrapped)
    assert "not valid" in operator.refused(f"unwrap {wrapped}")
    login = operator.with_token("").json(f"write auth/approle/login role_id={role_id} secret_id={secret_id}")
    assert login["auth"]["lease_duration"] == 600


def test_audit(operator: Operator) -> None:
    path = operator.server.data / "audit-bao.log"
    operator.run(f"audit enable -path=bao file file_path={path}")
    assert operator.json("audit list")["bao/"]["type"] == "file"
    operator.run("audit disable bao")
    assert operator.server.token not in path.read_text()
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_namespaces(operator: Operator) -> None:
    operator.run("namespace create team")
    assert operator.json("namespace list") == ["team/"]
    operator.run("secrets enable -namespace=team -path=ours pki")
    assert "ours/" in operator.json("secrets list -namespace=team")
    assert "ours/" not in operator.json("secrets list")
    token = operator.json("token create -namespace=team -policy=default")["auth"]["client_token"]
    assert "permission denied" in operator.with_token(token).refused("token lookup")
    assert "Success" in operator.run("namespace delete team")
    assert "No namespaces found" in operator.refused("namespace list")


def test_errors_and_exit_codes(operator: Operator) -> None:
    assert "no handler for route" in operator.refused("write nowhere/at/all a=b")
    assert "No value found" in operator.refused("read pki-that-is-not/roles/x")
    assert "plugin not found" in operator.refused("secrets enable no-such-engine")
    assert "permission denied" in operator.with_token("hvs.nobody").refused("policy list")
