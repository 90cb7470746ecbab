"""The same requests to Chancery and to OpenBao, each with a file device: lines agree but for what is listed."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import pytest

from tests.support.cli_openbao import ROOT_TOKEN, dev_server
from tests.support.server_client import ApiClient
from tests.support.server_process import DevServer

pytestmark = pytest.mark.slow

LEFT_OUT = {"client_id", "mount_running_version", "mount_running_plugin_version", "remote_port", "granting_policies"}
"""Members that we do not have. `chain` is ours alone."""

SHOWN = {"common_name", "certificate", "serial_number", "issuer_id", "issuer_name", "issuer_ref", "not_after"}
"""What certificates say of themselves is in clear here, and concealed there."""

TIMES = {"issue_time", "expire_time", "last_renewal"}
"""Go knows that these are times and shows them; here they are texts like any other."""

STEPS: list[tuple[str, str, Any, str]] = [
    ("POST", "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}}, "root"),
    ("POST", "pki/root/generate/internal", {"common_name": "Root", "key_type": "ec", "ttl": "8760h"}, "root"),
    ("POST", "pki/roles/leaf", {"allow_any_name": True, "key_type": "ec", "max_ttl": "1h"}, "root"),
    ("GET", "pki/roles/leaf", None, "root"),
    ("POST", "pki/issue/leaf", {"common_name": "a.example.com", "ttl": 60}, "root"),
    ("LIST", "pki/certs", None, "root"),
    ("GET", "pki/ca/pem", None, ""),
    ("POST", "pki/issue/none", {"common_name": "a.example.com"}, "root"),
    ("POST", "sys/policies/acl/p", {"policy": 'path "x" { capabilities = ["read"] }'}, "root"),
    ("POST", "auth/token/create", {"id": "holder", "policies": ["p"], "ttl": "1h", "meta": {"a": "b"}}, "root"),
    ("GET", "auth/token/lookup-self", None, "holder"),
    ("GET", "pki/roles/leaf", None, "holder"),
    ("GET", "pki/roles/leaf", None, "wrong"),
    ("GET", "pki/roles/leaf", None, ""),
    ("GET", "nowhere/x", None, "root"),
    ("POST", "sys/audit-hash/file", {"input": "text"}, "root"),
    ("DELETE", "pki/roles/leaf", None, "root"),
]


class Sides(NamedTuple):
    """What each server recorded, request and answer in turn, for each step."""

    ours: list[list[dict[str, Any]]]
    peer: list[list[dict[str, Any]]]


def _ask(client: ApiClient, method: str, path: str, body: Any, token: str) -> None:
    """Send a request whose answer, JSON or not, is of no interest."""
    connection = HTTPConnection(urlsplit(client.address).netloc, timeout=30)
    with closing(connection):
        headers = {"X-Vault-Token": client.token if token == "root" else token} if token else {}
        connection.request(method, f"/v1/{path}", None if body is None else orjson.dumps(body), headers)
        connection.getresponse().read()


def _run(client: ApiClient, log: Path) -> list[list[dict[str, Any]]]:
    client.write("sys/audit/file", type="file", options={"file_path": str(log)})
    recorded = []
    for method, path, body, token in STEPS:
        before = len(log.read_bytes().splitlines())
        _ask(client, method, path, body, token)
        recorded.append([orjson.loads(line) for line in log.read_bytes().splitlines()[before:]])
    return recorded


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    ours, peer = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("peer")
    with DevServer(ours) as server, dev_server(peer, settings="unsafe_allow_api_audit_creation = true\n") as address:
        with server.client() as client:
            our_lines = _run(client, server.data / "audit.log")
        with ApiClient(address, ROOT_TOKEN) as client:
            yield Sides(our_lines, _run(client, peer / "audit.log"))


def _shape(value: Any) -> Any:
    """Return a value without what differs from server to server: texts are told apart only by being concealed."""
    if isinstance(value, str):
        return "concealed" if value.startswith("hmac-sha256:") else "clear"
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items() if name not in LEFT_OUT}
    if isinstance(value, list):
        return [_shape(item) for item in value[:1]]
    return type(value).__name__


def _numbered(step: int) -> str:
    return " ".join(STEPS[step][:2])


@pytest.mark.parametrize("step", range(len(STEPS)), ids=_numbered)
def test_a_request_and_its_answer_are_recorded_alike(sides: Sides, step: int) -> None:
    ours, peer = sides.ours[step], sides.peer[step]
    assert [line["type"] for line in ours] == [line["type"] for line in peer] == ["request", "response"]
    for our_line, peer_line in zip(ours, peer, strict=True):
        assert our_line["request"]["operation"] == peer_line["request"]["operation"]
        assert our_line["request"]["path"] == peer_line["request"]["path"]
        assert _shape(our_line["auth"]) == _shape(peer_line["auth"])
        our_request, peer_request = _shape(our_line["request"]), _shape(peer_line["request"])
        # OpenBao leaves the accessor out of some requests to its built-in mounts, and has it in the answers to them.
        peer_request.update({name: our_request[name] for name in ("mount_accessor",) if name in our_request})
        for name in SHOWN & set(our_request.get("data", {})):
            peer_request["data"][name] = "clear"
        assert our_request == peer_request


@pytest.mark.parametrize("step", range(len(STEPS)), ids=_numbered)
def test_answers_conceal_alike(sides: Sides, step: int) -> None:
    ours, peer = sides.ours[step][1], sides.peer[step][1]
    refused = "error" in ours
    assert refused == ("error" in peer or "error" in peer["response"].get("data", {}))
    if refused:
        return
    our_answer, peer_answer = _shape(ours["response"]), _shape(peer["response"])
    our_data, peer_data = our_answer.pop("data", {}), peer_answer.pop("data", {})
    assert our_answer.keys() - {"warnings"} == peer_answer.keys() - {"warnings"}
    peer_answer.get("auth", {}).pop("display_name", None)  # the request has it already
    assert our_answer.get("auth") == peer_answer.get("auth")
    for name in our_data.keys() & peer_data.keys() - TIMES:
        expected = "clear" if name in SHOWN else peer_data[name]
        assert (name, our_data[name]) == (name, expected)
