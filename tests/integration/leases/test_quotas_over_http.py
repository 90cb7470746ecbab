"""Rate limits over HTTP: who is refused, with what, and what cannot be configured."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.auth_world import MovedClock
from tests.support.host_world import HostWorld, host_world

LIMIT = "sys/quotas/rate-limit"


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def served(tmp_path: Path, clock: MovedClock) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, clock=clock) as world:
        await world.call("POST", "sys/mounts/pki", {"type": "pki"})
        yield world


async def statuses(served: HostWorld, path: str, times: int = 3, **options: Any) -> list[int]:
    return [(await served.call("GET", path, **options))[0] for _ in range(times)]


async def test_whoever_exceeds_hears_when_to_come_back(served: HostWorld, clock: MovedClock) -> None:
    assert await served.call("POST", f"{LIMIT}/q", {"path": "pki/", "rate": 2, "interval": "10s"}) == (204, None)
    assert await statuses(served, "pki/roles/x", token="nobody") == [403, 403, 429]
    headers = {"X-Vault-Token": "nobody"}
    async with served.client.get(f"{served.address}/v1/pki/roles/x", headers=headers) as answer:
        assert answer.headers["Retry-After"] == "5"
        assert await answer.json() == {"errors": ['request path "pki/roles/x": rate limit quota exceeded']}
    assert await statuses(served, "sys/mounts") == [200, 200, 200]
    clock.advance(5)
    assert await statuses(served, "pki/roles/x", times=2) == [404, 429]
    assert await served.call("DELETE", f"{LIMIT}/q") == (204, None)
    assert await statuses(served, "pki/roles/x") == [404, 404, 404]


async def test_a_limit_is_shown_as_it_was_set(served: HostWorld) -> None:
    body = {"path": "pki/issue/web", "rate": 2.5, "interval": "2s", "block_interval": "1m", "group_by": "none"}
    assert (await served.call("POST", f"{LIMIT}/q", body))[0] == 204
    status, answer = await served.call("GET", f"{LIMIT}/q")
    assert (status, answer["data"]) == (
        200,
        {
            "name": "q",
            "type": "rate-limit",
            "path": "pki/issue/web",
            "rate": 2.5,
            "interval": 2,
            "block_interval": 60,
            "inheritable": False,
            "role": "",
            "group_by": "none",
        },
    )
    assert (await served.call("LIST", LIMIT))[1]["data"]["keys"] == ["q"]
    assert await served.call("GET", f"{LIMIT}/none") == (404, {"errors": []})
    await served.call("POST", f"{LIMIT}/mount", {"path": "pki", "rate": 1})
    assert (await served.call("GET", f"{LIMIT}/mount"))[1]["data"]["path"] == "pki/"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "'rate' is invalid"),
        ({"rate": 0}, "'rate' is invalid"),
        ({"rate": -1}, "'rate' is invalid"),
        ({"rate": "inf"}, "'rate' is invalid"),
        ({"rate": "nan"}, "'rate' is invalid"),
        ({"rate": "many"}, "rate: "),
        ({"rate": 1, "interval": "-1s"}, "interval: must not be negative"),
        ({"rate": 1, "block_interval": -1}, "block_interval: must not be negative"),
        ({"rate": 1, "type": "lease-count"}, "type: must be rate-limit"),
        ({"rate": 1, "path": "none/"}, 'invalid mount path "none/"'),
        ({"rate": 1, "path": "pki", "role": "x"}, "does not support use with role-based quotas"),
        ({"rate": 1, "group_by": "entity_then_ip"}, "group_by: must be ip or none"),
        ({"rate": 1, "secondary_rate": 3}, "secondary_rate: is not served"),
    ],
)
async def test_what_cannot_be_a_limit(served: HostWorld, body: dict[str, Any], reason: str) -> None:
    status, answer = await served.call("POST", f"{LIMIT}/q", body)
    assert status == 400
    assert reason in answer["errors"][0]
    assert (await served.call("LIST", LIMIT))[0] == 404


async def test_two_limits_about_the_same_are_refused(served: HostWorld) -> None:
    await served.call("POST", f"{LIMIT}/q", {"path": "pki/", "rate": 5})
    status, answer = await served.call("POST", f"{LIMIT}/other", {"path": "pki", "rate": 6})
    assert (status, answer["errors"]) == (400, ['quota rule with similar properties exists under the name "q"'])
    assert (await served.call("POST", f"{LIMIT}/q", {"path": "pki/", "rate": 6}))[0] == 204


async def test_some_paths_are_exempt(served: HostWorld) -> None:
    await served.call(
        "POST", "sys/quotas/config", {"rate_limit_exempt_paths": ["sys/quotas", "/pki/crl/", "sys/health"]}
    )
    _, answer = await served.call("GET", "sys/quotas/config")
    assert answer["data"]["rate_limit_exempt_paths"] == ["sys/quotas", "pki/crl", "sys/health"]
    await served.call("POST", f"{LIMIT}/q", {"rate": 1, "interval": "1h"})
    assert await statuses(served, "sys/mounts") == [200, 429, 429]
    assert await statuses(served, "sys/health") == [200, 200, 200]
    assert await statuses(served, f"{LIMIT}/q") == [200, 200, 200]
    for name in ("enable_rate_limit_audit_logging", "enable_rate_limit_response_headers"):
        assert (await served.call("POST", "sys/quotas/config", {name: True}))[0] == 400


async def test_namespaces_have_limits_of_their_own_and_cannot_set_any(served: HostWorld) -> None:
    await served.call("POST", "sys/namespaces/team")
    await served.call("POST", "team/sys/namespaces/dev")
    assert (await served.call("POST", f"team/{LIMIT}/q", {"rate": 1}))[0] == 400
    await served.call("POST", f"{LIMIT}/team", {"path": "team", "rate": 1, "interval": "1h"})
    assert await statuses(served, "team/sys/mounts", times=2) == [200, 429]
    assert await statuses(served, "team/dev/sys/mounts", times=2) == [200, 200]
    await served.call("POST", f"{LIMIT}/team", {"path": "team", "rate": 1, "interval": "1h", "inheritable": True})
    assert await statuses(served, "team/dev/sys/mounts", times=2) == [200, 429]
    assert await statuses(served, "sys/mounts", times=2) == [200, 200]


async def test_limits_survive_sealing(served: HostWorld) -> None:
    await served.call("POST", f"{LIMIT}/q", {"path": "pki/", "rate": 1, "interval": "1h"})
    await served.host.seal()
    await served.host.unseal(served.unseal_key)
    assert await statuses(served, "pki/roles/x", times=2) == [404, 429]
