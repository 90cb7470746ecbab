"""The same requests to this server and to a real OpenBao: they agree, or the difference and its reason stand here."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.host_world import ROOT_TOKEN, host_world
from tests.support.server_openbao import OpenBaoServer

pytestmark = pytest.mark.slow

WRAP = {"X-Vault-Wrap-TTL": "60"}


@pytest.fixture(scope="module")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoServer]:
    with OpenBaoServer(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@dataclass
class Side:
    """One of the two servers, with what it answered before."""

    client: aiohttp.ClientSession
    address: str
    root: str
    remembered: dict[str, str] = field(default_factory=dict)

    async def send(self, step: str) -> tuple[int, Any]:
        """Carry out `METHOD path [k=v...] [TOKEN] [wrapped] [>name]`; `$name` stands for what was remembered."""
        words = [self._filled(word) for word in step.split()]
        method, path, *rest = words
        keep = next((word[1:] for word in rest if word.startswith(">")), "")
        token = next((word[1:] for word in rest if word.startswith("@")), self.root)
        headers = {"X-Vault-Token": token} | (WRAP if "wrapped" in rest else {})
        body = dict(word.split("=", 1) for word in rest if "=" in word)
        url = f"{self.address}/v1/{path}"
        async with self.client.request(method, url, json=body or None, headers=headers) as answer:
            document = await answer.json() if await answer.read() else None
            if keep:
                self.remembered[keep] = _secret(document)
            return answer.status, document

    def _filled(self, word: str) -> str:
        for name, value in self.remembered.items():
            word = word.replace(f"${name}", value)
        return word


def _secret(document: Any) -> str:
    for part, name in (("wrap_info", "token"), ("auth", "client_token")):
        if document.get(part):
            return str(document[part][name])
    return str(document["lease_id"])


@pytest.fixture
async def sides(tmp_path: Path, openbao: OpenBaoServer) -> AsyncIterator[tuple[Side, Side]]:
    async with host_world(tmp_path) as ours, aiohttp.ClientSession() as client:
        number = next(_counter)
        pair = Side(ours.client, ours.address, ROOT_TOKEN), Side(client, openbao.address, openbao.token)
        for side in pair:
            side.remembered["pki"] = f"pki{number}"
        yield pair


_counter = itertools.count()

PKI = [
    "POST sys/mounts/$pki type=pki",
    "POST $pki/root/generate/internal common_name=r key_type=ec",
    "POST $pki/roles/web allow_any_name=true generate_lease=true key_type=ec ttl=1h",
]

SEQUENCES: dict[str, list[str]] = {
    "wrap": [
        "POST sys/wrapping/wrap a=b",
        "POST sys/wrapping/wrap a=b wrapped >w",
        "POST sys/wrapping/lookup token=$w @nobody",
        "GET sys/wrapping/lookup @$w",
        "POST auth/token/lookup token=$w",
        "POST sys/wrapping/unwrap token=$w @nobody",
        "POST sys/wrapping/unwrap @$w",
        "POST sys/wrapping/unwrap @$w",
        "POST sys/wrapping/unwrap token=$w",
        "POST sys/wrapping/lookup token=$w",
        "POST sys/wrapping/rewrap token=$w",
    ],
    "rewrap": [
        "LIST sys/policies/acl wrapped >w",
        "POST sys/wrapping/rewrap token=$w >v",
        "POST sys/wrapping/unwrap token=$w",
        "POST sys/wrapping/unwrap token=$v wrapped >u",
        "POST sys/wrapping/lookup token=$u",
        "POST sys/wrapping/unwrap token=$u",
    ],
    "misuse": [
        "POST sys/wrapping/wrap a=b wrapped >w",
        "GET auth/token/lookup-self @$w",
        "POST sys/wrapping/unwrap @$w",
        "POST sys/wrapping/wrap a=b wrapped >v",
        "POST sys/wrapping/rewrap @$v",
        "POST sys/wrapping/unwrap token=$v",
        "POST sys/wrapping/wrap a=b wrapped >u",
        "POST auth/token/revoke-self @$u",
        "POST sys/wrapping/lookup token=nonsense",
        "POST sys/wrapping/unwrap token=nonsense",
        "POST sys/policies/acl/response-wrapping policy={}",
        "DELETE sys/policies/acl/response-wrapping",
        "POST auth/token/create policies=response-wrapping",
    ],
    "unwrapped": [
        "GET sys/health wrapped",
        "GET cubbyhole/none wrapped",
        "PUT sys/policies/acl/p policy=path{} wrapped",
        "DELETE sys/policies/acl/p wrapped",
    ],
    "token": [
        "POST auth/token/create policies=default wrapped >w",
        "POST sys/wrapping/unwrap @$w >t",
        "GET cubbyhole/x @$t",
        "POST cubbyhole/x a=b @$t",
        "GET cubbyhole/x @$t",
        "POST cubbyhole/x/y a=b @$t",
        "LIST cubbyhole @$t",
        "LIST cubbyhole/x @$t",
        "LIST cubbyhole/none @$t",
        "DELETE cubbyhole/x @$t",
        "DELETE cubbyhole/x @$t",
        "GET cubbyhole/x",
        "POST auth/token/create policies=default type=batch >b",
        "GET cubbyhole/x @$b",
        "POST cubbyhole/x a=b @$b",
        "DELETE sys/mounts/cubbyhole",
    ],
    "leases": [
        *PKI,
        "POST $pki/issue/web common_name=a.test >l",
        "PUT sys/leases/lookup lease_id=$l",
        "PUT sys/leases/lookup lease_id=none",
        "PUT sys/leases/lookup",
        "LIST sys/leases/lookup/$pki",
        "LIST sys/leases/lookup/$pki/",
        "LIST sys/leases/lookup/none",
        "GET sys/leases/lookup",
        "PUT sys/leases/renew lease_id=$l",
        "PUT sys/leases/renew lease_id=none",
        "PUT sys/leases/renew",
        "GET sys/leases?type=irrevocable",
        "GET sys/leases/count?type=irrevocable",
        "PUT sys/leases/tidy",
        "PUT sys/leases/revoke",
        "PUT sys/leases/revoke lease_id=none sync=true",
        "PUT sys/leases/revoke lease_id=$l sync=true",
        "PUT sys/leases/lookup lease_id=$l",
        "POST $pki/issue/web common_name=a.test >l",
        "PUT sys/leases/revoke/$l sync=true",
        "PUT sys/leases/revoke-prefix/$pki/issue/web sync=true",
        "PUT sys/leases/revoke-force/$pki",
        "LIST sys/leases/lookup/$pki",
        "DELETE sys/mounts/$pki",
    ],
    "limits": [
        *PKI,
        "POST sys/quotas/rate-limit/q",
        "POST sys/quotas/rate-limit/q rate=-1",
        "POST sys/quotas/rate-limit/q rate=1 path=none/",
        "POST sys/quotas/rate-limit/q rate=1000 path=$pki role=x",
        "POST sys/quotas/rate-limit/q rate=1000.5 path=$pki interval=2s block_interval=10s",
        "GET sys/quotas/rate-limit/q",
        "POST sys/quotas/rate-limit/r rate=1000 path=$pki/",
        "LIST sys/quotas/rate-limit",
        "GET sys/quotas/rate-limit/none",
        "POST sys/quotas/rate-limit/q rate=1 path=$pki/roles/web interval=1h",
        "GET $pki/roles/web",
        "GET $pki/roles/web",
        "GET $pki/roles",
        "DELETE sys/quotas/rate-limit/q",
        "DELETE sys/quotas/rate-limit/q",
        "GET sys/quotas/config",
        "DELETE sys/mounts/$pki",
    ],
}

DIFFERENT = {
    "limits: GET sys/quotas/config": "OpenBao has a path for recovery tokens, and no absolute exempt paths",
    "limits: POST sys/quotas/rate-limit/q rate=1000 path=$pki role=x": "OpenBao tells auth mounts from others first",
}
"""Where the two are known to differ, and why."""


@pytest.mark.parametrize("name", SEQUENCES)
async def test_both_answer_alike(sides: tuple[Side, Side], name: str) -> None:
    differences = []
    for step in SEQUENCES[name]:
        ours, theirs = await asyncio.gather(*(side.send(step) for side in sides))
        mine, peers = _comparable(step, ours), _comparable(step, theirs)
        if (mine == peers) == (f"{name}: {step}" in DIFFERENT):
            differences.append(f"{step}\n  ours   {mine}\n  theirs {peers}")
    assert not differences, "\n".join(differences)


def _comparable(step: str, answer: tuple[int, Any]) -> tuple[int, Any]:
    """Keep statuses, messages, and names and types of fields. What certificates look like is compared elsewhere."""
    status, document = answer
    if not isinstance(document, dict):
        return status, document
    if "errors" in document:
        return status, [_message(error) for error in document["errors"]]
    if "request_id" not in document:
        return status, "bare"
    parts = ("auth", "wrap_info") if " $pki" in step else ("data", "auth", "wrap_info")
    shape: dict[str, Any] = {name: _shape(document.get(name)) for name in parts}
    return status, shape | {"lease_id": bool(document["lease_id"]), "warned": bool(document["warnings"])}


def _message(error: str) -> str:
    """Strip OpenBao's framing of several errors, of which there is always one here."""
    return error.replace("1 error occurred:\n\t* ", "").replace(" $pki", " ").strip()


def _shape(value: Any) -> Any:
    if not isinstance(value, dict):
        return type(value).__name__
    return {name: type(item).__name__ for name, item in value.items() if name not in _OURS_ALONE}


_OURS_ALONE = {"identity_policies", "group_by"}
"""Fields of newer versions of Vault that OpenBao does not have."""
