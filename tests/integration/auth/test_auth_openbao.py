"""OpenBao as the judge: the same steps on both servers, the same statuses and fields, or a reason why not."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.server_client import ApiClient
from tests.support.server_openbao import OpenBaoServer
from tests.support.server_process import DevServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Step = tuple[str, str, dict[str, Any] | None]

ROLE = "auth/approle/role/r"
STEPS: list[Step] = [
    ("POST", "sys/auth/userpass", {"type": "userpass"}),
    ("POST", "sys/auth/approle", {"type": "approle", "description": "x", "config": {"token_type": "service"}}),
    ("POST", "sys/auth/approle", {"type": "approle"}),
    ("POST", "sys/auth/x", {"type": "nope"}),
    ("GET", "sys/auth", None),
    ("GET", "sys/auth/approle", None),
    ("GET", "sys/auth/none", None),
    ("DELETE", "sys/auth/none", None),
    ("DELETE", "sys/auth/token", None),
    ("POST", "sys/auth/userpass/tune", {"user_lockout_config": {"lockout_threshold": "3"}, "max_lease_ttl": "9h"}),
    ("GET", "sys/auth/userpass/tune", None),
    ("GET", "sys/mounts/auth/userpass/tune", None),
    ("POST", "auth/userpass/users/bob", {}),
    ("POST", "auth/userpass/users/bob", {"password": "pw", "token_policies": "a,b", "ttl": "1h"}),
    ("GET", "auth/userpass/users/bob", None),
    ("LIST", "auth/userpass/users", None),
    ("POST", "auth/userpass/login/BOB", {"password": "pw"}),
    ("POST", "auth/userpass/login/bob", {"password": "no"}),
    ("POST", "auth/userpass/login/nobody", {"password": "no"}),
    ("POST", "auth/userpass/users/bob", {"token_type": "foo"}),
    ("POST", "auth/userpass/users/bob", {"token_ttl": "4h", "token_max_ttl": "1h"}),
    ("POST", "auth/userpass/users/bob/policies", {"policies": "root"}),
    ("POST", "auth/userpass/login/bob", {"password": "pw"}),
    ("POST", "auth/userpass/login/bob", {"password": "no"}),
    ("POST", "auth/userpass/login/bob", {"password": "no"}),
    ("POST", "auth/userpass/login/bob", {"password": "no"}),
    ("GET", "sys/locked-users", None),
    ("DELETE", "auth/userpass/users/bob", None),
    ("GET", "auth/userpass/users/bob", None),
    ("LIST", "auth/approle/role", None),
    ("POST", ROLE, {"role_id": "rid", "policies": "p", "secret_id_num_uses": 3, "secret_id_ttl": "10m"}),
    ("GET", ROLE, None),
    ("GET", f"{ROLE}/role-id", None),
    ("LIST", "auth/approle/role", None),
    ("GET", f"{ROLE}/secret-id-ttl", None),
    ("GET", f"{ROLE}/policies", None),
    ("POST", f"{ROLE}/token-ttl", {"token_ttl": "5m"}),
    ("POST", f"{ROLE}/token-ttl", {}),
    ("DELETE", f"{ROLE}/token-ttl", None),
    ("LIST", f"{ROLE}/secret-id", None),
    ("POST", f"{ROLE}/secret-id", {"metadata": '{"k": "v"}'}),
    ("POST", f"{ROLE}/secret-id", {"num_uses": 5}),
    ("POST", f"{ROLE}/secret-id", {"ttl": "20m"}),
    ("POST", f"{ROLE}/custom-secret-id", {"secret_id": "mine"}),
    ("POST", f"{ROLE}/secret-id/lookup", {"secret_id": "mine"}),
    ("POST", f"{ROLE}/secret-id/lookup", {"secret_id": "none"}),
    ("POST", f"{ROLE}/secret-id/lookup", {}),
    ("POST", "auth/approle/login", {"role_id": "rid", "secret_id": "mine"}),
    ("POST", "auth/approle/login", {"role_id": "rid", "secret_id": "bad"}),
    ("POST", "auth/approle/login", {"role_id": "bad", "secret_id": "bad"}),
    ("POST", "auth/approle/login", {"role_id": "rid"}),
    ("POST", f"{ROLE}/secret-id/destroy", {"secret_id": "mine"}),
    ("POST", "auth/approle/tidy/secret-id", None),
    ("POST", "identity/entity", {"name": "zed", "policies": ["p1"], "metadata": {"a": "b"}}),
    ("POST", "identity/entity", {"name": "zed", "metadata": {"a": "c"}}),
    ("GET", "identity/entity/name/zed", None),
    ("GET", "identity/entity/name/none", None),
    ("GET", "identity/entity/id/none", None),
    ("POST", "identity/entity/id/none", {"name": "x"}),
    ("POST", "identity/entity", {"name": "y", "policies": ["root"]}),
    ("POST", "identity/lookup/entity", {"name": "zed"}),
    ("POST", "identity/lookup/entity", {"name": "none"}),
    ("POST", "identity/lookup/entity", {}),
    ("POST", "identity/entity-alias", {"name": "a", "mount_accessor": "none"}),
    ("LIST", "identity/entity-alias/id", None),
    ("LIST", "identity/entity/name", None),
    ("DELETE", "identity/entity/name/zed", None),
    ("DELETE", "sys/auth/approle", None),
    ("GET", "auth/approle/role/r", None),
]

STATUS_DIFFERS = {
    ("auth/userpass/login/bob", 400, 403): "their lock begins with the failure after next, by when they had counted it",
}
"""(path, theirs, ours) of statuses that differ, with the reason."""

THEIRS_ONLY = {"token_strictly_bind_ip", "deprecation_status"}
"""Fields that OpenBao 2.7 has and Vault has not, or that say nothing here."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiClient, ApiClient]]:
    with (
        DevServer(tmp_path_factory.mktemp("ours")) as ours,
        OpenBaoServer(tmp_path_factory.mktemp("peer")) as peer,
        ours.client() as our_client,
        peer.client() as peer_client,
    ):
        yield our_client, peer_client


def _fields(value: Any) -> Any:
    """Return names and types, without values: lists by their first item."""
    if isinstance(value, dict):
        return {name: _fields(item) for name, item in value.items() if name not in THEIRS_ONLY}
    if isinstance(value, list):
        return [_fields(item) for item in value[:1]]
    return type(value).__name__


def _of_interest(path: str, data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is named by chance, or stands in one server only."""
    if path == "sys/auth":
        return {name: data[name] for name in ("token/", "userpass/", "approle/")}
    if "key_info" in data:
        return {
            "keys": data["keys"][:1],
            "key_info": min(data["key_info"].values(), key=lambda info: str(info["name"])),
        }
    return data


def test_both_servers_answer_alike(servers: tuple[ApiClient, ApiClient]) -> None:
    differences: list[str] = []
    for method, path, body in STEPS:
        ours, peer = (client.request(method, path, body) for client in servers)
        where = f"{method} {path} {body}"
        if ours.status != peer.status and (path, peer.status, ours.status) not in STATUS_DIFFERS:
            differences.append(f"{where}: {peer.status} {peer.errors}, ours {ours.status} {ours.errors}")
        elif ours.status < 400:
            for part in ("data", "auth"):
                expected, found = (answer.body.get(part) for answer in (peer, ours))
                if isinstance(expected, dict) and isinstance(found, dict):
                    expected, found = (_fields(_of_interest(path, item)) for item in (expected, found))
                if expected != found and not (expected is None and part == "auth"):
                    differences.append(f"{where}: {part} {expected}, ours {found}")
    assert not differences, "\n".join(differences)
