"""`jwt` through a whole host: configuration, roles, logins, and a table of tokens that are all told the same."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support import auth_tokens as mint
from tests.support.auth_peer import peer
from tests.support.auth_pki import authority, server_context
from tests.support.host_world import HostWorld, host_world

CA = authority()
REFUSED = (400, {"errors": ["error validating token: it is not accepted for this role"]})
OUTGOING = {"allow": ["127.0.0.0/8"]}


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims with changes; None takes one away."""
    now = int(time.time())
    good = {"iss": "https://issuer.example", "sub": "jane", "aud": "chancery", "iat": now, "exp": now + 60}
    return {name: value for name, value in (good | changes).items() if value is not None}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, outgoing=OUTGOING) as made:
        assert (await made.call("POST", "sys/auth/jwt", {"type": "jwt"}))[0] == 204
        config = {"jwt_validation_pubkeys": mint.public_pem(mint.RSA), "bound_issuer": "https://issuer.example"}
        assert (await made.call("POST", "auth/jwt/config", config | {"default_role": "app"}))[0] == 204
        role = {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": "chancery",
            "claim_mappings": {"team": "team"},
            "token_policies": "app",
            "token_ttl": "10m",
            "token_max_ttl": "20m",
        }
        assert (await made.call("POST", "auth/jwt/role/app", role))[0] == 204
        yield made


async def _login(world: HostWorld, jwt: str, role: str = "app", path: str = "jwt") -> tuple[int, Any]:
    return await world.call("POST", f"auth/{path}/login", {"role": role, "jwt": jwt}, token="")


async def test_a_login_gives_a_token_with_the_roles_policies(world: HostWorld) -> None:
    status, body = await _login(world, mint.token(claims(team="blue")), role="")
    auth = body["auth"]
    assert status == 200
    assert auth["policies"] == ["app", "default"]
    assert auth["metadata"] == {"role": "app", "team": "blue"}
    assert (auth["lease_duration"], auth["renewable"]) == (600, True)
    status, looked = await world.call("GET", "auth/token/lookup-self", token=auth["client_token"])
    assert looked["data"]["display_name"] == "jwt-jane"
    status, entity = await world.call("GET", f"identity/entity/id/{auth['entity_id']}")
    assert entity["data"]["aliases"][0]["name"] == "jane"
    assert entity["data"]["aliases"][0]["metadata"] == {"role": "app", "team": "blue"}


async def test_the_same_person_is_the_same_entity(world: HostWorld) -> None:
    first = (await _login(world, mint.token(claims())))[1]["auth"]
    again = (await _login(world, mint.token(claims())))[1]["auth"]
    assert first["entity_id"] == again["entity_id"] != ""
    assert first["client_token"] != again["client_token"]


@pytest.mark.parametrize(
    "forged",
    [
        mint.token(claims(), mint.STRANGER),
        mint.compact({"alg": "none"}, claims(), lambda _: b""),
        mint.compact({"alg": "HS256"}, claims(), mint.hmac_signer(mint.public_pem(mint.RSA).encode())),
        mint.token(claims(), algorithm="RS384"),
        mint.token(claims(iss="https://another.example")),
        mint.token(claims(iss=None)),
        mint.token(claims(aud="other")),
        mint.token(claims(aud=None)),
        mint.token(claims(exp=1)),
        mint.token(claims(exp=None, iat=None)),
        mint.token(claims(nbf=4_000_000_000)),
        mint.token(claims(sub=None)),
        mint.token(claims(team={"a": 1})),
        "a.b.c",
        "x" * 100_000,
    ],
)
async def test_all_who_may_not_are_told_the_same(world: HostWorld, forged: str) -> None:
    assert await _login(world, forged) == REFUSED


async def test_a_role_that_is_not_there_is_no_other_answer(world: HostWorld) -> None:
    assert await _login(world, mint.token(claims()), role="nobody") == REFUSED


async def test_what_is_missing_is_said(world: HostWorld) -> None:
    assert (await _login(world, ""))[1] == {"errors": ["missing token"]}
    await world.call("POST", "sys/auth/empty", {"type": "oidc"})
    assert (await _login(world, "x", path="empty"))[1] == {"errors": ["could not load configuration"]}
    await world.call("POST", "auth/empty/config", {"jwt_validation_pubkeys": [mint.public_pem(mint.P256)]})
    assert (await _login(world, "x", role="", path="empty"))[1] == {"errors": ["missing role"]}


