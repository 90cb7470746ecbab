"""Wrapped answers over HTTP: once, by whom they are for, and what everybody else is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.auth_world import MovedClock
from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world

WRAP = {"X-Vault-Wrap-TTL": "60s"}
INVALID = (400, {"errors": ["wrapping token is not valid or does not exist"]})
UNWRAP = "sys/wrapping/unwrap"


@pytest.fixture
async def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def served(tmp_path: Path, clock: MovedClock) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, clock=clock) as world:
        yield world


async def wrapped(served: HostWorld, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
    status, answer = await served.call(method, path, body, headers=WRAP | options.pop("headers", {}), **options)
    assert status == 200, answer
    info: dict[str, Any] = answer["wrap_info"]
    assert answer["data"] is None
    assert answer["auth"] is None
    return info


async def a_token(served: HostWorld, **wishes: Any) -> str:
    _, answer = await served.call("POST", "auth/token/create", wishes)
    token: str = answer["auth"]["client_token"]
    return token


async def test_an_answer_is_handed_out_once(served: HostWorld) -> None:
    info = await wrapped(served, "POST", "sys/wrapping/wrap", {"token": "x", "b": [1]})
    assert (info["ttl"], info["creation_path"]) == (60, "sys/wrapping/wrap")
    status, answer = await served.call("POST", UNWRAP, token=info["token"])
    assert (status, answer["data"]) == (200, {"token": "x", "b": [1]})
    assert await served.call("POST", UNWRAP, token=info["token"]) == INVALID


async def test_another_token_may_unwrap_if_its_policies_say_so(served: HostWorld) -> None:
    info = await wrapped(served, "LIST", "sys/policies/acl")
    assert info["creation_path"] == "sys/policies/acl/"
    nobody = await a_token(served, policies=["nothing"], no_default_policy=True)
    named = {"token": info["token"]}
    for caller in ("", "unknown", nobody):
        assert (await served.call("POST", UNWRAP, named, token=caller))[0] == 403
    member = await a_token(served, policies=["default"])
    status, answer = await served.call("PUT", UNWRAP, named, token=member)
    assert (status, answer["data"]["keys"]) == (200, ["default", "root"])
    assert await served.call("PUT", UNWRAP, named, token=member) == INVALID


@pytest.mark.parametrize("by_header", [True, False])
async def test_of_many_who_unwrap_at_once_one_gets_the_answer(served: HostWorld, by_header: bool) -> None:
    info = await wrapped(served, "POST", "sys/wrapping/wrap", {"a": 1})
    body, token = (None, info["token"]) if by_header else ({"token": info["token"]}, ROOT_TOKEN)
    answers = await asyncio.gather(*(served.call("POST", UNWRAP, body, token=token) for _ in range(12)))
    assert [status for status, _ in answers].count(200) == 1
    assert {status for status, _ in answers} <= {200, 400, 403}


async def test_a_wrapping_token_is_for_nothing_else(served: HostWorld) -> None:
    for method, path in (("GET", "auth/token/lookup-self"), ("POST", "sys/wrapping/rewrap"), ("LIST", "cubbyhole")):
        info = await wrapped(served, "POST", "sys/wrapping/wrap", {"a": 1})
        assert (await served.call(method, path, token=info["token"]))[0] == 403
        assert await served.call("POST", UNWRAP, token=info["token"]) == INVALID, "its use is spent"


async def test_looking_does_not_take(served: HostWorld) -> None:
    info = await wrapped(served, "POST", "sys/wrapping/wrap", {"a": 1})
    named = {"token": info["token"]}
    shown = {"creation_path": "sys/wrapping/wrap", "creation_time": info["creation_time"], "creation_ttl": 60}
    for method, body, token in (("POST", named, ""), ("GET", None, info["token"]), ("POST", named, ROOT_TOKEN)):
        status, answer = await served.call(method, "sys/wrapping/lookup", body, token=token)
        assert (status, answer["data"]) == (200, shown)
    _, answer = await served.call("POST", "auth/token/lookup", named)
    assert answer["data"]["num_uses"] == 1
    assert answer["data"]["policies"] == ["response-wrapping"]
    assert (await served.call("POST", UNWRAP, named))[0] == 200
    assert await served.call("POST", "sys/wrapping/lookup", named) == INVALID


async def test_rewrapping_moves_the_answer_to_a_token_with_a_full_life(served: HostWorld, clock: MovedClock) -> None:
    old = await wrapped(served, "LIST", "sys/policies/acl")
    clock.advance(50)
    status, answer = await served.call("POST", "sys/wrapping/rewrap", {"token": old["token"]})
    new = answer["wrap_info"]
    assert (status, new["ttl"], new["creation_path"]) == (200, 60, old["creation_path"])
    assert await served.call("POST", UNWRAP, {"token": old["token"]}) == INVALID
    clock.advance(50)
    status, answer = await served.call("POST", UNWRAP, token=new["token"])
    assert (status, answer["data"]["keys"]) == (200, ["default", "root"])


async def test_two_who_rewrap_at_once_make_one_token(served: HostWorld) -> None:
    old = await wrapped(served, "POST", "sys/wrapping/wrap", {"a": 1})
    named = {"token": old["token"]}
    answers = await asyncio.gather(*(served.call("POST", "sys/wrapping/rewrap", named) for _ in range(6)))
    assert [status for status, _ in answers].count(200) == 1


async def test_an_answer_that_nobody_fetched_is_gone(served: HostWorld, clock: MovedClock) -> None:
    info = await wrapped(served, "POST", "sys/wrapping/wrap", {"a": 1})
    clock.advance(60)
    assert await served.call("POST", UNWRAP, token=info["token"]) == INVALID


@pytest.mark.parametrize("token", ["nonsense", ROOT_TOKEN, "hvs.x" * 20, 7, ["x"], None])
async def test_what_is_no_wrapping_token(served: HostWorld, token: Any) -> None:
    for path in ("unwrap", "rewrap", "lookup"):
        status, answer = await served.call("POST", f"sys/wrapping/{path}", {"token": token})
        assert status == 400, path
        assert answer["errors"][0].startswith(("wrapping token is not valid", "token: "))


async def test_a_new_token_waits_with_its_accessor_shown(served: HostWorld) -> None:
    info = await wrapped(served, "POST", "auth/token/create", {"policies": ["default"]})
    _, answer = await served.call("POST", UNWRAP, token=info["token"])
    assert info["wrapped_accessor"] == answer["auth"]["accessor"]
    assert (await served.call("GET", "auth/token/lookup-self", token=answer["auth"]["client_token"]))[0] == 200


async def test_answers_that_are_not_json_wait_as_they_are(served: HostWorld) -> None:
    await served.call("POST", "sys/mounts/pki", {"type": "pki"})
    await served.call("POST", "pki/root/generate/internal", {"common_name": "r", "key_type": "ec"})
    for path in ("pki/ca", "pki/ca/pem"):
        async with served.client.get(f"{served.address}/v1/{path}") as plain:
            body, content_type = await plain.read(), plain.content_type
        info = await wrapped(served, "GET", path)
        headers = {"X-Vault-Token": info["token"]}
        async with served.client.post(f"{served.address}/v1/{UNWRAP}", headers=headers) as answer:
            assert (await answer.read(), answer.content_type) == (body, content_type)


async def test_an_unwrapped_answer_can_be_wrapped_again(served: HostWorld) -> None:
    first = await wrapped(served, "POST", "sys/wrapping/wrap", {"a": 1})
    second = await wrapped(served, "POST", UNWRAP, {"token": first["token"]})
    assert second["creation_path"] == UNWRAP
    _, answer = await served.call("POST", UNWRAP, token=second["token"])
    assert answer["data"] == {"a": 1}


async def test_what_has_nothing_to_hide_is_not_wrapped(served: HostWorld) -> None:
    assert (await served.call("PUT", "sys/policies/acl/p", {"policy": 'path "a" {}'}, headers=WRAP))[0] == 204
    _, answer = await served.call("GET", "sys/health", headers=WRAP)
    assert answer["initialized"]
    assert (await served.call("GET", "sys/policies/acl/none", headers=WRAP))[0] == 404


@pytest.mark.parametrize("ttl", ["abc", "-5", "-1s", "500ms"])
async def test_wrapping_must_make_sense(served: HostWorld, ttl: str) -> None:
    status, _ = await served.call("POST", "sys/wrapping/wrap", {"a": 1}, headers={"X-Vault-Wrap-TTL": ttl})
    assert status == 400
    for headers in ({}, {"X-Vault-Wrap-TTL": "0"}, {"X-Vault-Wrap-TTL": "0s"}):
        status, answer = await served.call("POST", "sys/wrapping/wrap", {"a": 1}, headers=headers)
        assert (status, answer["errors"]) == (400, ["endpoint requires response wrapping to be used"])


async def test_tokens_as_jwt_are_refused_before_anything_happens(served: HostWorld) -> None:
    headers = WRAP | {"X-Vault-Wrap-Format": "JWT"}
    status, answer = await served.call("POST", "auth/token/create", {}, headers=headers)
    assert status == 400
    assert "X-Vault-Wrap-Format" in answer["errors"][0]
    _, accessors = await served.call("LIST", "auth/token/accessors")
    assert len(accessors["data"]["keys"]) == 1


async def test_policies_can_demand_wrapping(served: HostWorld) -> None:
    policy = (
        'path "cubbyhole/*" { capabilities = ["read", "create"] min_wrapping_ttl = "10s" max_wrapping_ttl = "90s" }'
    )
    await served.call("PUT", "sys/policies/acl/wrapped", {"policy": policy})
    token = await a_token(served, policies=["wrapped"], no_default_policy=True)
    verdicts = []
    for ttl in ("", "9s", "10s", "90s", "91s"):
        status, _ = await served.call("GET", "cubbyhole/x", token=token, headers={"X-Vault-Wrap-TTL": ttl})
        verdicts.append(status)
    assert verdicts == [403, 403, 404, 404, 403]


async def test_wrapping_tokens_belong_to_one_namespace(served: HostWorld) -> None:
    await served.call("POST", "sys/namespaces/team")
    info = await wrapped(served, "POST", "sys/wrapping/wrap", {"a": 1}, headers={"X-Vault-Namespace": "team"})
    named = {"token": info["token"]}
    for path, body, token in ((UNWRAP, named, ROOT_TOKEN), (UNWRAP, None, info["token"])):
        assert await served.call("POST", path, body, token=token) == INVALID
    _, answer = await served.call("POST", f"team/{UNWRAP}", token=info["token"])
    assert answer["data"] == {"a": 1}


async def test_the_policy_of_wrapping_tokens_is_nobody_elses(served: HostWorld) -> None:
    assert (await served.call("POST", "auth/token/create", {"policies": ["response-wrapping"]}))[0] == 400
    text = {"policy": 'path "*" { capabilities = ["sudo"] }'}
    assert (await served.call("PUT", "sys/policies/acl/response-wrapping", text))[0] == 400
    assert (await served.call("DELETE", "sys/policies/acl/Response-Wrapping"))[0] == 400
    _, answer = await served.call("LIST", "sys/policies/acl")
    assert "response-wrapping" not in answer["data"]["keys"]


async def test_wrapped_answers_survive_a_restart_sealed(tmp_path: Path) -> None:
    async with host_world(tmp_path) as served:
        info = await wrapped(served, "POST", "sys/wrapping/wrap", {"pin": "hush-hush-1234"})
        await served.host.seal()
        database = tmp_path / "chancery.db"
        stored = await asyncio.to_thread(
            lambda: b"".join(path.read_bytes() for path in tmp_path.glob(f"{database.name}*"))
        )
        assert b"hush-hush-1234" not in stored
        assert info["token"].encode() not in stored
        await served.host.unseal(served.unseal_key)
        _, answer = await served.call("POST", UNWRAP, token=info["token"])
        assert answer["data"] == {"pin": "hush-hush-1234"}
