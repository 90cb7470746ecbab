"""hvac and both command lines against a real server: wrapping, cubbyholes, leases, limits; and what a kill leaves."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hvac
import pytest
from hvac.exceptions import Forbidden, InvalidRequest, RateLimitExceeded

from tests.support.cli_programs import run_bao, run_ours
from tests.support.server_process import DevServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(tmp_path_factory.mktemp("leases")) as started:
        with started.client() as client:
            prepare(client)
        yield started


def prepare(client: Any) -> None:
    client.write("sys/mounts/pki", type="pki")
    client.write("pki/root/generate/internal", common_name="r", key_type="ec")
    client.write("pki/roles/web", allow_any_name=True, generate_lease=True, key_type="ec", ttl="1h")


@pytest.fixture
def client(server: DevServer) -> hvac.Client:
    return hvac.Client(url=server.address, token=server.token)


@pytest.fixture
def variables(server: DevServer) -> Mapping[str, str]:
    return {"BAO_ADDR": server.address, "BAO_TOKEN": server.token}


def test_hvac_wraps_and_unwraps(client: hvac.Client) -> None:
    info = client.write_data("sys/wrapping/wrap", data={"a": "b"}, wrap_ttl="60s")["wrap_info"]
    assert client.sys.unwrap(info["token"])["data"] == {"a": "b"}
    with pytest.raises(InvalidRequest, match="wrapping token is not valid or does not exist"):
        client.sys.unwrap(info["token"])
    info = client.sys.wrap({"x": 1}, ttl=60)["wrap_info"]
    assert client.sys.unwrap(info["token"])["data"] == {"x": 1}
    info = client.auth.token.create(policies=["default"], wrap_ttl="1m")["wrap_info"]
    stranger = hvac.Client(url=client.url, token=info["token"])
    created = stranger.sys.unwrap()
    assert created["auth"]["accessor"] == info["wrapped_accessor"]
    with pytest.raises(Forbidden):
        stranger.lookup_token()


def test_hvac_keeps_things_in_its_cubbyhole(client: hvac.Client) -> None:
    client.write("cubbyhole/note", text="mine")
    assert client.read("cubbyhole/note")["data"] == {"text": "mine"}
    assert client.list("cubbyhole")["data"]["keys"] == ["note"]
    client.delete("cubbyhole/note")
    assert client.read("cubbyhole/note") is None


def test_hvac_looks_up_and_revokes_leases(client: hvac.Client) -> None:
    client.sys.revoke_prefix("pki/issue")
    leases = [client.write("pki/issue/web", common_name=f"{n}.test")["lease_id"] for n in range(3)]
    assert client.sys.read_lease(leases[0])["data"]["id"] == leases[0]
    assert len(client.sys.list_leases("pki/issue/web")["data"]["keys"]) == 3
    with pytest.raises(InvalidRequest, match="lease is not renewable"):
        client.sys.renew_lease(leases[0])
    client.sys.revoke_lease(leases[0])
    assert len(client.sys.list_leases("pki/issue/web")["data"]["keys"]) == 2
    client.sys.revoke_prefix("pki/issue")
    client.sys.revoke_force("pki")
    with pytest.raises(InvalidRequest, match="invalid lease"):
        client.sys.read_lease(leases[1])


def test_hvac_sets_limits(client: hvac.Client) -> None:
    client.sys.create_or_update_quota("few", rate=1, path="pki/crl", interval="1h")
    assert client.sys.read_quota("few")["data"]["rate"] == 1
    assert client.sys.list_quotas()["data"]["keys"] == ["few"]
    client.adapter.get("/v1/pki/crl")
    with pytest.raises(RateLimitExceeded):
        client.adapter.get("/v1/pki/crl")
    client.sys.delete_quota("few")


@pytest.mark.parametrize("run", [run_ours, run_bao], ids=["ours", "bao"])
def test_the_command_lines_wrap_and_unwrap(run: Any, variables: Mapping[str, str]) -> None:
    token = run(["write", "-wrap-ttl=60s", "-field=wrapping_token", "sys/wrapping/wrap", "a=b"], variables).out.strip()
    assert run(["unwrap", "-field=a", token], variables).out.strip() == "b"
    again = run(["unwrap", token], variables)
    assert again.status == 2
    assert again.err.endswith("* wrapping token is not valid or does not exist\n")
    token = run(["token", "create", "-wrap-ttl=60s", "-field=wrapping_token"], variables).out.strip()
    alone = {"BAO_ADDR": variables["BAO_ADDR"], "BAO_TOKEN": token}
    created = json.loads(run(["unwrap", "-format=json"], alone).out)
    assert created["auth"]["client_token"].startswith("hvs.")
    wrapped = json.loads(run(["list", "-wrap-ttl=60s", "-format=json", "pki/roles"], variables).out)
    assert wrapped["wrap_info"]["creation_path"] == "pki/roles/"
    token = wrapped["wrap_info"]["token"]
    assert json.loads(run(["unwrap", "-format=json", token], variables).out) == ["web"]


@pytest.mark.parametrize(
    "command",
    [
        "lookup LEASE",
        "lookup -format=json LEASE",
        "lookup -format=yaml LEASE",
        "lookup none",
        "lookup",
        "renew LEASE",
        "renew -increment=5m none",
        "renew",
        "revoke -sync none",
        "revoke none",
        "revoke -sync -prefix none",
        "revoke -prefix none",
        "revoke -sync -prefix auth/token",
        "revoke -force none",
        "revoke",
        "revoke a b",
    ],
)
def test_both_command_lines_say_the_same_of_leases(
    command: str, client: hvac.Client, variables: Mapping[str, str]
) -> None:
    lease_id = client.write("pki/issue/web", common_name="a.test")["lease_id"]
    arguments = ["lease", *command.replace("LEASE", lease_id).split()]
    ours, bao = run_ours(arguments, variables).normalized(), run_bao(arguments, variables).normalized()
    assert ours == bao


@pytest.mark.parametrize("run", [run_ours, run_bao], ids=["ours", "bao"])
def test_the_command_lines_revoke(run: Any, client: hvac.Client, variables: Mapping[str, str]) -> None:
    lease_id = client.write("pki/issue/web", common_name="a.test")["lease_id"]
    assert run(["lease", "revoke", "-sync", lease_id], variables).out == f"Success! Revoked lease: {lease_id}\n"
    assert run(["lease", "lookup", lease_id], variables).status == 2
    client.write("pki/issue/web", common_name="a.test")
    assert run(["lease", "revoke", "-force", "-prefix", "pki/"], variables).status == 0
    assert client.list("sys/leases/lookup/pki") is None


def test_what_was_promised_before_a_kill_is_done_after_it(tmp_path: Path) -> None:
    """Noted, then killed at once: the next process takes the certificates back."""
    with DevServer(tmp_path) as server:
        with server.client() as client:
            prepare(client)
            token = client.write("auth/token/create", policies=["root"], ttl="1h").body["auth"]["client_token"]
            serials = []
            for used in (token, server.token):
                client.token = used
                issued = client.write("pki/issue/web", common_name="a.test")
                serials.append((issued.body["lease_id"], issued.data["serial_number"]))
            client.write("auth/token/revoke", token=token)
            client.write("sys/leases/revoke", lease_id=serials[1][0], sync=False)
        server.kill()
        server.start()
        with server.client() as client:
            server.running().wait_until(
                lambda: client.request("LIST", "sys/leases/lookup").status == 404, what="through with its leases"
            )
            for _, serial in serials:
                assert client.read(f"pki/cert/{serial}").data["revocation_time"] > 0
