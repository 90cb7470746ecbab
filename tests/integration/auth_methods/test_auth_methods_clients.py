"""cert, jwt and kubernetes as clients use them: hvac, `bao` and our command line against a real server with TLS."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import pytest

from tests.support import auth_tokens as mint
from tests.support.auth_kubernetes_api import Cluster
from tests.support.auth_peer import Peer, peer
from tests.support.auth_pki import Authority, authority, server_context
from tests.support.cli_programs import Outcome, run_bao, run_ours
from tests.support.server_child import free_port
from tests.support.server_process import ConfiguredServer

pytestmark = pytest.mark.slow

CA = authority("Everything")


class TlsServer(ConfiguredServer):
    """A server with a plain listener for the test and one with TLS for its clients."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        certificate, key = CA.issue_server("127.0.0.1").write(directory, "server")
        (directory / "ca.pem").write_text(CA.pem)
        tls = f"127.0.0.1:{free_port()}"
        self.url = f"https://{tls}"
        self.settings["listeners"].append(
            {
                "address": tls,
                "tls_cert_file": str(certificate),
                "tls_key_file": str(key),
                "tls_client_ca_file": str(directory / "ca.pem"),
            }
        )
        self.settings["outgoing"] = {"allow": ["127.0.0.1"]}


@dataclass
class Clients:
    """A client's certificate on the disk, and the ways to use it."""

    server: TlsServer
    certificate: Path
    key: Path

    @property
    def ca(self) -> str:
        """Return the path of the CA."""
        return str(self.server.directory / "ca.pem")

    def enable(self, kind: str, path: str) -> None:
        """Mount an auth method."""
        with self.server.client() as client:
            client.write(f"sys/auth/{path}", type=kind)

    def hvac(self) -> Any:
        """Return an hvac client with the root token, over TLS with the certificate."""
        pair = (str(self.certificate), str(self.key))
        return hvac.Client(url=self.server.url, token=self.server.token, verify=self.ca, cert=pair)

    def variables(self, home: Path) -> dict[str, str]:
        """Return the environment of a command line without a token."""
        return {
            "BAO_ADDR": self.server.url,
            "BAO_CACERT": self.ca,
            "BAO_CLIENT_CERT": str(self.certificate),
            "BAO_CLIENT_KEY": str(self.key),
            "HOME": str(home),
        }


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    directory = tmp_path_factory.mktemp("server")
    with TlsServer(directory) as server:
        yield Clients(server, *CA.issue("web").write(directory, "client"))


PROGRAMS: Mapping[str, Callable[..., Outcome]] = {"bao": run_bao, "ours": run_ours}


def test_hvac_logs_in_with_a_certificate(clients: Clients) -> None:
    client = clients.hvac()
    client.sys.enable_auth_method("cert")
    client.auth.cert.create_ca_certificate_role(name="web", certificate_file=clients.ca, token_policies="web")
    assert client.auth.cert.list_certificate_roles()["data"]["keys"] == ["web"]
    assert client.auth.cert.read_ca_certificate_role("web")["data"]["certificate"].strip() == CA.pem.strip()
    client.auth.cert.configure_tls_certificate(disable_binding=False)
    client.token = None
    answer = client.auth.cert.login(name="web", cert_pem=str(clients.certificate), key_pem=str(clients.key))
    assert answer["auth"]["policies"] == ["default", "web"]
    client.token = answer["auth"]["client_token"]
    assert client.auth.token.renew_self()["auth"]["client_token"] == client.token
    stranger = hvac.Client(url=clients.server.url, token=client.token, verify=clients.ca)
    with pytest.raises(hvac.exceptions.InvalidRequest, match="certificate that it was given for"):
        stranger.auth.token.renew_self()


@pytest.mark.parametrize("program", PROGRAMS)
def test_command_lines_log_in_with_a_certificate(clients: Clients, program: str, tmp_path: Path) -> None:
    run = PROGRAMS[program]
    root = clients.variables(tmp_path) | {"BAO_TOKEN": clients.server.token}
    clients.enable("cert", f"cert-{program}")
    written = run(["write", f"auth/cert-{program}/certs/web", f"certificate=@{clients.ca}", "token_policies=web"], root)
    assert written.status == 0, written.err
    home = clients.variables(tmp_path)
    logged_in = run(["login", "-method=cert", f"-path=cert-{program}", "-format=json", "name=web"], home)
    assert logged_in.status == 0, logged_in.err
    assert json.loads(logged_in.out)["auth"]["policies"] == ["default", "web"]
    without = {name: value for name, value in home.items() if "CLIENT" not in name}
    refused = run(["login", "-method=cert", f"-path=cert-{program}", "name=web"], without)
    assert refused.status == 2
    assert "invalid certificate or no client certificate supplied" in refused.err


def _claims() -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "me", "sub": "jane", "aud": "app", "iat": now, "exp": now + 600}


