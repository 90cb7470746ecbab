"""Token roles: what they keep, refuse, and make of requests for tokens."""

import pytest

from chancery.kit.errors import NotFound
from tests.support.auth_world import DAY, World

HOUR = 3600
ROLES = "auth/token/roles"

USER = 'path "auth/token/*" { capabilities = ["create", "read", "update", "list"] }'


@pytest.fixture
async def user(world: World) -> str:
    await world.policies.put("adm", USER)
    return (await world.create(policies=["adm"])).client_token


async def test_an_empty_role_reads_as_vaults_does(world: World) -> None:
    await world.write(f"{ROLES}/r1")
    assert await world.read(f"{ROLES}/r1") == {
        "allowed_entity_aliases": None,
        "allowed_policies": [],
        "allowed_policies_glob": [],
        "disallowed_policies": [],
        "disallowed_policies_glob": [],
        "explicit_max_ttl": 0,
        "name": "r1",
        "orphan": False,
        "path_suffix": "",
        "period": 0,
        "renewable": True,
        "token_explicit_max_ttl": 0,
        "token_no_default_policy": False,
        "token_period": 0,
        "token_type": "default-service",
    }


async def test_old_names_set_the_new_ones(world: World) -> None:
    await world.write(f"{ROLES}/r", period="1h", explicit_max_ttl="9h", bound_cidrs="127.0.0.1/32", token_num_uses="4")
    read = await world.read(f"{ROLES}/r")
    assert (read["period"], read["token_period"]) == (HOUR, HOUR)
    assert (read["explicit_max_ttl"], read["token_explicit_max_ttl"]) == (9 * HOUR, 9 * HOUR)
    assert (read["bound_cidrs"], read["token_bound_cidrs"]) == (["127.0.0.1"], ["127.0.0.1"])
    assert read["token_num_uses"] == 4
    both = await world.write(f"{ROLES}/r", period="2h", token_period="3h")
    assert "ignoring the deprecated value" in both.warnings[0]
    read = await world.read(f"{ROLES}/r")
    assert (read["period"], read["token_period"]) == (0, 3 * HOUR)


async def test_a_write_changes_what_it_names(world: World) -> None:
    await world.write(f"{ROLES}/r", allowed_policies="a,b", path_suffix="suf", allowed_entity_aliases=["A"])
    await world.write(f"{ROLES}/r", orphan=True)
    read = await world.read(f"{ROLES}/r")
    assert (read["allowed_policies"], read["path_suffix"], read["orphan"]) == (["a", "b"], "suf", True)
    assert read["allowed_entity_aliases"] == ["a"]


async def test_listing_and_deleting(world: World) -> None:
    assert await world.list(ROLES) == []
    await world.write(f"{ROLES}/b")
    await world.write(f"{ROLES}/a")
    assert await world.list(ROLES) == ["a", "b"]
    await world.tokens.documents.erase()
    with pytest.raises(NotFound):
        await world.read(f"{ROLES}/a")


async def test_names(world: World) -> None:
    assert "role_name" in await world.refusal(f"{ROLES}/-x-")


async def test_a_maximum_beyond_the_systems_is_warned_of(world: World) -> None:
    answer = await world.write(f"{ROLES}/r", token_explicit_max_ttl="9000h")
    assert "greater than the system's max TTL" in answer.warnings[0]


async def test_the_rest_of_a_role(world: World, user: str) -> None:
    await world.write(
        f"{ROLES}/r",
        allowed_policies=["p1"],
        orphan=True,
        renewable=False,
        path_suffix="suf",
        token_period="1h",
        token_num_uses=4,
        token_bound_cidrs=["127.0.0.1"],
    )
    auth = await world.create(user, "create/r", num_uses=9)
    assert (auth.orphan, auth.renewable, auth.num_uses, auth.lease_duration) == (True, False, 4, HOUR)
    entry = await world.find(auth.client_token)
    assert entry is not None
    assert (entry.role, entry.path, entry.bound_cidrs) == ("r", "auth/token/create/r/suf", ("127.0.0.1",))


async def test_types(world: World, user: str) -> None:
    await world.write(f"{ROLES}/any", token_type="default-batch")
    assert (await world.create(user, "create/any")).token_type == "batch"
    assert (await world.create(user, "create/any", type="service")).token_type == "service"
    await world.write(f"{ROLES}/fixed", token_type="service")
    assert (await world.create(user, "create/fixed", type="batch")).token_type == "service"


async def test_the_lesser_of_two_maxima(world: World, user: str) -> None:
    await world.write(f"{ROLES}/r", token_explicit_max_ttl="9h")
    answer = await world.write("auth/token/create/r", user, explicit_max_ttl="100h", ttl="20h")
    assert answer.auth is not None
    assert answer.auth.lease_duration == 9 * HOUR
    assert any("using the lesser value of 32400 seconds" in warning for warning in answer.warnings)


async def test_renewals_follow_the_role_as_it_is(world: World, user: str) -> None:
    await world.write(f"{ROLES}/r", token_period="1h", allowed_policies=["default"])
    token = (await world.create(user, "create/r")).client_token
    await world.write(f"{ROLES}/r", token_period="2h")
    answer = await world.write("auth/token/renew-self", token)
    assert answer.auth is not None
    assert answer.auth.lease_duration == 2 * HOUR
    await world.tokens.documents.erase()
    assert "could not be found, not renewing" in await world.refusal("auth/token/renew-self", token)


async def test_an_unknown_role(world: World, user: str) -> None:
    assert await world.refusal("auth/token/create/none", user) == "unknown role none"


async def test_children_without_a_role_inherit_networks(world: World, user: str) -> None:
    await world.write(f"{ROLES}/r", token_bound_cidrs=["127.0.0.1"])
    near = await world.make(policies=("adm",), bound_cidrs=("127.0.0.1",), ttl=DAY)
    entry = await world.find(near.token)
    assert entry is not None
    assert entry.bound_cidrs == ("127.0.0.1",)
