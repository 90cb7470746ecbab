"""Cubbyholes over HTTP: one for each token and namespace, gone with the token."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from chancery.storage.schema import CUBBYHOLES
from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path) as world:
        yield world


async def a_token(served: HostWorld, token: str = ROOT_TOKEN, **wishes: Any) -> str:
    _, answer = await served.call("POST", "auth/token/create", {"policies": ["default"]} | wishes, token=token)
    made: str = answer["auth"]["client_token"]
    return made


async def kept(served: HostWorld) -> int:
    database = served.host.base.database
    counted = select(func.count()).select_from(CUBBYHOLES)
    return await database.read(lambda at: at.scalar(counted)) or 0


async def test_what_a_token_keeps_is_its_own(served: HostWorld) -> None:
    mine, other = await a_token(served), await a_token(served)
    body = {"path": "x", "list": "true", "nested": {"a": [1, None, "ü"]}}
    assert await served.call("POST", "cubbyhole/a/b", body, token=mine) == (204, None)
    status, answer = await served.call("GET", "cubbyhole/a/b", token=mine)
    assert (status, answer["data"]) == (200, body)
    for token in (other, ROOT_TOKEN):
        assert await served.call("GET", "cubbyhole/a/b", token=token) == (404, {"errors": []})
        assert (await served.call("LIST", "cubbyhole", token=token))[0] == 404
    assert await served.call("POST", "cubbyhole/a/b", {"v": 2}, token=mine) == (204, None)
    assert (await served.call("GET", "cubbyhole/a/b", token=mine))[1]["data"] == {"v": 2}


async def test_listing_and_deleting(served: HostWorld) -> None:
    for path in ("x", "x/y", "x/z/deep", "x-1", "w"):
        await served.call("POST", f"cubbyhole/{path}", {"a": 1})
    for path, keys in (("cubbyhole", ["w", "x", "x-1", "x/"]), ("cubbyhole/x/", ["y", "z/"])):
        status, answer = await served.call("LIST", path)
        assert (status, sorted(answer["data"]["keys"])) == (200, keys)
    assert await served.call("DELETE", "cubbyhole/x") == (204, None)
    assert await served.call("DELETE", "cubbyhole/x") == (204, None)
    assert (await served.call("GET", "cubbyhole/x"))[0] == 404
    assert (await served.call("GET", "cubbyhole/x/y"))[0] == 200


async def test_it_goes_with_the_token_however_that_ends(served: HostWorld) -> None:
    holders = [await a_token(served), await a_token(served), await a_token(served, no_parent=True)]
    for token in holders:
        await served.call("POST", "cubbyhole/x", {"a": 1}, token=token)
    assert await kept(served) == 3
    await served.call("POST", "auth/token/revoke-self", token=holders[0])
    await served.call("POST", "auth/token/revoke-orphan", {"token": holders[1]})
    assert await kept(served) == 1
    _, answer = await served.call("POST", "auth/token/lookup", {"token": holders[2]})
    await served.call("POST", "auth/token/revoke-accessor", {"accessor": answer["data"]["accessor"]})
    assert await kept(served) == 0


async def test_writing_while_the_token_ends_leaves_nothing(served: HostWorld) -> None:
    for _ in range(5):
        token = await a_token(served)
        writes = [served.call("POST", f"cubbyhole/{number}", {"a": 1}, token=token) for number in range(4)]
        await asyncio.gather(*writes, served.call("POST", "auth/token/revoke", {"token": token}))
    assert await kept(served) == 0


async def test_each_namespace_has_its_own(served: HostWorld) -> None:
    await served.call("POST", "sys/namespaces/team")
    await served.call("POST", "cubbyhole/x", {"where": "root"})
    await served.call("POST", "team/cubbyhole/x", {"where": "team"})
    assert (await served.call("GET", "cubbyhole/x"))[1]["data"] == {"where": "root"}
    assert (await served.call("GET", "team/cubbyhole/x"))[1]["data"] == {"where": "team"}
    assert (await served.call("DELETE", "sys/namespaces/team"))[0] == 200
    assert await kept(served) == 1


async def test_batch_tokens_have_none(served: HostWorld) -> None:
    token = await a_token(served, type="batch")
    for method, body in (("GET", None), ("POST", {"a": 1}), ("LIST", None), ("DELETE", None)):
        status, answer = await served.call(method, "cubbyhole/x", body, token=token)
        assert status == 400
        assert "service" in answer["errors"][0]


async def test_creating_and_updating_are_different_rights(served: HostWorld) -> None:
    policy = 'path "cubbyhole/*" { capabilities = ["create", "read"] }'
    await served.call("PUT", "sys/policies/acl/once", {"policy": policy})
    token = await a_token(served, policies=["once"], no_default_policy=True)
    assert (await served.call("POST", "cubbyhole/x", {"a": 1}, token=token))[0] == 204
    assert (await served.call("POST", "cubbyhole/x", {"a": 2}, token=token))[0] == 403
    assert (await served.call("GET", "cubbyhole/x", token=token))[1]["data"] == {"a": 1}


@pytest.mark.parametrize(("path", "body"), [("cubbyhole/x", {}), ("cubbyhole/" + "x" * 1025, {"a": 1})])
async def test_what_cannot_be_kept(served: HostWorld, path: str, body: dict[str, Any]) -> None:
    assert (await served.call("POST", path, body))[0] == 400


async def test_the_mount_cannot_be_taken_away(served: HostWorld) -> None:
    _, answer = await served.call("GET", "sys/mounts")
    assert answer["data"]["cubbyhole/"]["type"] == "cubbyhole"
    assert (await served.call("DELETE", "sys/mounts/cubbyhole"))[0] == 400
    assert (await served.call("POST", "sys/mounts/cubbyhole/x", {"type": "pki"}))[0] == 400
    assert (await served.call("POST", "sys/namespaces/cubbyhole"))[0] == 400