def test_hvac_logs_in_with_a_token(clients: Clients) -> None:
    client = clients.hvac()
    client.sys.enable_auth_method("jwt")
    client.auth.jwt.configure(jwt_validation_pubkeys=mint.public_pem(mint.RSA), bound_issuer="me")
    client.auth.jwt.create_role(
        name="app",
        role_type="jwt",
        user_claim="sub",
        bound_audiences=["app"],
        allowed_redirect_uris=[],
        token_policies=["app"],
    )
    assert client.auth.jwt.list_roles()["data"]["keys"] == ["app"]
    assert client.auth.jwt.read_role("app")["data"]["user_claim"] == "sub"
    assert client.auth.jwt.read_config()["data"]["bound_issuer"] == "me"
    client.token = None
    answer = client.auth.jwt.jwt_login(role="app", jwt=mint.token(_claims()))
    assert answer["auth"]["policies"] == ["app", "default"]
    with pytest.raises(hvac.exceptions.InvalidRequest, match="not accepted"):
        client.auth.jwt.jwt_login(role="app", jwt=mint.token(_claims(), mint.STRANGER))


@pytest.mark.parametrize("program", PROGRAMS)
def test_command_lines_log_in_with_a_token(clients: Clients, program: str, tmp_path: Path) -> None:
    run, mount = PROGRAMS[program], f"jwt-{program}"
    root = clients.variables(tmp_path) | {"BAO_TOKEN": clients.server.token}
    (tmp_path / "key.pem").write_text(mint.public_pem(mint.RSA))
    clients.enable("jwt", mount)
    for line in (
        ["write", f"auth/{mount}/config", f"jwt_validation_pubkeys=@{tmp_path / 'key.pem'}"],
        [
            *("write", f"auth/{mount}/role/app", "role_type=jwt", "user_claim=sub", "bound_audiences=app"),
            *("token_policies=app", "claim_mappings=sub=who", "bound_claims=-"),
        ],
    ):
        outcome = run(line, root, stdin=b'{"iss": ["me", "you"]}')
        assert outcome.status == 0, outcome.err
    home, token = clients.variables(tmp_path), mint.token(_claims())
    written = run(["write", "-format=json", f"auth/{mount}/login", "role=app", f"jwt={token}"], home)
    assert json.loads(written.out)["auth"]["metadata"] == {"role": "app", "who": "jane"}


def test_our_command_line_logs_in_with_a_token_by_name(clients: Clients, tmp_path: Path) -> None:
    root = clients.variables(tmp_path) | {"BAO_TOKEN": clients.server.token}
    (tmp_path / "key.pem").write_text(mint.public_pem(mint.RSA))
    clients.enable("jwt", "jwt-by-name")
    for line in (
        ["write", "auth/jwt-by-name/config", f"jwt_validation_pubkeys=@{tmp_path / 'key.pem'}"],
        ["write", "auth/jwt-by-name/role/app", "role_type=jwt", "user_claim=sub", "bound_audiences=app"],
    ):
        assert run_ours(line, root).status == 0
    line = ["login", "-method=jwt", "-path=jwt-by-name", "role=app", f"jwt={mint.token(_claims())}"]
    outcome = run_ours(line, clients.variables(tmp_path))
    assert outcome.status == 0, outcome.err


@dataclass
class ClusterThread:
    """A cluster that serves on a thread of its own, for clients that block."""

    cluster: Cluster
    server: Peer


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterThread]:
    made = Cluster(reviewers={"reviewer"})
    ready: Future[Peer] = Future()
    done = threading.Event()

    async def serve() -> None:
        async with peer(made.answer, server_context(_server(CA), tmp_path)) as server:
            ready.set_result(server)
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield ClusterThread(made, ready.result(10))
    finally:
        done.set()
        thread.join()


def _server(signer: Authority) -> Any:
    return signer.issue_server("127.0.0.1")


def test_hvac_and_bao_log_in_as_a_service_account(clients: Clients, cluster: ClusterThread, tmp_path: Path) -> None:
    client = clients.hvac()
    client.sys.enable_auth_method("kubernetes")
    client.auth.kubernetes.configure(
        kubernetes_host=cluster.server.url,
        kubernetes_ca_cert=CA.pem,
        token_reviewer_jwt="reviewer",
    )
    client.auth.kubernetes.create_role(
        name="app",
        bound_service_account_names=["web"],
        bound_service_account_namespaces=["prod"],
        policies=["app"],
    )
    assert client.auth.kubernetes.list_roles()["keys"] == ["app"]
    assert client.auth.kubernetes.read_role("app")["bound_service_account_names"] == ["web"]
    assert client.auth.kubernetes.read_config()["token_reviewer_jwt_set"] is True
    cluster.cluster.create("prod", "web")
    cluster.cluster.create("dev", "web")
    client.token = None
    answer = client.auth.kubernetes.login(role="app", jwt=cluster.cluster.token("prod", "web"))
    assert answer["auth"]["policies"] == ["app", "default"]
    with pytest.raises(hvac.exceptions.Forbidden):
        client.auth.kubernetes.login(role="app", jwt=cluster.cluster.token("dev", "web"))
    written = run_bao(
        [
            *("write", "-format=json", "auth/kubernetes/login", "role=app"),
            f"jwt={cluster.cluster.token('prod', 'web')}",
        ],
        clients.variables(tmp_path),
    )
    assert json.loads(written.out)["auth"]["metadata"]["service_account_name"] == "web"
