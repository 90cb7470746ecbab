"""The paths below `auth/token/`: rules, shapes and words, as OpenBao was seen to answer where the two agree."""

from typing import Any

import pytest

from chancery.kit.errors import BadInput, Denied, NotFound
from chancery.kit.request import Operation, Reply
from tests.support.auth_world import DAY, World

HOUR = 3600
MAX = 32 * DAY

USER = 'path "auth/token/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
SUDO = 'path "auth/token/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'


@pytest.fixture
async def user(world: World) -> str:
    await world.policies.put("adm", USER)
    return (await world.create(policies=["adm"])).client_token


@pytest.fixture
async def sudoer(world: World) -> str:
    await world.policies.put("sud", SUDO)
    return (await world.create(policies=["sud"])).client_token


async def _look(world: World, token: str) -> dict[str, Any]:
    return dict((await world.write("auth/token/lookup", "", token=token)).data or {})


async def test_a_token_as_created_and_as_looked_up(world: World, user: str) -> None:
    auth = await world.create(user, ttl="1h", meta={"a": "b"}, display_name="Foo b$r_x-", policies=["adm"])
    assert auth.policies == auth.token_policies == ("adm", "default")
    assert (auth.lease_duration, auth.renewable, auth.orphan, auth.num_uses) == (HOUR, True, False, 0)
    assert (auth.token_type, auth.metadata, auth.entity_id) == ("service", {"a": "b"}, "")
    assert await _look(world, auth.client_token) == {
        "accessor": auth.accessor,
        "creation_time": 1795334400,
        "creation_ttl": HOUR,
        "display_name": "token-Foo-b-r-x",
        "entity_id": "",
        "expire_time": "2026-11-22T09:00:00Z",
        "explicit_max_ttl": 0,
        "id": auth.client_token,
        "issue_time": "2026-11-22T08:00:00Z",
        "meta": {"a": "b"},
        "num_uses": 0,
        "orphan": False,
        "path": "auth/token/create",
        "policies": ["adm", "default"],
        "renewable": True,
        "ttl": HOUR,
        "type": "service",
    }


async def test_root_as_looked_up(world: World) -> None:
    shown = await world.read("auth/token/lookup-self")
    assert (shown["policies"], shown["expire_time"], shown["ttl"]) == (["root"], None, 0)
    assert (shown["meta"], shown["orphan"], shown["renewable"], shown["creation_ttl"]) == (None, True, False, 0)


async def test_what_sudo_may(world: World, sudoer: str) -> None:
    assert (await world.create(sudoer, id="abcd")).client_token == "abcd"
    assert await world.refusal("auth/token/create", sudoer, id="abcd") == "cannot create a token with a duplicate ID"
    orphan = await world.create(sudoer, no_parent=True, policies=["other"])
    assert (orphan.orphan, orphan.policies) == (True, ("default", "other"))
    periodic = await world.create(sudoer, period="1h", ttl="30m")
    assert periodic.lease_duration == HOUR
    assert (await _look(world, periodic.client_token))["period"] == HOUR


async def test_absent_policies_are_warned_of(world: World) -> None:
    answer = await world.write("auth/token/create", policies=["nowhere"])
    assert answer.warnings == ['Policy "nowhere" does not exist']


async def test_root_tokens(world: World) -> None:
    forever = await world.create()
    assert (forever.policies, forever.lease_duration, forever.renewable) == (("root",), 0, False)
    alone = await world.create(policies=["root", "default"])
    assert alone.policies == ("root",)
    expiring = await world.create(ttl="1h")
    assert (expiring.lease_duration, expiring.renewable) == (HOUR, True)
    assert "expiring root tokens cannot create non-expiring" in await world.refusal(
        "auth/token/create", expiring.client_token
    )
    limited = await world.create(explicit_max_ttl="1h")
    assert limited.lease_duration == HOUR
    assert await world.refusal("auth/token/create", type="batch") == "batch tokens cannot be root tokens"


