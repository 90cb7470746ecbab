"""`userpass` over the API: users, logging in, lockout, renewal, and what ends with the user or the mount."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.support.auth_world import MovedClock
from tests.support.host_world import HostWorld, host_world

LOGIN = "auth/userpass/login"


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def world(tmp_path: Path, clock: MovedClock) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, clock=clock) as running:
        assert (await running.call("POST", "sys/auth/userpass", {"type": "userpass"}))[0] == 204
        await _write(running, "auth/userpass/users/bob", password="pw", token_policies="a,B", token_ttl="1h")
        yield running


async def _write(world: HostWorld, path: str, /, **fields: Any) -> Any:
    status, answer = await world.call("POST", path, fields)
    assert status in {200, 204}, answer
    return answer


async def _login(world: HostWorld, name: str = "bob", password: str = "pw", mount: str = "userpass") -> Any:
    status, answer = await world.call("POST", f"auth/{mount}/login/{name}", {"password": password}, token="")
    assert status == 200, answer
    return answer["auth"]


async def _refusal(world: HostWorld, name: str = "bob", password: str = "wrong") -> tuple[int, str]:
    status, answer = await world.call("POST", f"{LOGIN}/{name}", {"password": password}, token="")
    return status, answer["errors"][0]


async def test_users_are_written_read_listed_and_deleted(world: HostWorld) -> None:
    path = "auth/userpass/users/carol"
    assert (await world.call("POST", path, {}))[1]["errors"] == ["must provide either password or password_hash"]
    await _write(world, path, password="x", policies="p", ttl="1h", max_ttl=7200, bound_cidrs="127.0.0.1/32")
    _, read = await world.call("GET", path)
    assert read["data"] == {
        "bound_cidrs": ["127.0.0.1"],
        "max_ttl": 7200,
        "policies": ["p"],
        "token_bound_cidrs": ["127.0.0.1"],
        "token_explicit_max_ttl": 0,
        "token_max_ttl": 7200,
        "token_no_default_policy": False,
        "token_num_uses": 0,
        "token_period": 0,
        "token_policies": ["p"],
        "token_ttl": 3600,
        "token_type": "default",
        "ttl": 3600,
    }
    await _write(world, path, token_policies="q")
    _, read = await world.call("GET", "auth/userpass/users/CAROL")
    assert read["data"]["token_policies"] == ["q"]
    assert "policies" not in read["data"]
    assert (await world.call("LIST", "auth/userpass/users"))[1]["data"] == {"keys": ["bob", "carol"]}
    assert (await world.call("DELETE", path))[0] == 204
    assert (await world.call("GET", path))[0] == 404


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"token_ttl": "4h", "token_max_ttl": "1h"}, "'token_ttl' cannot be greater than 'token_max_ttl'"),
    ({"token_ttl": "-4h"}, "negative"),
    ({"token_num_uses": -1}, "'token_num_uses' cannot be negative"),
    ({"token_type": "foo"}, "invalid 'token_type' value"),
    ({"token_bound_cidrs": "foo"}, "neither an IP address nor a network"),
    ({"token_type": "batch", "token_period": "1h"}, "cannot be 'batch'"),
    ({"token_type": "default-batch", "token_num_uses": 1}, "cannot be 'batch'"),
    ({"password_hash": "$2a$10$abc"}, "bcrypt"),
    ({"password_hash": "$2a$31$" + "a" * 53}, "cost"),
    ({"password_hash": "$argon2id$v=19$m=9999999,t=2,p=1$" + "A" * 22 + "$" + "A" * 43}, "MiB"),
    ({"password_hash": "x", "password": "y"}, "only one of password or password_hash"),
    ({"password": "x" * 1025}, "1024"),
]


async def test_what_no_user_can_have(world: HostWorld) -> None:
    for fields, message in REFUSED:
        status, answer = await world.call("POST", "auth/userpass/users/bob", fields)
        assert status == 400
        assert message in answer["errors"][0]


async def test_a_login_makes_a_token_and_an_entity(world: HostWorld) -> None:
    auth = await _login(world)
    assert auth["policies"] == auth["token_policies"] == ["a", "b", "default"]
    assert auth["metadata"] == {"username": "bob"}
    assert (auth["lease_duration"], auth["renewable"], auth["orphan"]) == (3600, True, True)
    _, looked = await world.call("GET", "auth/token/lookup-self", token=auth["client_token"])
    assert looked["data"]["display_name"] == "userpass-bob"
    assert looked["data"]["path"] == "auth/userpass/login/bob"
    assert looked["data"]["entity_id"] == auth["entity_id"]
    again = await _login(world, "BOB")
    assert again["entity_id"] == auth["entity_id"]
    assert again["client_token"] != auth["client_token"]


GRANTED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"token_period": "30m"}, {"lease_duration": 1800}),
    ({"token_ttl": "9000h"}, {"lease_duration": 768 * 3600}),
    ({"token_ttl": 0, "token_max_ttl": "2h"}, {"lease_duration": 7200}),
    ({"token_num_uses": 3}, {"num_uses": 3}),
    ({"token_type": "batch"}, {"token_type": "batch", "accessor": "", "renewable": False}),
    ({"token_no_default_policy": True}, {"policies": ["a", "b"]}),
]


async def test_token_settings_show_on_tokens(world: HostWorld) -> None:
    for number, (fields, expected) in enumerate(GRANTED):
        await _write(world, f"auth/userpass/users/u{number}", password="pw", token_policies="a,b", **fields)
        auth = await _login(world, f"u{number}")
        assert {name: auth[name] for name in expected} == expected, fields


async def test_logins_cannot_give_root(world: HostWorld) -> None:
    await _write(world, "auth/userpass/users/bob/policies", token_policies="root")
    assert await _refusal(world, password="pw") == (400, "auth methods cannot create root tokens")


async def test_foreign_addresses_are_denied_even_with_the_password(world: HostWorld) -> None:
    await _write(world, "auth/userpass/users/bob", token_bound_cidrs="10.0.0.0/8")
    assert await _refusal(world, password="pw") == (403, "permission denied")


@pytest.mark.parametrize("name", ["bob", "nobody"])
async def test_five_failures_lock_a_name_for_fifteen_minutes(world: HostWorld, clock: MovedClock, name: str) -> None:
    for _ in range(4):
        assert await _refusal(world, name) == (400, "invalid username or password")
    assert await _refusal(world, name) == (403, "permission denied")
    assert await _refusal(world, name, "pw") == (403, "permission denied")
    assert await _refusal(world, name.upper(), "pw") == (403, "permission denied")
    _, locked = await world.call("GET", "sys/locked-users")
    (mount,) = locked["data"]["by_namespace"][0]["mount_accessors"]
    assert (locked["data"]["total"], mount["alias_identifiers"]) == (1, [name])
    clock.advance(15 * 60)
    assert (await world.call("GET", "sys/locked-users"))[1]["data"]["total"] == 0
    if name == "bob":
        await _login(world)


async def test_a_success_and_time_forgive_failures(world: HostWorld, clock: MovedClock) -> None:
    for _ in range(4):
        await _refusal(world)
    await _login(world)
    for _ in range(4):
        assert (await _refusal(world))[0] == 400
    clock.advance(15 * 60)
    for _ in range(4):
        assert (await _refusal(world))[0] == 400


async def test_an_operator_unlocks_a_name(world: HostWorld) -> None:
    for _ in range(5):
        await _refusal(world)
    _, mounts = await world.call("GET", "sys/auth")
    accessor = mounts["data"]["userpass/"]["accessor"]
    assert (await world.call("POST", f"sys/locked-users/{accessor}/unlock/bob", {}))[0] == 204
    await _login(world)


async def test_lockout_is_tuned_a_mount(world: HostWorld, clock: MovedClock) -> None:
    config = {"lockout_threshold": "2", "lockout_duration": "1m", "lockout_counter_reset_duration": "30s"}
    await _write(world, "sys/auth/userpass/tune", user_lockout_config=config)
    _, tuned = await world.call("GET", "sys/auth/userpass/tune")
    assert tuned["data"]["user_lockout_threshold"] == 2
    assert tuned["data"]["user_lockout_duration"] == 60
    await _refusal(world)
    clock.advance(31)
    assert (await _refusal(world))[0] == 400
    assert (await _refusal(world))[0] == 403
    clock.advance(61)
    await _login(world)
    await _write(world, "sys/auth/userpass/tune", user_lockout_config={"lockout_disable": True})
    assert {(await _refusal(world))[0] for _ in range(6)} == {400}


async def test_renewal_asks_whether_the_user_is_still_the_same(world: HostWorld, clock: MovedClock) -> None:
    token = (await _login(world))["client_token"]
    clock.advance(1800)
    renewed = await _write(world, "auth/token/renew", token=token)
    assert renewed["auth"]["lease_duration"] == 3600
    await _write(world, "auth/userpass/users/bob", token_max_ttl="1h")
    renewed = await _write(world, "auth/token/renew", token=token, increment="5h")
    assert renewed["auth"]["lease_duration"] == 1800
    await _write(world, "auth/userpass/users/bob/policies", policies="other")
    status, answer = await world.call("POST", "auth/token/renew", {"token": token})
    assert (status, answer["errors"]) == (400, ["policies have changed, not renewing"])
    await world.call("DELETE", "auth/userpass/users/bob")
    status, answer = await world.call("POST", "auth/token/renew", {"token": token})
    assert (status, answer["errors"]) == (400, ["the user is gone, not renewing"])


async def test_passwords_change(world: HostWorld) -> None:
    await _write(world, "auth/userpass/users/bob/password", password="new")
    assert (await _refusal(world, password="pw"))[0] == 400
    await _login(world, password="new")
    status, answer = await world.call("POST", "auth/userpass/users/none/password", {"password": "x"})
    assert (status, answer["errors"]) == (400, ["username does not exist"])


async def test_hashes_of_other_servers_are_taken_and_replaced(world: HostWorld) -> None:
    ready = bcrypt.hashpw(b"old", bcrypt.gensalt(4)).decode()
    await _write(world, "auth/userpass/users/eve", password_hash=ready)
    assert (await _refusal(world, "eve"))[0] == 400
    for _ in range(2):
        await _login(world, "eve", "old")
    assert (await _refusal(world, "eve"))[0] == 400


@pytest.mark.parametrize("kind", ["service", "batch"])
async def test_disabling_the_mount_ends_its_tokens(world: HostWorld, kind: str) -> None:
    await _write(world, "sys/auth/userpass/tune", token_type=kind)
    token = (await _login(world))["client_token"]
    assert (await world.call("GET", "auth/token/lookup-self", token=token))[0] == 200
    assert (await world.call("DELETE", "sys/auth/userpass"))[0] == 204
    assert (await world.call("GET", "auth/token/lookup-self", token=token))[0] == 403
    assert (await world.call("POST", f"{LOGIN}/bob", {"password": "pw"}, token=""))[0] in {403, 404}
    await _write(world, "sys/auth/userpass", type="userpass")
    assert (await world.call("GET", "auth/token/lookup-self", token=token))[0] == 403
    assert (await world.call("LIST", "auth/userpass/users"))[0] == 404


async def test_a_disabled_or_deleted_entity_ends_its_tokens(world: HostWorld) -> None:
    auth = await _login(world)
    path = f"identity/entity/id/{auth['entity_id']}"
    await _write(world, path, disabled=True)
    assert (await world.call("GET", "auth/token/lookup-self", token=auth["client_token"]))[0] == 403
    assert await _refusal(world, password="pw") == (403, "permission denied")
    await _write(world, path, disabled=False)
    assert (await world.call("GET", "auth/token/lookup-self", token=auth["client_token"]))[0] == 200
    await world.call("DELETE", path)
    assert (await world.call("GET", "auth/token/lookup-self", token=auth["client_token"]))[0] == 403
    assert (await _login(world))["entity_id"] != auth["entity_id"]


async def test_secrets_of_users_are_never_shown(world: HostWorld) -> None:
    _, read = await world.call("GET", "auth/userpass/users/bob")
    assert "argon2id" not in str(read)
    assert "password" not in str(read)
