"""Two nodes on one database: one answer behind a wrapping token, one revocation of a lease, one set of limits."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world
from tests.support.storage_postgres import shared_server

pytestmark = pytest.mark.slow

Nodes = tuple[HostWorld, HostWorld]


@pytest.fixture(params=["sqlite", "postgresql"])
async def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    changes: dict[str, Any] = {}
    if request.param == "postgresql":
        server = await asyncio.to_thread(shared_server)
        changes["storage"] = {"url": server.url(await asyncio.to_thread(server.fresh_database))}
    async with host_world(tmp_path, **changes) as here, host_world(tmp_path, joins=here, **changes) as there:
        yield here, there


async def until(check: Any, expected: Any) -> None:
    """Ask again until an answer is what it should be; the test's own timeout ends it."""
    while await check() != expected:
        pass


async def prepare(nodes: Nodes) -> None:
    here, there = nodes
    await here.call("POST", "sys/mounts/pki", {"type": "pki"})
    await here.call("POST", "pki/root/generate/internal", {"common_name": "r", "key_type": "ec"})
    role = {"allow_any_name": True, "generate_lease": True, "key_type": "ec", "ttl": "1h"}
    await here.call("POST", "pki/roles/web", role)

    async def status() -> int:
        return (await there.call("GET", "pki/roles/web"))[0]

    await until(status, 200)


async def test_of_two_nodes_that_unwrap_one_has_the_answer(nodes: Nodes) -> None:
    here, there = nodes
    for _ in range(5):
        _, answer = await here.call("POST", "sys/wrapping/wrap", {"a": 1}, headers={"X-Vault-Wrap-TTL": "60"})
        token = answer["wrap_info"]["token"]
        named = {"token": token}
        answers = await asyncio.gather(
            here.call("POST", "sys/wrapping/unwrap", named),
            there.call("POST", "sys/wrapping/unwrap", named),
            here.call("POST", "sys/wrapping/unwrap", token=token),
            there.call("POST", "sys/wrapping/unwrap", token=token),
        )
        assert [status for status, _ in answers].count(200) == 1
        assert {status for status, _ in answers} <= {200, 400, 403}


async def test_what_is_kept_on_one_node_is_read_on_the_other(nodes: Nodes) -> None:
    here, there = nodes
    writes = [node.call("POST", "cubbyhole/x", {"n": number}) for number, node in enumerate([here, there] * 4)]
    assert {status for status, _ in await asyncio.gather(*writes)} == {204}
    assert (await here.call("GET", "cubbyhole/x"))[1]["data"] == (await there.call("GET", "cubbyhole/x"))[1]["data"]


async def test_a_token_that_ends_on_one_node_takes_its_certificates_along(nodes: Nodes) -> None:
    await prepare(nodes)
    here, there = nodes
    _, created = await here.call("POST", "auth/token/create", {"policies": ["root"], "ttl": "1h"})
    token = created["auth"]["client_token"]
    serials = []
    for node in (here, there) * 3:
        _, issued = await node.call("POST", "pki/issue/web", {"common_name": "a.test"}, token=token)
        serials.append(issued["data"]["serial_number"])
    issuing = [node.call("POST", "pki/issue/web", {"common_name": "b.test"}, token=token) for node in nodes * 4]
    answers = await asyncio.gather(*issuing, there.call("POST", "auth/token/revoke", {"token": token}))
    serials += [answer["data"]["serial_number"] for status, answer in answers if status == 200]

    async def leases() -> int:
        return (await here.call("LIST", "sys/leases/lookup/pki"))[0]

    await until(leases, 404)
    _, revoked = await there.call("LIST", "pki/certs/revoked")
    assert set(serials) <= set(revoked["data"]["keys"])


async def test_limits_set_on_one_node_are_in_force_on_the_other(nodes: Nodes) -> None:
    here, there = nodes
    limit = {"path": "cubbyhole/x", "rate": 1, "interval": "1h"}
    assert (await here.call("POST", "sys/quotas/rate-limit/q", limit))[0] == 204

    async def status() -> int:
        return (await there.call("GET", "cubbyhole/x", token=ROOT_TOKEN))[0]

    await until(status, 429)
    assert (await there.call("DELETE", "sys/quotas/rate-limit/q"))[0] == 204
    assert await status() == 404
