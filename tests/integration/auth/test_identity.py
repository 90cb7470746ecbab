"""Identities over the API: entities, aliases, their policies and templates on real requests, namespaces apart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_world import HostWorld, host_world

OWN = """
path "identity/entity/id/{{identity.entity.id}}" { capabilities = ["read"] }
path "sys/policies/acl/{{identity.entity.metadata.team}}" { capabilities = ["read", "create", "update"] }
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path) as running:
        await _write(running, "sys/auth/userpass", type="userpass")
        await _write(running, "auth/userpass/users/bob", password="pw", token_policies="own")
        await _write(running, "sys/policies/acl/own", policy=OWN)
        yield running


async def _write(world: HostWorld, path: str, /, **fields: Any) -> Any:
    status, answer = await world.call("POST", path, fields)
    assert status in {200, 204}, answer
    return answer["data"] if answer else None


async def _read(world: HostWorld, path: str) -> Any:
    status, answer = await world.call("GET", path)
    assert status == 200, answer
    return answer["data"]


async def _refusal(world: HostWorld, path: str, **fields: Any) -> str:
    status, answer = await world.call("POST", path, fields)
    assert status == 400, answer
    return str(answer["errors"][0])


async def _login(world: HostWorld, name: str = "bob") -> Any:
    status, answer = await world.call("POST", f"auth/userpass/login/{name}", {"password": "pw"}, token="")
    assert status == 200, answer
    return answer["auth"]


async def _accessor(world: HostWorld) -> str:
    return str((await _read(world, "sys/auth"))["userpass/"]["accessor"])


async def test_entities_are_created_changed_found_and_deleted(world: HostWorld) -> None:
    made = await _write(world, "identity/entity", name="Zed", metadata={"a": "b"}, policies=["p1", "P2"])
    assert (made["name"], made["aliases"]) == ("Zed", None)
    assert await _write(world, "identity/entity", name="zed", metadata={"a": "c"}) is None
    read = await _read(world, "identity/entity/name/zed")
    assert read == await _read(world, f"identity/entity/id/{made['id']}")
    assert (read["metadata"], read["policies"], read["disabled"]) == ({"a": "c"}, ["p1", "p2"], False)
    await _write(world, f"identity/entity/id/{made['id']}", name="other", disabled=True)
    assert (await world.call("GET", "identity/entity/name/zed"))[0] == 404
    for query in ({"name": "other"}, {"id": made["id"]}):
        assert (await _write(world, "identity/lookup/entity", **query))["disabled"] is True
    assert (await world.call("LIST", "identity/entity/name"))[1]["data"]["keys"] == ["other"]
    await world.call("DELETE", "identity/entity/name/other")
    assert (await world.call("LIST", "identity/entity/id"))[0] == 404
    assert (await world.call("POST", "identity/lookup/entity", {"name": "other"}))[0] == 204


async def test_what_entities_refuse(world: HostWorld) -> None:
    made = await _write(world, "identity/entity", name="one")
    await _write(world, "identity/entity/name/two")
    assert await _refusal(world, "identity/entity", id="nope") == "entity not found from id"
    assert await _refusal(world, "identity/entity", id=made["id"], name="two") == "entity name is already in use"
    assert await _refusal(world, "identity/entity", name="y", policies=["root"]) == "policies cannot contain root"
    assert "metadata" in await _refusal(world, "identity/entity", metadata="bad")
    assert await _refusal(world, "identity/lookup/entity") == "query parameter not supplied"
    assert "conflict" in await _refusal(world, "identity/lookup/entity", name="one", id="x")
    assert "both" in await _refusal(world, "identity/lookup/entity", alias_name="x")


async def test_aliases_are_created_changed_found_and_deleted(world: HostWorld) -> None:
    accessor = await _accessor(world)
    entity = (await _write(world, "identity/entity", name="zed"))["id"]
    body = {"name": "bob", "mount_accessor": accessor, "canonical_id": entity}
    made = await _write(world, "identity/entity-alias", **body, custom_metadata={"q": "r"})
    assert made["canonical_id"] == entity
    assert await _write(world, "identity/entity-alias", **body) == made
    path = f"identity/entity-alias/id/{made['id']}"
    read = await _read(world, path)
    assert (read["custom_metadata"], read["mount_type"], read["mount_path"]) == (
        {"q": "r"}, "userpass", "auth/userpass/",
    )  # fmt: skip
    auth = await _login(world)
    assert auth["entity_id"] == entity
    for query in ({"alias_id": made["id"]}, {"alias_name": "bob", "alias_mount_accessor": accessor}):
        assert (await _write(world, "identity/lookup/entity", **query))["id"] == entity
    await _write(world, path, name="robert")
    assert (await _login(world))["entity_id"] != entity
    listed = (await world.call("LIST", "identity/entity-alias/id"))[1]["data"]
    assert {info["name"] for info in listed["key_info"].values()} == {"bob", "robert"}
    await world.call("DELETE", path)
    assert (await _read(world, f"identity/entity/id/{entity}"))["aliases"] == []


