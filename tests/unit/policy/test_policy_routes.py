"""`sys/policy`, `sys/policies/acl`, `sys/capabilities*` and `sys/internal/ui/resultant-acl`, as clients see them."""

import base64
from typing import Any

import pytest

from chancery.kit.errors import BadInput, Denied, NotFound
from chancery.kit.request import Operation, Reply
from tests.support.auth_world import World

TEXT = """
path "exact"     { capabilities = ["read", "list"] }
path "/secret/*" { capabilities = ["create", "sudo"] }
path "secret/+/b" { capabilities = ["update"] }
path "no"        { capabilities = ["deny"] }
path "limited"   { capabilities = ["update"] allowed_parameters = { "a" = ["x*"] } denied_parameters = { "b" = [] }
                   required_parameters = ["c"] min_wrapping_ttl = "10s" }
"""


async def _read(world: World, path: str) -> Reply:
    answer = await world.send(Operation.READ, path, world.root)
    assert isinstance(answer, Reply)
    return answer


@pytest.mark.parametrize("path", ["sys/policies/acl", "sys/policy"])
async def test_a_policy_is_written_read_listed_and_deleted(world: World, path: str) -> None:
    field = "policy" if path == "sys/policies/acl" else "rules"
    assert await world.send(Operation.UPDATE, f"{path}/My-Team", world.root, {"policy": TEXT}) is None
    answer = await _read(world, f"{path}/MY-team")
    assert answer.data == {"name": "my-team", field: TEXT}
    assert answer.flat is (path == "sys/policy")
    assert await world.list(path) == ["default", "my-team", "root"]
    assert await world.send(Operation.DELETE, f"{path}/my-team", world.root) is None
    assert await world.send(Operation.DELETE, f"{path}/my-team", world.root) is None
    with pytest.raises(NotFound):
        await _read(world, f"{path}/my-team")


async def test_the_old_list_has_two_names_for_one_thing(world: World) -> None:
    answer = await _read(world, "sys/policy")
    assert answer.flat
    assert answer.data == {"keys": ["default", "root"], "policies": ["default", "root"]}


async def test_names_may_have_slashes(world: World) -> None:
    await world.write("sys/policies/acl/a/b", policy=TEXT)
    assert (await _read(world, "sys/policies/acl/a/b")).data == {"name": "a/b", "policy": TEXT}


async def test_a_text_may_come_in_base64(world: World) -> None:
    await world.write("sys/policies/acl/p", policy=base64.b64encode(TEXT.encode()).decode())
    assert await world.policies.get("p") == TEXT


async def test_old_and_missing_fields(world: World) -> None:
    answer = await world.write("sys/policy/p", rules=TEXT)
    assert answer.warnings == ["'rules' is deprecated, please use 'policy' instead"]
    for path in ("sys/policy/p", "sys/policies/acl/p"):
        assert await world.refusal(path) == "'policy' parameter not supplied or empty"
    assert await world.refusal("sys/policies/acl/p", rules=TEXT) == "'policy' parameter not supplied or empty"


async def test_doubtful_wildcards_are_warned_of(world: World) -> None:
    answer = await world.write("sys/policies/acl/p", policy='path "a*b" { capabilities = ["deny"] }')
    assert 'path "a*b"' in answer.warnings[0]


async def test_capabilities_of_a_token(world: World) -> None:
    await world.policies.put("p", TEXT)
    made = await world.make(policies=("p",))
    paths = {
        "exact": ["list", "read"],
        "/secret/a": ["create", "sudo"],
        "secret/a/b": ["update"],
        "no": ["deny"],
        "nothing": ["deny"],
    }
    for path, fields in (
        ("sys/capabilities", {"token": made.token}),
        ("sys/capabilities-accessor", {"accessor": made.entry.accessor}),
    ):
        answer = await world.send(Operation.UPDATE, path, world.root, {**fields, "paths": list(paths)})
        assert isinstance(answer, Reply)
        assert answer.flat
        assert answer.data == paths


async def test_one_path_is_answered_twice(world: World) -> None:
    answer = await world.write("sys/capabilities-self", path="anything")
    assert answer.data == {"anything": ["root"], "capabilities": ["root"]}
    several = await world.write("sys/capabilities-self", path="a,b")
    assert several.data == {"a": ["root"], "b": ["root"]}


async def test_default_lets_everybody_ask_about_themselves(world: World) -> None:
    token = (await world.make()).token
    answer = await world.write("sys/capabilities-self", token, paths=["auth/token/lookup-self"])
    assert (answer.data or {})["capabilities"] == ["read"]
    with pytest.raises(Denied):
        await world.write("sys/capabilities", token, paths=["x"])


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("capabilities-self", {}, "paths must be supplied"),
        ("capabilities", {"token": "nope", "paths": ["x"]}, "invalid token"),
        ("capabilities-accessor", {"paths": ["x"]}, "missing accessor"),
        ("capabilities-accessor", {"accessor": "nope", "paths": ["x"]}, "invalid accessor"),
    ],
)
async def test_refusals(world: World, path: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        await world.send(Operation.UPDATE, f"sys/{path}", world.root, fields)
    assert caught.value.message == message


async def test_the_resultant_acl(world: World) -> None:
    assert (await _read(world, "sys/internal/ui/resultant-acl")).data == {"root": True}
    await world.policies.put("p", TEXT)
    token = (await world.make(policies=("default", "p"))).token
    shown = await world.read("sys/internal/ui/resultant-acl", token)
    assert shown["root"] is False
    assert shown["exact_paths"]["no"] == {"capabilities": ["deny"]}
    assert shown["exact_paths"]["auth/token/lookup-self"] == {"capabilities": ["read"]}
    assert shown["exact_paths"]["limited"] == {
        "capabilities": ["update"],
        "allowed_parameters": {"a": ["x*"]},
        "denied_parameters": {"b": []},
        "required_parameters": ["c"],
        "min_wrapping_ttl": 10,
    }
    assert shown["glob_paths"]["secret/"] == {"capabilities": ["create", "sudo"]}
    assert shown["glob_paths"]["secret/+/b"] == {"capabilities": ["update"]}
