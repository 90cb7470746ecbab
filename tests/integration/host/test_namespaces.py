"""Namespaces over the API: what they own, who may enter, and that nothing leaks across."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_world import HostWorld, host_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path) as running:
        for namespace in ("team", "other"):
            assert (await running.call("POST", f"sys/namespaces/{namespace}", {}))[0] == 200
        assert (await _in(running, "team", "POST", "sys/namespaces/dev", {}))[0] == 200
        yield running


async def _in(
    world: HostWorld, namespace: str, method: str, path: str, body: Any = None, **options: Any
) -> tuple[int, Any]:
    return await world.call(method, path, body, headers={"X-Vault-Namespace": namespace}, **options)


async def _token(world: HostWorld, namespace: str, *policies: str) -> str:
    status, answer = await _in(world, namespace, "POST", "auth/token/create", {"policies": list(policies)})
    assert status == 200, answer
    return str(answer["auth"]["client_token"])


async def test_namespaces_are_listed_read_and_described(world: HostWorld) -> None:
    _, listed = await world.call("LIST", "sys/namespaces")
    assert listed["data"]["keys"] == ["other/", "team/"]
    _, below = await world.call("LIST", "team/sys/namespaces")
    assert below["data"]["keys"] == ["dev/"]
    assert below["data"]["key_info"]["dev/"]["path"] == "team/dev/"
    status, _ = await world.call("POST", "sys/namespaces/team", {"custom_metadata": {"owner": "ops"}})
    assert status == 200
    _, read = await world.call("GET", "sys/namespaces/team")
    assert read["data"]["custom_metadata"] == {"owner": "ops"}
    assert (await _in(world, "team/dev", "LIST", "sys/namespaces"))[0] == 404


@pytest.mark.parametrize(
    ("name", "message"),
    [("sys", "reserved"), ("root", "reserved"), ("a/b", "cannot contain /"), ("a b", "spaces"), ("x" * 200, "128")],
)
async def test_names_that_cannot_be(world: HostWorld, name: str, message: str) -> None:
    status, answer = await world.call("POST", f"sys/namespaces/{name}", {})
    assert status == 400
    assert message in answer["errors"][0]


async def test_header_and_path_lead_to_the_same_place(world: HostWorld) -> None:
    await _in(world, "team/dev", "POST", "sys/mounts/pki", {"type": "pki"})
    await _in(world, "team", "POST", "dev/pki/roles/web", {"allowed_domains": "example.com"})
    for header, path in (
        ("", "team/dev/pki/roles/web"),
        ("team", "dev/pki/roles/web"),
        ("team/dev", "pki/roles/web"),
        ("/team/dev/", "pki/roles/web"),
    ):
        assert (await _in(world, header, "GET", path))[0] == 200


async def test_mounts_and_policies_of_one_namespace_are_not_those_of_another(world: HostWorld) -> None:
    await _in(world, "team", "POST", "sys/mounts/pki", {"type": "pki"})
    await _in(world, "team", "PUT", "sys/policies/acl/p", {"policy": 'path "pki/*" { capabilities = ["read"] }'})
    for namespace in ("", "other", "team/dev"):
        assert "pki/" not in (await _in(world, namespace, "GET", "sys/mounts"))[1]["data"]
        assert (await _in(world, namespace, "GET", "sys/policies/acl/p"))[0] == 404
        assert (await _in(world, namespace, "GET", "pki/roles/web"))[0] == 404


async def test_tokens_serve_their_namespace_and_those_below(world: HostWorld) -> None:
    policy = 'path "sys/mounts" { capabilities = ["read"] }\npath "dev/sys/mounts" { capabilities = ["read"] }'
    await _in(world, "team", "PUT", "sys/policies/acl/p", {"policy": policy})
    token = await _token(world, "team", "p")
    for namespace, status in (("team", 200), ("team/dev", 200), ("", 403), ("other", 403), ("nope", 403)):
        assert (await _in(world, namespace, "GET", "sys/mounts", token=token))[0] == status


async def test_policies_of_the_same_name_elsewhere_mean_nothing(world: HostWorld) -> None:
    await world.call("PUT", "sys/policies/acl/admin", {"policy": 'path "*" { capabilities = ["read", "sudo"] }'})
    await _in(
        world, "team", "PUT", "sys/policies/acl/admin", {"policy": 'path "sys/health" { capabilities = ["read"] }'}
    )
    token = await _token(world, "team", "admin")
    assert (await _in(world, "team", "GET", "sys/mounts", token=token))[0] == 403


async def test_a_weak_token_gets_no_policies_in_a_namespace_below(world: HostWorld) -> None:
    weak = 'path "team/auth/token/create" { capabilities = ["update"] }'
    await world.call("PUT", "sys/policies/acl/strong", {"policy": weak})
    await _in(world, "team", "PUT", "sys/policies/acl/strong", {"policy": 'path "*" { capabilities = ["sudo"] }'})
    token = await _token(world, "", "strong")
    status, answer = await _in(world, "team", "POST", "auth/token/create", {"policies": ["strong"]}, token=token)
    assert status == 400
    assert "another namespace" in answer["errors"][0]


async def test_root_tokens_are_not_born_in_namespaces(world: HostWorld) -> None:
    status, _ = await _in(world, "team", "POST", "auth/token/create", {"policies": ["root"]})
    assert status == 400
    _, answer = await _in(world, "team", "POST", "auth/token/create", {})
    assert answer["auth"]["policies"] == ["default"]


async def test_tokens_of_another_namespace_are_out_of_sight(world: HostWorld) -> None:
    _, answer = await _in(world, "team", "POST", "auth/token/create", {})
    token, accessor = answer["auth"]["client_token"], answer["auth"]["accessor"]
    for path, body in (
        ("auth/token/lookup", {"token": token}),
        ("auth/token/lookup-accessor", {"accessor": accessor}),
        ("auth/token/renew-accessor", {"accessor": accessor}),
    ):
        assert (await _in(world, "other", "POST", path, body))[0] in {400, 403}
        assert (await _in(world, "team", "POST", path, body))[0] == 200
    await _in(world, "other", "POST", "auth/token/revoke-accessor", {"accessor": accessor})
    await _in(world, "other", "POST", "auth/token/revoke", {"token": token})
    assert (await _in(world, "team", "POST", "auth/token/lookup", {"token": token}))[0] == 200
    _, listed = await _in(world, "team", "LIST", "auth/token/accessors")
    assert listed["data"]["keys"] == [accessor]


async def test_managed_keys_stay_in_their_namespace(world: HostWorld) -> None:
    for namespace in ("", "team"):
        assert (await _in(world, namespace, "LIST", "sys/managed-keys/pkcs11"))[0] == 404


async def test_what_concerns_the_whole_server_is_left_to_the_root(world: HostWorld) -> None:
    status, answer = await _in(world, "team", "PUT", "sys/seal")
    assert status == 400
    assert "root namespace" in answer["errors"][0]


async def test_deleting_takes_everything_along(world: HostWorld) -> None:
    await _in(world, "team/dev", "POST", "sys/mounts/pki", {"type": "pki"})
    await _in(world, "team/dev", "POST", "pki/roles/web", {})
    token = await _token(world, "team/dev", "default")
    status, answer = await world.call("DELETE", "sys/namespaces/team")
    assert status == 400
    assert "child namespaces" in answer["errors"][0]
    assert (await _in(world, "team", "DELETE", "sys/namespaces/dev"))[0] == 200
    assert (await _in(world, "team/dev", "GET", "sys/mounts"))[0] == 404
    assert (await world.call("GET", "auth/token/lookup-self", token=token))[0] == 403
    assert (await _in(world, "team", "POST", "sys/namespaces/dev", {}))[0] == 200
    assert "pki/" not in (await _in(world, "team/dev", "GET", "sys/mounts"))[1]["data"]


async def test_namespaces_survive_a_seal(world: HostWorld) -> None:
    await _in(world, "team/dev", "POST", "sys/mounts/pki", {"type": "pki"})
    token = await _token(world, "team/dev", "default")
    await world.call("PUT", "sys/seal")
    await world.call("POST", "sys/unseal", {"key": world.unseal_key.hex()})
    assert "pki/" in (await _in(world, "team/dev", "GET", "sys/mounts"))[1]["data"]
    assert (await _in(world, "team/dev", "GET", "auth/token/lookup-self", token=token))[0] == 200


async def test_mounts_and_namespaces_do_not_share_paths(world: HostWorld) -> None:
    status, _ = await world.call("POST", "sys/mounts/team", {"type": "pki"})
    assert status == 400
    await world.call("POST", "sys/mounts/shared", {"type": "pki"})
    assert (await world.call("POST", "sys/namespaces/shared", {}))[0] == 400
