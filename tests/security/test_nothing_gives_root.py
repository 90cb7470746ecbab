"""No way but root's own leads to the policy `root`, however it is spelled, and no token outgrows its parent."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.security_world import SecurityWorld, security_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT_SPELLINGS = ["root", "ROOT", " root ", "default,root", ["default", "Root"]]
BUILDER = """
path "auth/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "identity/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/mounts" { capabilities = ["read"] }
"""
"""Everything that makes tokens, without sudo."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecurityWorld]:
    async with security_world(tmp_path_factory.mktemp("root")) as running:
        await running.made("POST", "sys/policies/acl/builder", {"policy": BUILDER})
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def builder(world: SecurityWorld) -> str:
    return await world.token("builder")


async def _is_powerless(world: SecurityWorld, answer: Any) -> bool:
    token = answer["auth"]["client_token"]
    return (await world.call("GET", "sys/policies/acl/all", token=token))[0] == 403


@pytest.mark.parametrize("spelled", ROOT_SPELLINGS)
async def test_children_are_not_root(world: SecurityWorld, builder: str, spelled: Any) -> None:
    for path in ("auth/token/create", "auth/token/create-orphan"):
        status, answer = await world.call("POST", path, {"policies": spelled}, token=builder)
        assert status == 400 or await _is_powerless(world, answer), answer


@pytest.mark.parametrize("wish", [{"policies": ["all"]}, {"period": "1h"}, {"id": "mine"}, {"no_parent": True}])
async def test_children_are_not_more_than_their_parent(
    world: SecurityWorld, builder: str, wish: dict[str, Any]
) -> None:
    status, _ = await world.call("POST", "auth/token/create", wish, token=builder)
    assert status == 400


@pytest.mark.parametrize("spelled", [*ROOT_SPELLINGS, "*", "roo*"])
@pytest.mark.parametrize("field", ["allowed_policies", "allowed_policies_glob"])
async def test_token_roles_do_not_give_root(world: SecurityWorld, builder: str, field: str, spelled: Any) -> None:
    await world.call("POST", "auth/token/roles/wide", {field: spelled}, token=builder)
    for wish in ({}, {"policies": "root"}, {"policies": "ROOT"}):
        status, answer = await world.call("POST", "auth/token/create/wide", wish, token=builder)
        assert status in {400, 404} or await _is_powerless(world, answer), answer


@pytest.mark.parametrize("spelled", ROOT_SPELLINGS)
async def test_logins_do_not_give_root(world: SecurityWorld, builder: str, spelled: Any) -> None:
    user = {"password": "correct horse", "token_policies": spelled}
    await world.call("POST", "auth/userpass/users/eve", user, token=builder)
    status, answer = await world.call("POST", "auth/userpass/login/eve", {"password": "correct horse"}, token="")
    assert status == 400 or await _is_powerless(world, answer), answer
    await world.call(
        "POST", "auth/approle/role/eve", {"token_policies": spelled, "bind_secret_id": True}, token=builder
    )
    _, role = await world.call("GET", "auth/approle/role/eve/role-id", token=builder)
    _, secret = await world.call("POST", "auth/approle/role/eve/secret-id", {}, token=builder)
    if role is not None and role.get("data") and secret is not None and secret.get("data"):
        login = {"role_id": role["data"]["role_id"], "secret_id": secret["data"]["secret_id"]}
        status, answer = await world.call("POST", "auth/approle/login", login, token="")
        assert status == 400 or await _is_powerless(world, answer), answer


@pytest.mark.parametrize("spelled", ROOT_SPELLINGS)
async def test_entities_do_not_give_root(world: SecurityWorld, builder: str, spelled: Any) -> None:
    user = {"password": "correct horse", "token_policies": "default"}
    await world.made("POST", "auth/userpass/users/adam", user, token=builder)
    login = await world.made("POST", "auth/userpass/login/adam", {"password": "correct horse"}, token="")
    entity = login["auth"]["entity_id"]
    status, _ = await world.call("POST", f"identity/entity/id/{entity}", {"policies": spelled}, token=builder)
    assert status == 400
    assert await _is_powerless(world, login)


async def test_policies_of_the_server_itself_cannot_be_held(world: SecurityWorld) -> None:
    for reserved in ("response-wrapping", "Response-Wrapping"):
        status, _ = await world.call("POST", "auth/token/create", {"policies": [reserved]})
        assert status == 400
        assert (await world.call("POST", f"sys/policies/acl/{reserved}", {"policy": ""}))[0] == 400
    for reserved in ("root", "ROOT"):
        assert (await world.call("POST", f"sys/policies/acl/{reserved}", {"policy": ""}))[0] == 400
        assert (await world.call("DELETE", f"sys/policies/acl/{reserved}"))[0] == 400