async def test_what_aliases_refuse(world: HostWorld) -> None:
    accessor = await _accessor(world)
    entity = (await _write(world, "identity/entity", name="zed"))["id"]
    alias = {"name": "a", "mount_accessor": accessor}
    await _write(world, "identity/entity-alias", **alias, canonical_id=entity)
    path = "identity/entity-alias"
    assert "already exists" in await _refusal(world, path, **(alias | {"name": "b"}), canonical_id=entity)
    assert "not associated" in await _refusal(world, path, **alias, canonical_id="nope")
    assert await _refusal(world, path, **(alias | {"name": "c"}), canonical_id="nope") == "invalid canonical ID"
    assert "invalid mount accessor" in await _refusal(world, path, name="a", mount_accessor="nope")
    assert "must be provided" in await _refusal(world, path, name="a")
    assert await _refusal(world, f"{path}/id/nope", name="q") == "invalid alias ID provided"
    other = await _write(world, path, name="d", mount_accessor=accessor)
    assert "knows another entity" in await _refusal(world, f"{path}/id/{other['id']}", name="a")


async def test_policies_of_the_entity_join_those_of_its_tokens(world: HostWorld) -> None:
    auth = await _login(world)
    token, path = auth["client_token"], f"identity/entity/id/{auth['entity_id']}"
    assert "identity_policies" not in auth
    assert (await world.call("GET", "sys/mounts", token=token))[0] == 403
    await _write(world, "sys/policies/acl/mounts", policy='path "sys/mounts" { capabilities = ["read"] }')
    await _write(world, path, policies=["mounts"])
    assert (await world.call("GET", "sys/mounts", token=token))[0] == 200
    looked = (await world.call("GET", "auth/token/lookup-self", token=token))[1]["data"]
    assert (looked["policies"], looked["identity_policies"]) == (["default", "own"], ["mounts"])
    _, asked = await world.call("POST", "sys/capabilities-self", {"paths": ["sys/mounts"]}, token=token)
    assert asked["data"]["capabilities"] == ["read"]
    again = await _login(world)
    assert again["policies"] == ["default", "mounts", "own"]
    assert again["identity_policies"] == ["mounts"]
    await _write(world, path, policies=[])
    assert (await world.call("GET", "sys/mounts", token=token))[0] == 403


async def test_policies_speak_of_the_caller(world: HostWorld) -> None:
    auth = await _login(world)
    token, path = auth["client_token"], f"identity/entity/id/{auth['entity_id']}"
    assert (await world.call("GET", path, token=token))[0] == 200
    other = (await _write(world, "identity/entity", name="zed"))["id"]
    assert (await world.call("GET", f"identity/entity/id/{other}", token=token))[0] == 403
    for team, statuses in {"red": (404, 403), "blue": (403, 404)}.items():
        await _write(world, path, metadata={"team": team})
        asked = [(await world.call("GET", f"sys/policies/acl/{name}", token=token))[0] for name in ("red", "blue")]
        assert tuple(asked) == statuses


async def test_values_that_would_be_wildcards_open_nothing(world: HostWorld) -> None:
    auth = await _login(world)
    token, path = auth["client_token"], f"identity/entity/id/{auth['entity_id']}"
    for value in ("*", "+", "o*", "x/*"):
        await _write(world, path, metadata={"team": value})
        for asked in ("sys/policies/acl/own", "auth/token/lookup-self", path):
            assert (await world.call("GET", asked, token=token))[0] == 403, value
    await _write(world, path, metadata={"team": "red"})
    assert (await world.call("GET", "auth/token/lookup-self", token=token))[0] == 200