async def test_orphans_by_their_own_path(world: World, user: str) -> None:
    assert (await world.create(user, "create-orphan")).orphan
    message = await world.refusal("auth/token/create-orphan", user, policies=["other"])
    assert message == "child policies must be subset of parent"


async def test_who_cannot_have_children(world: World, sudoer: str) -> None:
    batch = await world.create(sudoer, type="batch")
    assert await world.refusal("auth/token/create", batch.client_token) == "batch tokens cannot create more tokens"
    counted = await world.create(sudoer, num_uses=2)
    for _ in range(2):
        message = await world.refusal("auth/token/create", counted.client_token)
        assert message == "restricted use token cannot generate child tokens"
    with pytest.raises(Denied):
        await world.write("auth/token/create", counted.client_token)


async def test_uses_count_down_and_the_last_one_still_sees_itself(world: World, user: str) -> None:
    counted = await world.create(user, num_uses=2)
    assert counted.num_uses == 2
    assert (await world.read("auth/token/lookup-self", counted.client_token))["num_uses"] == 1
    assert (await world.read("auth/token/lookup-self", counted.client_token))["num_uses"] == -1
    with pytest.raises(Denied):
        await world.read("auth/token/lookup-self", counted.client_token)


async def test_lookups_of_nothing(world: World) -> None:
    with pytest.raises(Denied, match="bad token"):
        await _look(world, "nope")
    assert await world.refusal("auth/token/lookup-accessor", accessor="nope") == "invalid accessor"
    assert await world.refusal("auth/token/lookup-accessor") == "missing accessor"


async def test_lookup_by_accessor_does_not_tell_the_token(world: World, user: str) -> None:
    child = await world.create(user)
    shown = (await world.write("auth/token/lookup-accessor", accessor=child.accessor)).data
    assert shown is not None
    assert (shown["accessor"], shown["id"]) == (child.accessor, "")


async def test_renewal(world: World, user: str) -> None:
    child = await world.create(user, ttl="1h")
    world.clock.advance(1800)
    renewed = await _renew(world, child.client_token, "2h")
    assert renewed.auth is not None
    assert (renewed.auth.lease_duration, renewed.auth.client_token) == (2 * HOUR, child.client_token)
    shown = await _look(world, child.client_token)
    assert (shown["ttl"], shown["creation_ttl"], shown["last_renewal_time"]) == (2 * HOUR, HOUR, 1795336200)
    assert shown["last_renewal"] == "2026-11-22T08:30:00Z"
    own = await world.write("auth/token/renew-self", child.client_token)
    assert own.auth is not None
    assert own.auth.lease_duration == 2 * HOUR
    capped = await world.write("auth/token/renew-self", child.client_token, increment="9000h")
    assert capped.auth is not None
    assert capped.auth.lease_duration == MAX - 1800
    assert "capped accordingly" in capped.warnings[0]
    by_accessor = await world.write("auth/token/renew-accessor", accessor=child.accessor)
    assert by_accessor.auth is not None
    assert by_accessor.auth.client_token == ""


async def _renew(world: World, token: str, increment: str) -> Reply:
    return await world.write("auth/token/renew", "", token=token, increment=increment)


async def test_periodic_tokens_live_as_long_as_they_are_renewed(world: World) -> None:
    periodic = await world.create(period="24h", policies=["default"])
    for _ in range(40):
        world.clock.advance(DAY - 1)
        answer = await world.write("auth/token/renew-self", periodic.client_token, increment="5h")
        assert answer.auth is not None
        assert answer.auth.lease_duration == DAY


async def test_nothing_outlives_its_explicit_maximum(world: World) -> None:
    token = await world.create(period="1h", explicit_max_ttl="90m", policies=["default"])
    world.clock.advance(3000)
    answer = await world.write("auth/token/renew-self", token.client_token)
    assert answer.auth is not None
    assert answer.auth.lease_duration == 5400 - 3000
    world.clock.advance(2400)
    with pytest.raises(Denied):
        await world.write("auth/token/renew-self", token.client_token)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"renewable": False}, "lease is not renewable"), ({"type": "batch"}, "batch tokens cannot be renewed")],
)
async def test_what_cannot_be_renewed(world: World, user: str, fields: dict[str, Any], message: str) -> None:
    child = await world.create(user, **fields)
    assert await world.refusal("auth/token/renew-self", child.client_token) == message


