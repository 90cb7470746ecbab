"""Every route of the server's own description refuses whoever may not use it, and changes nothing in refusing.

New routes are covered by existing. What needs no token is listed here word for word: a route that becomes open without
being added fails.
"""

from collections.abc import AsyncIterator, Iterable, Iterator

import pytest
import pytest_asyncio

from tests.support.security_operations import ApiOperation
from tests.support.security_world import EVERYTHING, NOBODY, SecurityWorld, security_world

OPEN = frozenset(
    {
        "auth/approle/login",
        "auth/cert/login",
        "auth/jwt/login",
        "auth/jwt/oidc/auth_url",
        "auth/jwt/oidc/callback",
        "auth/jwt/oidc/poll",
        "auth/kubernetes/login",
        "auth/oidc/login",
        "auth/oidc/oidc/auth_url",
        "auth/oidc/oidc/callback",
        "auth/oidc/oidc/poll",
        "auth/userpass/login/{username}",
        "sys/decode-token",
        "sys/generate-root",
        "sys/generate-root/attempt",
        "sys/generate-root/update",
        "sys/health",
        "sys/init",
        "sys/internal/ui/mounts",
        "sys/internal/ui/mounts/{path}",
        "sys/leader",
        "sys/rekey-recovery-key/init",
        "sys/rekey-recovery-key/update",
        "sys/rekey-recovery-key/verify",
        "sys/rekey/init",
        "sys/rekey/update",
        "sys/rekey/verify",
        "sys/seal-status",
        "sys/unseal",
        "sys/wrapping/lookup",
        "pki/ca",
        "pki/ca/pem",
        "pki/ca_chain",
        "pki/cert/ca",
        "pki/cert/ca_chain",
        "pki/cert/crl",
        "pki/cert/{serial}",
        "pki/cert/{serial}/raw",
        "pki/cert/{serial}/raw/pem",
        "pki/crl",
        "pki/crl/pem",
        "pki/issuer/{issuer_ref}/crl",
        "pki/issuer/{issuer_ref}/crl/der",
        "pki/issuer/{issuer_ref}/crl/pem",
        "pki/issuer/{issuer_ref}/der",
        "pki/issuer/{issuer_ref}/json",
        "pki/issuer/{issuer_ref}/pem",
        "pki/issuers",
    }
)
"""What is served without a token: logins, what a CA publishes, the state of the server, where a wrapped answer is from,
and, unless `seal.unauthenticated` says otherwise, attempts that need enough shares."""

ASKED_FIRST = frozenset({"sys/wrapping/rewrap", "sys/wrapping/unwrap"})
"""Say that a wrapping token is not valid before they ask who wants to know, so that a stolen one is noticed."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecurityWorld]:
    """One world for all: whatever is refused leaves it as it was, and that is what is tested."""
    async with security_world(tmp_path_factory.mktemp("denied")) as running:
        yield running


async def test_only_the_listed_routes_are_open(world: SecurityWorld) -> None:
    assert {each.template for each in world.operations if each.unauthenticated} == OPEN


@pytest.mark.parametrize("kind", NOBODY)
async def test_credentials_that_do_not_work(world: SecurityWorld, kind: str) -> None:
    token = await NOBODY[kind](world)
    before = world.stored()
    assert await _not_refused(world, _closed(world), token) == {}
    assert world.stored() == before


@pytest.mark.parametrize("namespace", ["team", "other/"])
async def test_a_token_of_one_namespace_is_nobody_in_another(world: SecurityWorld, namespace: str) -> None:
    sibling = "other" if namespace == "team" else "team"
    token = await world.token(namespace=sibling)
    before = world.stored()
    assert await _not_refused(world, _closed(world), token, namespace=namespace) == {}
    assert world.stored() == before


async def test_a_policy_one_letter_off_grants_nothing(world: SecurityWorld) -> None:
    closed = _closed(world)
    exact = {each.path for each in closed}
    off = {spelled for path in exact for spelled in _misspelled(path)} - exact
    await world.made("POST", "sys/policies/acl/off", {"policy": _policy(off)})
    token = await world.token("off")
    before = world.stored()
    assert await _not_refused(world, closed, token) == {}
    assert world.stored() == before


async def test_the_policy_spelled_right_grants_it(world: SecurityWorld) -> None:
    """Without this the refusals above could be for another reason."""
    reading = [each for each in _closed(world) if each.method in {"GET", "LIST"}]
    await world.made("POST", "sys/policies/acl/exact", {"policy": _policy(each.path for each in reading)})
    token = await world.token("exact")
    answered = [(each, *await world.send(each, token)) for each in reading]
    assert {str(each): status for each, status, _ in answered if status == 403} == {}


async def test_every_capability_but_sudo_does_not_reach_sudo_routes(world: SecurityWorld) -> None:
    await world.made("POST", "sys/policies/acl/almost", {"policy": EVERYTHING.replace(', "sudo"', "")})
    token = await world.token("almost")
    before = world.stored()
    assert await _not_refused(world, [each for each in world.operations if each.sudo], token) == {}
    assert world.stored() == before


async def test_methods_that_are_not_served_are_denied_before_they_are_explained(world: SecurityWorld) -> None:
    """Who may not use a path does not learn which methods it has."""
    asked = [
        ApiOperation(method, template, unauthenticated=False, sudo=False)
        for template in sorted({each.template for each in _closed(world)})
        for method in ("GET", "LIST", "POST", "PATCH", "DELETE")
    ]
    assert await _not_refused(world, asked, "hvs." + "A" * 32) == {}


async def test_paths_that_do_not_exist_are_denied_like_those_that_do(world: SecurityWorld) -> None:
    for path in ("nowhere/at/all", "sys/nothing", "auth/nothing/login", "pki/nothing", "gone/sys/mounts"):
        for token in ("", "hvs." + "A" * 32, await world.token("missing")):
            assert (await world.call("GET", path, token=token))[0] == 403


def _closed(world: SecurityWorld) -> list[ApiOperation]:
    return [each for each in world.operations if not each.unauthenticated]


async def _not_refused(
    world: SecurityWorld, asked: Iterable[ApiOperation], token: str, *, namespace: str = ""
) -> dict[str, object]:
    """Return the operations that answered anything but the one refusal, with what they answered."""
    refused = (403, {"errors": ["permission denied"]})
    asked_first = (400, {"errors": ["wrapping token is not valid or does not exist"]})
    found: dict[str, object] = {}
    for each in asked:
        answer = await world.send(each, token, namespace=namespace)
        if answer != (asked_first if each.template in ASKED_FIRST else refused):
            found[str(each)] = answer
    return found


def _misspelled(path: str) -> Iterator[str]:
    """Yield a path with its last letter changed, missing, doubled, in capitals, and with one in the middle changed."""
    middle = len(path) // 2
    yield path[:-1] + ("y" if path[-1] == "x" else "x")
    yield path[:-1].rstrip("/")
    yield path + path[-1]
    yield path[:-1] + path[-1].swapcase() if path[-1].isalpha() else f"{path}-"
    yield path[:middle] + ("y" if path[middle] == "x" else "x") + path[middle + 1 :]
    yield f"{path}/nobody"


def _policy(paths: Iterable[str]) -> str:
    capabilities = '["create", "read", "update", "patch", "delete", "list", "sudo"]'
    written = {
        f'path "{spelled}" {{ capabilities = {capabilities} }}' for path in paths for spelled in (path, f"{path}/")
    }
    return "\n".join(sorted(written))
