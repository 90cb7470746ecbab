"""`approle` over the API: roles and their fields, secret ids, logging in, renewal."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from chancery.auth.approle.engine import AppRoleMethod
from chancery.auth.approle.tables import SECRET_IDS
from tests.support.auth_world import MovedClock
from tests.support.host_world import HostWorld, host_world

ROLE = "auth/approle/role/web"
LOGIN = "auth/approle/login"


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def world(tmp_path: Path, clock: MovedClock) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, clock=clock) as running:
        await _write(running, "sys/auth/approle", type="approle")
        await _write(running, ROLE, role_id="web-1", token_policies="p")
        yield running


async def _write(world: HostWorld, path: str, /, **fields: Any) -> Any:
    status, answer = await world.call("POST", path, fields)
    assert status in {200, 202, 204}, answer
    return answer["data"] if answer else None


async def _read(world: HostWorld, path: str) -> Any:
    status, answer = await world.call("GET", path)
    assert status == 200, answer
    return answer["data"]


async def _log_in(world: HostWorld, **fields: Any) -> tuple[int, Any]:
    status, answer = await world.call("POST", LOGIN, fields, token="")
    return status, answer["auth"] if status == 200 else answer["errors"][0]


async def _rows(world: HostWorld) -> int:
    count = select(func.count()).select_from(SECRET_IDS)
    return await world.host.base.database.read(lambda at: at.scalar(count) or 0)


async def test_roles_are_written_read_listed_and_deleted(world: HostWorld) -> None:
    assert await _read(world, ROLE) == {
        "bind_secret_id": True,
        "local_secret_ids": False,
        "secret_id_bound_cidrs": None,
        "secret_id_num_uses": 0,
        "secret_id_ttl": 0,
        "token_bound_cidrs": [],
        "token_explicit_max_ttl": 0,
        "token_max_ttl": 0,
        "token_no_default_policy": False,
        "token_num_uses": 0,
        "token_period": 0,
        "token_policies": ["p"],
        "token_ttl": 0,
        "token_type": "default",
    }
    await _write(world, "auth/approle/role/Old", policies="a,b", period="1h", secret_id_bound_cidrs="127.0.0.1/32")
    old = await _read(world, "auth/approle/role/oLD")
    assert (old["policies"], old["token_policies"], old["period"]) == (["a", "b"], ["a", "b"], 3600)
    assert old["secret_id_bound_cidrs"] == ["127.0.0.1/32"]
    assert (await world.call("LIST", "auth/approle/role"))[1]["data"]["keys"] == ["old", "web"]
    await world.call("DELETE", "auth/approle/role/old")
    assert (await world.call("GET", "auth/approle/role/old"))[0] == 404


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("web", {"local_secret_ids": True}, "only be modified during role creation"),
    ("web", {"bind_secret_id": False}, "at least one constraint"),
    ("web", {"secret_id_num_uses": -1}, "secret_id_num_uses cannot be negative"),
    ("web", {"secret_id_bound_cidrs": "x"}, "neither an IP address nor a network"),
    ("web", {"token_ttl": "2h", "token_max_ttl": "1h"}, "cannot be greater"),
    ("other", {"role_id": "web-1"}, "role_id already in use"),
    ("a b", {}, "letters, digits"),
    ("web/role-id", {}, "missing role_id"),
    ("web/token-ttl", {}, "missing token_ttl"),
    ("web/secret-id-num-uses", {"secret_id_num_uses": -1}, "cannot be negative"),
    ("web/secret-id", {"metadata": "bad"}, "metadata"),
    ("web/secret-id", {"metadata": "{bad"}, "JSON"),
    ("web/secret-id", {"num_uses": -5}, "num_uses cannot be negative"),
    ("web/secret-id", {"cidr_list": "x"}, "neither an IP address nor a network"),
    ("web/custom-secret-id", {}, "missing secret_id"),
]


async def test_what_is_refused(world: HostWorld) -> None:
    for path, fields, message in REFUSED:
        status, answer = await world.call("POST", f"auth/approle/role/{path}", fields)
        assert status == 400, (path, answer)
        assert message in answer["errors"][0]


FIELDS: list[tuple[str, str, Any, Any, Any]] = [
    ("bound-cidr-list", "bound_cidr_list", "10.0.0.0/8", ["10.0.0.0/8"], None),
    ("period", "token_period", "1h", 3600, 0),
    ("policies", "token_policies", "a,B", ["a", "b"], []),
    ("secret-id-bound-cidrs", "secret_id_bound_cidrs", ["127.0.0.1"], ["127.0.0.1/32"], None),
    ("secret-id-num-uses", "secret_id_num_uses", "5", 5, 0),
    ("secret-id-ttl", "secret_id_ttl", "10m", 600, 0),
    ("token-bound-cidrs", "token_bound_cidrs", "127.0.0.1/32,::1/128", ["127.0.0.1", "::1"], []),
    ("token-max-ttl", "token_max_ttl", "24h", 86400, 0),
    ("token-num-uses", "token_num_uses", 3, 3, 0),
    ("token-ttl", "token_ttl", "90m", 5400, 0),
    ("bind-secret-id", "bind_secret_id", "true", True, True),
]


async def test_every_field_has_a_path(world: HostWorld) -> None:
    for path, field, sent, shown, default in FIELDS:
        await _write(world, f"{ROLE}/{path}", **{field: sent})
        assert (await _read(world, f"{ROLE}/{path}"))[field] == shown
        assert (await world.call("DELETE", f"{ROLE}/{path}"))[0] == 204
        assert (await _read(world, f"{ROLE}/{path}"))[field] == default
    assert await _read(world, f"{ROLE}/local-secret-ids") == {"local_secret_ids": False}
    assert (await world.call("GET", "auth/approle/role/none/token-ttl"))[0] == 404


async def test_role_ids_are_unique_and_change(world: HostWorld) -> None:
    assert await _read(world, f"{ROLE}/role-id") == {"role_id": "web-1"}
    await _write(world, f"{ROLE}/role-id", role_id="web-2")
    secret = (await _write(world, f"{ROLE}/secret-id"))["secret_id"]
    assert (await _log_in(world, role_id="web-1", secret_id=secret))[0] == 400
    assert (await _log_in(world, role_id="web-2", secret_id=secret))[0] == 200
    await _write(world, "auth/approle/role/other", role_id="web-1")


async def test_a_login_with_role_id_and_secret_id(world: HostWorld) -> None:
    made = await _write(world, f"{ROLE}/secret-id", metadata=json.dumps({"host": "h1", "role_name": "forged"}))
    assert (made["secret_id_num_uses"], made["secret_id_ttl"]) == (0, 0)
    _, auth = await _log_in(world, role_id="web-1", secret_id=made["secret_id"])
    assert auth["policies"] == ["default", "p"]
    assert auth["metadata"] == {"host": "h1", "role_name": "web"}
    _, looked = await world.call("GET", "auth/token/lookup-self", token=auth["client_token"])
    assert looked["data"]["display_name"] == "approle"
    _, entity = await world.call("GET", f"identity/entity/id/{auth['entity_id']}")
    (alias,) = entity["data"]["aliases"]
    assert (alias["name"], alias["metadata"], alias["mount_type"]) == ("web-1", {"role_name": "web"}, "approle")


async def test_refusals_do_not_tell_which_half_was_wrong(world: HostWorld) -> None:
    await _write(world, f"{ROLE}/secret-id")
    unknown = await _log_in(world, role_id="web-9", secret_id="bad")
    assert unknown == await _log_in(world, role_id="web-1", secret_id="bad") == (400, "invalid role or secret ID")
    assert await _log_in(world, role_id="web-1") == (400, "missing secret_id")
    assert await _log_in(world) == (400, "missing role_id")


async def test_counted_uses_are_spent_exactly_once_each(world: HostWorld) -> None:
    await _write(world, ROLE, secret_id_num_uses=5)
    secret = (await _write(world, f"{ROLE}/secret-id"))["secret_id"]
    logins = [_log_in(world, role_id="web-1", secret_id=secret) for _ in range(12)]
    statuses = sorted([status for status, _ in await asyncio.gather(*logins)])
    assert statuses == [200] * 5 + [400] * 7
    assert await _rows(world) == 0


async def test_secret_ids_expire_and_are_tidied(world: HostWorld, clock: MovedClock) -> None:
    await _write(world, ROLE, secret_id_ttl="10m")
    secret = (await _write(world, f"{ROLE}/custom-secret-id", secret_id="chosen", ttl="1m"))["secret_id"]
    clock.advance(59)
    assert (await _log_in(world, role_id="web-1", secret_id=secret))[0] == 200
    clock.advance(2)
    assert (await _log_in(world, role_id="web-1", secret_id=secret))[0] == 400
    assert (await world.call("LIST", f"{ROLE}/secret-id"))[0] == 404
    assert (await world.call("POST", f"{ROLE}/secret-id/lookup", {"secret_id": secret}))[0] == 204
    await _write(world, f"{ROLE}/custom-secret-id", secret_id="chosen")
    clock.advance(601)
    mounted = world.host.structure.table.get("root", "auth/approle/")
    assert mounted is not None
    assert isinstance(mounted.engine, AppRoleMethod)
    (job,) = mounted.engine.jobs()
    assert job.wanted is not None
    assert await job.wanted(clock.now())
    await job.run(clock.now())
    assert await _rows(world) == 0
    assert not await job.wanted(clock.now())
    assert (await world.call("POST", "auth/approle/tidy/secret-id"))[0] == 202


async def test_a_role_limits_its_secret_ids(world: HostWorld) -> None:
    await _write(
        world,
        ROLE,
        secret_id_num_uses=2,
        secret_id_ttl="10m",
        secret_id_bound_cidrs="127.0.0.0/8",
        token_bound_cidrs="127.0.0.0/8",
    )
    for fields in (
        {"num_uses": 3},
        {"num_uses": 0},
        {"ttl": "11m"},
        {"ttl": 0},
        {"cidr_list": "10.0.0.0/8"},
        {"token_bound_cidrs": "0.0.0.0/0"},
    ):
        assert (await world.call("POST", f"{ROLE}/secret-id", fields))[0] == 400, fields
    made = await _write(world, f"{ROLE}/secret-id", num_uses=1, ttl="1m", cidr_list="127.0.0.1/32")
    assert (made["secret_id_num_uses"], made["secret_id_ttl"]) == (1, 60)


async def test_networks_bind_logins_and_tokens(world: HostWorld) -> None:
    foreign = (await _write(world, f"{ROLE}/secret-id", cidr_list="10.0.0.0/8", num_uses=1))["secret_id"]
    status, message = await _log_in(world, role_id="web-1", secret_id=foreign)
    assert (status, "unauthorized through CIDR" in message) == (400, True)
    bound = (await _write(world, f"{ROLE}/secret-id", token_bound_cidrs="10.0.0.0/8", num_uses=1))["secret_id"]
    assert await _log_in(world, role_id="web-1", secret_id=bound) == (403, "permission denied")
    assert await _rows(world) == 2  # refused for their address, no use was taken
    await _write(world, ROLE, secret_id_bound_cidrs="10.0.0.0/8")
    good = (await _write(world, f"{ROLE}/secret-id"))["secret_id"]
    assert (await _log_in(world, role_id="web-1", secret_id=good))[0] == 400


async def test_a_role_may_do_without_secret_ids(world: HostWorld) -> None:
    await _write(world, ROLE, bind_secret_id=False, secret_id_bound_cidrs="127.0.0.0/8")
    assert (await _log_in(world, role_id="web-1"))[0] == 200
    assert (await world.call("POST", f"{ROLE}/secret-id", {}))[0] == 400


async def test_secret_ids_are_looked_up_listed_and_destroyed(world: HostWorld) -> None:
    one = await _write(world, f"{ROLE}/secret-id", metadata={"k": "v"})
    two = await _write(world, f"{ROLE}/custom-secret-id", secret_id="two")
    assert (await world.call("POST", f"{ROLE}/custom-secret-id", {"secret_id": "two"}))[0] == 400
    _, listed = await world.call("LIST", f"{ROLE}/secret-id")
    assert listed["data"]["keys"] == sorted([one["secret_id_accessor"], two["secret_id_accessor"]])
    looked = await _write(world, f"{ROLE}/secret-id/lookup", secret_id=one["secret_id"])
    again = await _write(world, f"{ROLE}/secret-id-accessor/lookup", secret_id_accessor=one["secret_id_accessor"])
    assert looked == again
    assert (looked["metadata"], looked["expiration_time"]) == ({"k": "v"}, "0001-01-01T00:00:00Z")
    await _write(world, f"{ROLE}/secret-id/destroy", secret_id=one["secret_id"])
    by_accessor = f"{ROLE}/secret-id-accessor/destroy?secret_id_accessor={two['secret_id_accessor']}"
    assert (await world.call("DELETE", by_accessor))[0] == 204
    assert (await world.call("LIST", f"{ROLE}/secret-id"))[0] == 404
    status, _ = await world.call("POST", f"{ROLE}/secret-id-accessor/lookup", {"secret_id_accessor": "none"})
    assert status == 404


async def test_secret_ids_belong_to_one_role_and_die_with_it(world: HostWorld) -> None:
    await _write(world, "auth/approle/role/other", role_id="other-1")
    secret = (await _write(world, f"{ROLE}/custom-secret-id", secret_id="same"))["secret_id"]
    assert (await _log_in(world, role_id="other-1", secret_id=secret))[0] == 400
    await _write(world, "auth/approle/role/other/custom-secret-id", secret_id="same")
    await world.call("DELETE", ROLE)
    assert await _rows(world) == 1
    await _write(world, ROLE, role_id="web-1")
    assert (await _log_in(world, role_id="web-1", secret_id=secret))[0] == 400


async def test_renewal_needs_the_same_role(world: HostWorld) -> None:
    await _write(world, ROLE, token_ttl="1h", token_max_ttl="4h")
    secret = (await _write(world, f"{ROLE}/secret-id"))["secret_id"]
    _, auth = await _log_in(world, role_id="web-1", secret_id=secret)
    status, renewed = await world.call("POST", "auth/token/renew-self", {}, token=auth["client_token"])
    assert (status, renewed["auth"]["lease_duration"]) == (200, 3600)
    await world.call("DELETE", ROLE)
    await _write(world, ROLE, role_id="web-1")
    status, answer = await world.call("POST", "auth/token/renew-self", {}, token=auth["client_token"])
    assert (status, answer["errors"]) == (400, ['role "web" does not exist during renewal'])


async def test_lockout_only_where_a_mount_is_tuned_to(world: HostWorld) -> None:
    assert {(await _log_in(world, role_id="web-1", secret_id="bad"))[0] for _ in range(7)} == {400}
    await _write(world, "sys/auth/approle/tune", user_lockout_config={"lockout_threshold": 2})
    statuses = [(await _log_in(world, role_id="web-1", secret_id="bad"))[0] for _ in range(3)]
    assert statuses == [400, 403, 403]


async def test_disabling_erases_secret_ids(world: HostWorld) -> None:
    await _write(world, f"{ROLE}/secret-id")
    assert (await world.call("DELETE", "sys/auth/approle"))[0] == 204
    assert await _rows(world) == 0


async def test_secret_ids_can_be_wrapped(world: HostWorld) -> None:
    status, answer = await world.call("POST", f"{ROLE}/secret-id", {}, headers={"X-Vault-Wrap-TTL": "60"})
    assert (status, answer["data"]) == (200, None)
    status, opened = await world.call("POST", "sys/wrapping/unwrap", token=answer["wrap_info"]["token"])
    assert (await _log_in(world, role_id="web-1", secret_id=opened["data"]["secret_id"]))[0] == 200


async def test_secret_ids_are_nowhere_in_clear(world: HostWorld, tmp_path: Path) -> None:
    await _write(world, f"{ROLE}/custom-secret-id", secret_id="a-very-secret-text", metadata={"k": "sealed-metadata"})
    assert (await _log_in(world, role_id="web-1", secret_id="a-very-secret-text"))[0] == 200
    stored = b"".join([path.read_bytes() for path in await asyncio.to_thread(lambda: [*tmp_path.glob("chancery.db*")])])
    assert b"a-very-secret-text" not in stored
    assert b"sealed-metadata" not in stored
    assert b"web-1" not in stored