async def test_renewal_of_nothing(world: World) -> None:
    assert await world.refusal("auth/token/renew") == "missing token ID"
    with pytest.raises(BadInput, match="token not found"):
        await _renew(world, "nope", "1h")
    with pytest.raises(BadInput, match="lease is not renewable"):
        await _renew(world, world.root, "1h")
    assert await world.refusal("auth/token/renew-accessor", accessor="nope") == "invalid accessor"
    assert await world.refusal("auth/token/renew-self", increment="-5") == "lease is not renewable"


async def test_revocation(world: World, user: str) -> None:
    child = await world.create(user)
    grandchild = await world.create(child.client_token)
    answer = await world.send(Operation.UPDATE, "auth/token/revoke", user, {"token": child.client_token})
    assert answer is None
    for gone in (child, grandchild):
        with pytest.raises(Denied):
            await world.read("auth/token/lookup-self", gone.client_token)
    assert await world.send(Operation.UPDATE, "auth/token/revoke", user, {"token": "nope"}) is None
    assert await world.refusal("auth/token/revoke", user) == "missing token ID"
    assert await world.send(Operation.UPDATE, "auth/token/revoke-self", user) is None
    with pytest.raises(Denied):
        await world.read("auth/token/lookup-self", user)


async def test_revocation_by_accessor(world: World, user: str) -> None:
    child = await world.create(user)
    assert not (await world.write("auth/token/revoke-accessor", accessor=child.accessor)).warnings
    assert await world.find(child.client_token) is None
    again = await world.write("auth/token/revoke-accessor", accessor=child.accessor)
    assert again.warnings == ["No token found with this accessor"]
    assert await world.refusal("auth/token/revoke-accessor") == "missing accessor"


async def test_revoking_alone_needs_sudo_and_leaves_children(world: World, user: str) -> None:
    child = await world.create(user)
    with pytest.raises(Denied):
        await world.send(Operation.UPDATE, "auth/token/revoke-orphan", user, {"token": user})
    assert await world.send(Operation.UPDATE, "auth/token/revoke-orphan", world.root, {"token": user}) is None
    assert (await _look(world, child.client_token))["orphan"] is True
    with pytest.raises(BadInput, match="token to revoke not found"):
        await world.send(Operation.UPDATE, "auth/token/revoke-orphan", world.root, {"token": user})


async def test_batch_tokens_cannot_be_revoked(world: World, user: str) -> None:
    batch = await world.create(user, type="batch")
    assert await world.refusal("auth/token/revoke-self", batch.client_token) == "batch tokens cannot be revoked"


async def test_accessors_need_sudo(world: World, user: str) -> None:
    found = await world.list("auth/token/accessors")
    assert len(found) == 2
    with pytest.raises(Denied):
        await world.list("auth/token/accessors", user)


async def test_tidying_goes_on_in_the_background(world: World, user: str) -> None:
    await world.create(user, ttl="1h")
    world.clock.advance(2 * HOUR)
    assert (await world.write("auth/token/tidy")).status == 202
    await world.engine.stop()
    await world.tokens.tidy(world.now())
    assert len(await world.list("auth/token/accessors")) == 2


async def test_a_token_bound_to_networks(world: World) -> None:
    await world.write("auth/token/roles/near", token_bound_cidrs=["10.0.0.0/8"], allowed_policies=["default"])
    near = (await world.create("", "create/near")).client_token
    child_path = "auth/token/lookup-self"
    assert await world.send(Operation.READ, child_path, near, address="10.9.9.9") is not None
    with pytest.raises(Denied):
        await world.send(Operation.READ, child_path, near, address="192.168.0.1")


async def test_everything_of_an_absent_path_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.read("auth/token/nothing")