async def test_the_browser_flow_is_refused_clearly(world: HostWorld) -> None:
    for path in ("oidc/auth_url", "oidc/callback"):
        status, body = await world.call("POST", f"auth/jwt/{path}", {"role": "app"}, token="")
        assert status == 400
        assert "browser flow of oidc is not served" in body["errors"][0]


async def test_renewal_asks_whether_the_role_is_still_there(world: HostWorld) -> None:
    token = (await _login(world, mint.token(claims())))[1]["auth"]["client_token"]
    status, body = await world.call("POST", "auth/token/renew-self", {"increment": "15m"}, token=token)
    assert (status, body["auth"]["lease_duration"]) == (200, 900)
    await world.call("POST", "auth/jwt/role/app", {"token_policies": "less"})
    status, body = await world.call("POST", "auth/token/renew-self", {}, token=token)
    assert (status, body["errors"]) == (400, ["policies have changed, not renewing"])
    await world.call("DELETE", "auth/jwt/role/app")
    status, body = await world.call("POST", "auth/token/renew-self", {}, token=token)
    assert (status, body["errors"]) == (400, ["the role is gone, not renewing"])


async def test_a_key_set_over_https(world: HostWorld, tmp_path: Path) -> None:
    keys = [mint.jwk(mint.P256, kid="p")]

    async def answer(_request: web.BaseRequest, _body: bytes) -> web.Response:
        return web.Response(body=mint.jwks(*keys))

    async with peer(answer, server_context(CA.issue_server("127.0.0.1"), tmp_path)) as issuer:
        config = {"jwks_url": f"{issuer.url}/keys", "jwks_ca_pem": CA.pem, "jwt_supported_algs": ["ES256"]}
        assert (await world.call("POST", "auth/jwt/config", config))[0] == 204
        status, _ = await _login(world, mint.token(claims(), mint.P256, "ES256", kid="p"))
        assert status == 200
    assert (await _login(world, mint.token(claims(), mint.P256, "ES256", kid="p")))[0] == 200
    await world.call("POST", "sys/auth/second", {"type": "jwt"})


async def test_a_key_set_out_of_reach_is_said_to_whoever_configures_it(world: HostWorld) -> None:
    for url, said in (
        ("http://127.0.0.1:1/", "plain http"),
        ("https://169.254.169.254/latest/meta-data", "may not connect"),
        ("https://10.0.0.1/", "may not connect"),
        ("https://127.0.0.1:1/", "cannot connect"),
    ):
        status, body = await world.call("POST", "auth/jwt/config", {"jwks_url": url})
        assert status == 400
        assert "jwks_url: error checking jwks URL" in body["errors"][0]
        assert said in body["errors"][0]
    assert (await world.call("GET", "auth/jwt/config"))[1]["data"]["jwks_url"] == ""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "exactly one of"),
        ({"jwks_url": "https://a", "oidc_discovery_url": "https://a"}, "exactly one of"),
        ({"jwt_validation_pubkeys": "x"}, "expected a PEM public key"),
        ({"jwks_url": "https://a", "jwks_ca_pem": "x"}, "PEM certificates"),
        ({"jwks_pairs": [{"jwks": 1}]}, "jwks_pairs"),
        ({"jwks_pairs": "["}, "jwks_pairs"),
        ({"jwks_url": "https://a", "jwt_supported_algs": ["HS256", "none"]}, "unsupported: HS256, none"),
        ({"jwks_url": "https://a", "oidc_client_secret": "s3cret"}, "browser flow"),
        ({"provider_config": {"provider": "azure"}}, "provider_config"),
        ({"oidc_discovery_url": "https://a", "bound_issuer": "https://b"}, "bound_issuer"),
    ],
)
async def test_configurations_that_cannot_be(world: HostWorld, body: dict[str, Any], said: str) -> None:
    status, answer = await world.call("POST", "auth/jwt/config", body)
    assert status == 400
    assert said in " ".join(answer["errors"])
    assert "s3cret" not in str(answer)


async def test_roles_are_listed_read_and_deleted(world: HostWorld) -> None:
    assert (await world.call("LIST", "auth/jwt/role"))[1]["data"]["keys"] == ["app"]
    shown = (await world.call("GET", "auth/jwt/role/APP"))[1]["data"]
    assert (shown["role_type"], shown["bound_audiences"], shown["bound_claims"]) == ("jwt", ["chancery"], None)
    assert (await world.call("DELETE", "auth/jwt/role/app"))[0] == 204
    assert (await world.call("GET", "auth/jwt/role/app"))[0] == 404
    assert (await world.call("LIST", "auth/jwt/role"))[0] == 404