async def test_children_carry_the_entity_and_orphans_do_not(world: HostWorld) -> None:
    await _write(world, "sys/policies/acl/own", policy='path "auth/token/*" { capabilities = ["update", "sudo"] }')
    auth = await _login(world)
    token = auth["client_token"]
    child = (await world.call("POST", "auth/token/create", {}, token=token))[1]["auth"]
    orphan = (await world.call("POST", "auth/token/create-orphan", {}, token=token))[1]["auth"]
    assert (child["entity_id"], orphan["entity_id"]) == (auth["entity_id"], "")
    await _write(world, f"identity/entity/id/{auth['entity_id']}", disabled=True)
    assert (await world.call("GET", "auth/token/lookup-self", token=child["client_token"]))[0] == 403
    assert (await world.call("GET", "auth/token/lookup-self", token=orphan["client_token"]))[0] == 200


async def test_token_roles_tie_tokens_to_entities_by_alias(world: HostWorld) -> None:
    await _write(world, "auth/token/roles/r", allowed_entity_aliases="ci-*,Exact", orphan=True)
    path = "auth/token/create/r"
    one, two = [(await world.call("POST", path, {"entity_alias": "ci-1"}))[1]["auth"] for _ in range(2)]
    assert one["entity_id"] == two["entity_id"] != ""
    alias = (await _read(world, f"identity/entity/id/{one['entity_id']}"))["aliases"][0]
    assert (alias["name"], alias["mount_type"]) == ("ci-1", "token")
    assert "allowed_entity_aliases" in await _refusal(world, path, entity_alias="other")
    assert "batch" in await _refusal(world, path, entity_alias="ci-1", type="batch")


async def test_many_first_logins_at_once_make_one_entity(world: HostWorld) -> None:
    logins = await asyncio.gather(*(_login(world) for _ in range(6)))
    assert len({auth["entity_id"] for auth in logins}) == 1


async def test_namespaces_know_each_other_not(world: HostWorld) -> None:
    for namespace in ("team", "other"):
        await _write(world, f"sys/namespaces/{namespace}")
    await _write(world, "team/sys/auth/userpass", type="userpass")
    await _write(world, "team/auth/userpass/users/bob", password="pw", token_policies="own")
    await _write(world, "team/identity/entity", name="zed")
    status, answer = await world.call("POST", "team/auth/userpass/login/bob", {"password": "pw"}, token="")
    auth = answer["auth"]
    assert status == 200
    path = f"identity/entity/id/{auth['entity_id']}"
    assert (await world.call("GET", f"team/{path}"))[0] == 200
    for foreign in (path, f"other/{path}", "identity/entity/name/zed"):
        assert (await world.call("GET", foreign))[0] == 404
    assert (await world.call("GET", "team/auth/token/lookup-self", token=auth["client_token"]))[0] == 200
    assert (await world.call("GET", "auth/token/lookup-self", token=auth["client_token"]))[0] == 403
    await _write(world, f"team/{path}", disabled=True)
    assert (await world.call("GET", "team/auth/token/lookup-self", token=auth["client_token"]))[0] == 403
    assert (await world.call("DELETE", "sys/namespaces/team"))[0] == 200
    await _write(world, "sys/namespaces/team")
    assert (await world.call("LIST", "team/identity/entity/id"))[0] == 404


async def test_identities_survive_a_restart_of_the_seal(world: HostWorld) -> None:
    auth = await _login(world)
    await world.host.seal()
    await world.host.unseal(world.unseal_key)
    assert (await world.call("GET", "auth/token/lookup-self", token=auth["client_token"]))[0] == 200
    assert (await _login(world))["entity_id"] == auth["entity_id"]


async def test_children_in_a_namespace_below_keep_their_entity_but_not_its_policies(world: HostWorld) -> None:
    await _write(world, "sys/namespaces/team")
    await _write(world, "team/auth/token/roles/r", allowed_policies="p")
    await _write(world, "sys/policies/acl/own", policy='path "team/auth/token/*" { capabilities = ["update"] }')
    everything = 'path "*" { capabilities = ["read"] }'
    for policy in ("sys/policies/acl/wide", "team/sys/policies/acl/wide"):
        await _write(world, policy, policy=everything)
    auth = await _login(world)
    await _write(world, f"identity/entity/id/{auth['entity_id']}", policies=["wide"])
    status, answer = await world.call("POST", "team/auth/token/create/r", {}, token=auth["client_token"])
    assert status == 200, answer
    child = answer["auth"]["client_token"]
    assert answer["auth"]["entity_id"] == auth["entity_id"]
    assert (await world.call("GET", "team/auth/token/lookup-self", token=child))[0] == 200
    assert (await world.call("GET", "team/sys/mounts", token=child))[0] == 403
    await _write(world, f"identity/entity/id/{auth['entity_id']}", disabled=True)
    assert (await world.call("GET", "team/auth/token/lookup-self", token=child))[0] == 403
