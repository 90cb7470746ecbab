"""Clients that people have, unmodified, against the real server: `bao` and hvac log in and administer auth methods."""

import json
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from tests.support.cli_programs import Outcome, run_bao
from tests.support.server_process import DevServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(tmp_path_factory.mktemp("auth")) as running:
        yield running


class Terminal:
    """`bao` with an empty home directory."""

    def __init__(self, server: DevServer, home: Path) -> None:
        self._variables = {"BAO_ADDR": server.address, "HOME": str(home)}
        self._root = server.token

    def root(self, *arguments: str) -> Outcome:
        """Run a command as root; it must succeed."""
        outcome = run_bao(arguments, self._variables | {"BAO_TOKEN": self._root})
        assert outcome.status == 0, outcome.err
        return outcome

    def user(self, *arguments: str) -> Outcome:
        """Run a command with whatever token was stored by logging in."""
        return run_bao(arguments, self._variables)


@pytest.fixture
def bao(server: DevServer, tmp_path: Path) -> Terminal:
    return Terminal(server, tmp_path)


def test_bao_userpass(bao: Terminal) -> None:
    bao.root("auth", "enable", "-path=people", "-description=ours", "userpass")
    bao.root("auth", "tune", "-default-lease-ttl=1h", "-max-lease-ttl=2h", "-listing-visibility=unauth", "people/")
    listed = json.loads(bao.root("auth", "list", "-format=json").out)
    assert listed["people/"]["config"]["max_lease_ttl"] == 7200
    assert "people/" in bao.root("auth", "list", "-detailed").out
    bao.root("write", "auth/people/users/alice", "password=wonder", "token_policies=default")
    assert "alice" in bao.root("list", "auth/people/users").out
    assert bao.user("login", "-method=userpass", "-path=people", "username=alice", "password=no").status == 2
    login = bao.user("login", "-method=userpass", "-path=people", "username=alice", "password=wonder")
    assert login.status == 0, login.err
    looked = json.loads(bao.user("token", "lookup", "-format=json").out)["data"]
    assert (looked["display_name"], looked["meta"]) == ("people-alice", {"username": "alice"})
    assert bao.user("token", "renew").status == 0
    entity = json.loads(bao.root("read", "-format=json", f"identity/entity/id/{looked['entity_id']}").out)["data"]
    assert [alias["name"] for alias in entity["aliases"]] == ["alice"]
    bao.root("auth", "disable", "people")
    assert bao.user("token", "lookup").status == 2


def test_bao_approle_by_a_wrapped_secret_id(bao: Terminal) -> None:
    bao.root("auth", "enable", "approle")
    bao.root("write", "auth/approle/role/ci", "token_policies=default", "token_ttl=20m", "secret_id_num_uses=1")
    role_id = bao.root("read", "-field=role_id", "auth/approle/role/ci/role-id").out
    wrapped = bao.root("write", "-f", "-wrap-ttl=60s", "-field=wrapping_token", "auth/approle/role/ci/secret-id").out
    secret_id = bao.user("unwrap", "-field=secret_id", wrapped).out
    again = bao.user("unwrap", wrapped)
    assert again.status == 2
    login = ("write", "-format=json", "auth/approle/login", f"role_id={role_id}", f"secret_id={secret_id}")
    answer = bao.user(*login)
    assert answer.status == 0, answer.err
    auth = json.loads(answer.out)["auth"]
    assert (auth["lease_duration"], auth["policies"], auth["metadata"]) == (1200, ["default"], {"role_name": "ci"})
    assert bao.user(*login).status == 2


def test_hvac_userpass_approle_and_identity(server: DevServer) -> None:
    root = hvac.Client(url=server.address, token=server.token)
    for method in ("userpass", "approle"):
        root.sys.enable_auth_method(method, path=f"hvac-{method}")
    assert "hvac-userpass/" in root.sys.list_auth_methods()["data"]
    userpass, approle = root.auth.userpass, root.auth.approle
    userpass.create_or_update_user("dora", password="x", policies="default", mount_point="hvac-userpass")
    dora = hvac.Client(url=server.address)
    auth = dora.auth.userpass.login("dora", "x", mount_point="hvac-userpass")["auth"]
    assert dora.is_authenticated()
    assert root.secrets.identity.read_entity(auth["entity_id"])["data"]["aliases"][0]["name"] == "dora"
    root.secrets.identity.create_or_update_entity_by_name("named", metadata={"k": "v"})
    assert root.secrets.identity.read_entity_by_name("named")["data"]["metadata"] == {"k": "v"}
    approle.create_or_update_approle("job", token_policies=["default"], mount_point="hvac-approle")
    role_id = approle.read_role_id("job", mount_point="hvac-approle")["data"]["role_id"]
    made = approle.generate_secret_id("job", metadata={"a": "b"}, mount_point="hvac-approle")["data"]
    job = hvac.Client(url=server.address)
    answer = job.auth.approle.login(role_id, made["secret_id"], mount_point="hvac-approle")
    assert answer["auth"]["metadata"] == {"a": "b", "role_name": "job"}
    assert approle.list_secret_id_accessors("job", mount_point="hvac-approle")["data"]["keys"]
    accessor = made["secret_id_accessor"]
    assert approle.read_secret_id_accessor("job", accessor, mount_point="hvac-approle")["data"]["metadata"] == {
        "a": "b"
    }
    approle.destroy_secret_id_accessor("job", accessor, mount_point="hvac-approle")
    root.sys.tune_auth_method("hvac-approle", max_lease_ttl="1h")
    root.sys.disable_auth_method("hvac-approle")
    assert not job.is_authenticated()


def test_logins_outlive_a_restart(tmp_path: Path) -> None:
    with DevServer(tmp_path) as server:
        root = hvac.Client(url=server.address, token=server.token)
        root.sys.enable_auth_method("userpass")
        root.auth.userpass.create_or_update_user("eve", password="x", policies="default")
        eve = hvac.Client(url=server.address)
        eve.auth.userpass.login("eve", "x")
        server.kill()
        server.start()
        assert eve.is_authenticated()
        assert eve.auth.token.renew_self()["auth"]["lease_duration"] > 0
        eve.auth.userpass.login("eve", "x")
