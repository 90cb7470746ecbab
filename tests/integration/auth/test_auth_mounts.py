"""`sys/auth`: mounting auth methods anywhere, tuning and disabling them; who may."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_world import HostWorld, host_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path) as running:
        yield running


async def _refusal(world: HostWorld, method: str, path: str, body: Any = None) -> str:
    status, answer = await world.call(method, path, body)
    assert status == 400, answer
    return str(answer["errors"][0])


async def test_methods_are_enabled_listed_read_tuned_and_disabled(world: HostWorld) -> None:
    body = {"type": "userpass", "description": "people", "config": {"default_lease_ttl": "1h"}}
    assert (await world.call("POST", "sys/auth/people/of/ours", body))[0] == 204
    _, listed = await world.call("GET", "sys/auth")
    assert sorted(listed["data"]) == ["people/of/ours/", "token/"]
    mount = listed["people/of/ours/"]
    assert mount["accessor"].startswith("auth_userpass_")
    assert mount["config"]["token_type"] == "default-service"
    _, read = await world.call("GET", "sys/auth/people/of/ours")
    assert read["data"] == mount
    tune = {"max_lease_ttl": "2h", "token_type": "default-batch", "listing_visibility": "unauth", "description": "x"}
    assert (await world.call("POST", "sys/auth/people/of/ours/tune", tune))[0] == 204
    _, tuned = await world.call("GET", "sys/auth/people/of/ours/tune")
    assert tuned["data"] == (await world.call("GET", "sys/mounts/auth/people/of/ours/tune"))[1]["data"]
    expected = {"default_lease_ttl": 3600, "max_lease_ttl": 7200, "token_type": "default-batch", "description": "x"}
    assert {name: tuned["data"][name] for name in expected} == expected
    _, shown = await world.call("GET", "sys/internal/ui/mounts", token="")
    assert list(shown["data"]["auth"]) == ["people/of/ours/"]
    assert (await world.call("DELETE", "sys/auth/people/of/ours"))[0] == 204
    assert (await world.call("DELETE", "sys/auth/people/of/ours"))[0] == 204
    assert await _refusal(world, "GET", "sys/auth/people/of/ours") == "No auth engine at people/of/ours/"


async def test_what_sys_auth_refuses(world: HostWorld) -> None:
    await world.call("POST", "sys/auth/userpass", {"type": "userpass"})
    enable = [
        ("userpass", {"type": "userpass"}, "path is already in use at userpass/"),
        ("userpass/below", {"type": "userpass"}, "path is already in use at userpass/"),
        ("token", {"type": "userpass"}, "path is already in use at token/"),
        ("x", {"type": "pki"}, "plugin not found in the catalog: pki"),
        ("x", {}, "backend type must be specified"),
        ("x", {"type": "userpass", "config": {"token_type": "default"}}, "token_type"),
        ("x", {"type": "userpass", "config": {"user_lockout_config": {"lockout_treshold": 1}}}, "lockout_treshold"),
        ("x", {"type": "userpass", "config": {"user_lockout_config": {"lockout_duration": "x"}}}, "duration"),
    ]
    for path, body, message in enable:
        assert message in await _refusal(world, "POST", f"sys/auth/{path}", body)
    assert await _refusal(world, "DELETE", "sys/auth/token") == "token credential backend cannot be disabled"
    assert "no mount entry" in await _refusal(world, "POST", "sys/auth/none/tune", {})
    assert "cannot fetch sysview" in await _refusal(world, "GET", "sys/auth/none/tune")
    assert "'token_type' cannot be set" in await _refusal(world, "POST", "sys/auth/token/tune", {"token_type": "batch"})
    assert "plugin not found" in await _refusal(world, "POST", "sys/mounts/x", {"type": "userpass"})
    assert "cannot mount" in await _refusal(world, "POST", "sys/mounts/auth/x", {"type": "pki"})
    assert "cannot unmount" in await _refusal(world, "DELETE", "sys/mounts/auth/userpass")


async def test_limits_of_the_mount_rule_its_tokens(world: HostWorld) -> None:
    config = {"default_lease_ttl": "10m", "max_lease_ttl": "20m"}
    await world.call("POST", "sys/auth/short", {"type": "userpass", "config": config})
    await world.call("POST", "auth/short/users/a", {"password": "x"})
    await world.call("POST", "auth/short/users/b", {"password": "x", "token_ttl": "1h"})
    ttls = {}
    for name in ("a", "b"):
        _, answer = await world.call("POST", f"auth/short/login/{name}", {"password": "x"}, token="")
        ttls[name] = (answer["auth"]["lease_duration"], bool(answer["warnings"]))
    assert ttls == {"a": (600, False), "b": (1200, True)}


@pytest.mark.parametrize("mount_type", ["service", "batch"])
async def test_a_mount_may_rule_the_type_of_its_tokens(world: HostWorld, mount_type: str) -> None:
    await world.call("POST", "sys/auth/userpass", {"type": "userpass", "config": {"token_type": mount_type}})
    for role_type in ("default", "service", "batch"):
        await world.call("POST", f"auth/userpass/users/{role_type}", {"password": "x", "token_type": role_type})
        _, answer = await world.call("POST", f"auth/userpass/login/{role_type}", {"password": "x"}, token="")
        assert answer["auth"]["token_type"] == mount_type


PROTECTED = [
    ("GET", "sys/auth"),
    ("GET", "sys/auth/userpass"),
    ("POST", "sys/auth/new"),
    ("DELETE", "sys/auth/userpass"),
    ("GET", "sys/auth/userpass/tune"),
    ("POST", "sys/auth/userpass/tune"),
    ("GET", "sys/locked-users"),
    ("POST", "sys/locked-users/x/unlock/y"),
    ("GET", "auth/userpass/users/bob"),
    ("LIST", "auth/userpass/users"),
    ("POST", "auth/userpass/users/bob"),
    ("POST", "auth/userpass/users/bob/password"),
    ("DELETE", "auth/userpass/users/bob"),
    ("POST", "identity/entity"),
    ("LIST", "identity/entity/id"),
    ("POST", "identity/lookup/entity"),
    ("LIST", "identity/entity-alias/id"),
]


async def test_nothing_but_logging_in_is_open(world: HostWorld) -> None:
    await world.call("POST", "sys/auth/userpass", {"type": "userpass"})
    await world.call("POST", "auth/userpass/users/bob", {"password": "pw"})
    _, answer = await world.call("POST", "auth/userpass/login/bob", {"password": "pw"}, token="")
    expired = (await world.call("POST", "auth/token/create", {"policies": ["default"], "num_uses": 1}))[1]["auth"]
    await world.call("GET", "auth/token/lookup-self", token=expired["client_token"])
    for method, path in PROTECTED:
        for token in ("", "hvs.wrong", answer["auth"]["client_token"], expired["client_token"]):
            status, body = await world.call(method, path, {} if method == "POST" else None, token=token)
            assert (status, body["errors"]) == (403, ["permission denied"]), (method, path)
    assert (await world.call("GET", "auth/userpass/users/bob"))[0] == 200


async def test_mounting_needs_sudo(world: HostWorld) -> None:
    for name, capabilities in (("plain", '"create", "update", "read"'), ("sudo", '"create", "update", "read", "sudo"')):
        text = f'path "sys/auth/*" {{ capabilities = [{capabilities}] }}'
        await world.call("PUT", f"sys/policies/acl/{name}", {"policy": text})
    for name, expected in (("plain", 403), ("sudo", 204)):
        _, made = await world.call("POST", "auth/token/create", {"policies": [name]})
        token = made["auth"]["client_token"]
        assert (await world.call("POST", "sys/auth/userpass", {"type": "userpass"}, token=token))[0] == expected
