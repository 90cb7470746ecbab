"""Mounts over the API: enable, read, tune, list, disable; and what is refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_world import HostWorld, host_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path) as running:
        yield running


async def _enable(world: HostWorld, path: str, **config: Any) -> None:
    status, answer = await world.call("POST", f"sys/mounts/{path}", {"type": "pki", "config": config})
    assert (status, answer) == (204, None)


async def test_enable_read_tune_disable(world: HostWorld) -> None:
    await _enable(world, "pki", max_lease_ttl="87600h", allowed_managed_keys=["a", "b"])
    _, mounts = await world.call("GET", "sys/mounts")
    mount = mounts["data"]["pki/"]
    assert mount["type"] == "pki"
    assert mount["config"]["allowed_managed_keys"] == ["a", "b"]
    assert mounts["pki/"] == mount
    assert "sys/" in mounts["data"]

    status, _ = await world.call(
        "POST", "sys/mounts/pki/tune", {"default_lease_ttl": "10h", "description": "roots", "allowed_managed_keys": "c"}
    )
    assert status == 204
    _, tuned = await world.call("GET", "sys/mounts/pki/tune")
    assert tuned["data"] == {
        "description": "roots",
        "default_lease_ttl": 36000,
        "max_lease_ttl": 315360000,
        "force_no_cache": False,
        "allowed_managed_keys": ["c"],
    }
    await world.call("POST", "sys/mounts/pki/tune", {"allowed_managed_keys": [], "default_lease_ttl": "system"})
    _, cleared = await world.call("GET", "sys/mounts/pki/tune")
    assert "allowed_managed_keys" not in cleared["data"]
    assert cleared["data"]["default_lease_ttl"] == 768 * 3600

    assert (await world.call("DELETE", "sys/mounts/pki"))[0] == 204
    assert (await world.call("GET", "pki/ca"))[0] == 404
    assert (await world.call("GET", "sys/mounts/pki"))[0] == 400


async def test_mounts_survive_a_seal_and_what_they_stored_goes_with_them(world: HostWorld) -> None:
    await _enable(world, "deep/er/pki")
    await world.call("POST", "deep/er/pki/roles/web", {"allowed_domains": "example.com"})
    await world.call("PUT", "sys/seal")
    await world.call("POST", "sys/unseal", {"key": world.unseal_key.hex()})
    assert (await world.call("GET", "deep/er/pki/roles/web"))[0] == 200
    await world.call("DELETE", "sys/mounts/deep/er/pki")
    await _enable(world, "deep/er/pki")
    assert (await world.call("GET", "deep/er/pki/roles/web"))[0] == 404


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pki", "already in use"),
        ("pki/below", "already in use at pki/"),
        ("sys", "cannot mount"),
        ("auth/x", "cannot mount"),
        ("a//b", "empty segments"),
        ("x" * 600, "path"),
    ],
)
async def test_paths_that_cannot_be_mounted(world: HostWorld, path: str, message: str) -> None:
    await _enable(world, "pki")
    status, answer = await world.call("POST", f"sys/mounts/{path}", {"type": "pki"})
    assert status == 400
    assert message in answer["errors"][0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"default_lease_ttl": "99999h"}, "greater than the maximum"),
        ({"max_lease_ttl": "-1h"}, "negative"),
        ({"listing_visibility": "loud"}, "listing_visibility"),
    ],
)
async def test_tunings_that_cannot_be(world: HostWorld, body: dict[str, Any], message: str) -> None:
    await _enable(world, "pki")
    _, before = await world.call("GET", "sys/mounts/pki/tune")
    status, answer = await world.call("POST", "sys/mounts/pki/tune", body)
    assert status == 400
    assert message in answer["errors"][0]
    assert (await world.call("GET", "sys/mounts/pki/tune"))[1]["data"] == before["data"]


async def test_built_in_mounts_stay(world: HostWorld) -> None:
    for path in ("sys", "auth/token"):
        status, answer = await world.call("DELETE", f"sys/mounts/{path}")
        assert status == 400
        assert "cannot unmount" in answer["errors"][0]
        assert (await world.call("POST", f"sys/mounts/{path}/tune", {"description": "x"}))[0] == 400


async def test_the_user_interface_sees_what_the_caller_may_use(world: HostWorld) -> None:
    await _enable(world, "pki")
    await _enable(world, "other")
    await world.call("PUT", "sys/policies/acl/one", {"policy": 'path "pki/*" { capabilities = ["read"] }'})
    _, created = await world.call("POST", "auth/token/create", {"policies": ["one"], "no_default_policy": True})
    token = created["auth"]["client_token"]
    _, seen = await world.call("GET", "sys/internal/ui/mounts", token=token)
    assert set(seen["data"]["secret"]) == {"pki/"}
    _, nothing = await world.call("GET", "sys/internal/ui/mounts", token="")
    assert nothing["data"] == {"auth": {}, "secret": {}}
    assert (await world.call("GET", "sys/internal/ui/mounts/pki/", token=token))[1]["data"]["path"] == "pki/"
    assert (await world.call("GET", "sys/internal/ui/mounts/other", token=token))[0] == 403


@pytest.mark.parametrize("body", [{"config": None}, {"config": {"user_lockout_config": None}}, {"options": None}])
async def test_a_map_that_is_null_is_one_that_was_not_sent(world: HostWorld, body: dict[str, object]) -> None:
    assert (await world.call("POST", "sys/mounts/pki", {"type": "pki"} | body))[0] == 204


async def test_the_openapi_document_describes_what_is_mounted(world: HostWorld) -> None:
    await _enable(world, "my-pki")
    status, document = await world.call("GET", "sys/internal/specs/openapi")
    assert status == 200
    assert document["openapi"].startswith("3.")
    sign = document["paths"]["/my-pki/sign/{role}"]["post"]
    assert "csr" in sign["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert "/sys/mounts/{path}/tune" in document["paths"]
    generic = (await world.call("GET", "sys/internal/specs/openapi?generic_mount_paths=true"))[1]
    assert "/{pki_mount_path}/sign/{role}" in generic["paths"]
