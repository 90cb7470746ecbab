"""The same tokens and roles to Chancery and to OpenBao: who is let in must agree, or the difference is listed here."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.support import auth_tokens as mint
from tests.support.host_world import HostWorld, host_world
from tests.support.server_client import ApiClient
from tests.support.server_openbao import OpenBaoServer

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NOW = int(time.time())
GOOD: dict[str, Any] = {"iss": "me", "sub": "jane", "aud": ["app"], "iat": NOW, "nbf": NOW, "exp": NOW + 600}


@dataclass
class Pair:
    """Both servers, with `jwt` mounted and configured alike."""

    ours: HostWorld
    theirs: ApiClient

    async def both(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, int, Any, Any]:
        """Send a request to both; return statuses and data."""
        status, answer = await self.ours.call(method, path, body)
        peer = self.theirs.request(method, path, body)
        return status, peer.status, (answer or {}).get("data"), peer.body.get("data")

    async def login(self, role: str, token: str) -> tuple[int, int]:
        """Log in at both; return statuses."""
        return (await self.both("POST", "auth/jwt/login", {"role": role, "jwt": token}))[:2]


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoServer]:
    with OpenBaoServer(tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(bao: OpenBaoServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    async with host_world(tmp_path_factory.mktemp("ours")) as world:
        with bao.client() as client:
            made = Pair(world, client)
            config = {
                "jwt_validation_pubkeys": [mint.public_pem(mint.RSA), mint.public_pem(mint.P256)],
                "jwt_supported_algs": ["RS256", "ES256"],
                "bound_issuer": "me",
            }
            await made.both("POST", "sys/auth/jwt", {"type": "jwt"})
            assert (await made.both("POST", "auth/jwt/config", config))[:2] == (204, 204)
            yield made


ROLE = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["app"]}

ROLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "skewless": {"clock_skew_leeway": -1, "expiration_leeway": -1, "not_before_leeway": -1},
    "bound": {"bound_claims": {"team": ["blue", "red"], "/deep/level": 3, "admin": True}},
    "globs": {"bound_claims": {"team": "b*"}, "bound_claims_type": "glob"},
    "subject": {"bound_subject": "jane"},
    "pointer": {"user_claim": "/deep/name", "user_claim_json_pointer": True},
    "groups": {"groups_claim": "groups"},
    "mapped": {"claim_mappings": {"team": "team", "/deep/level": "level"}},
}

CLAIMS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "another issuer": {"iss": "you"},
    "no issuer": {"iss": None},
    "another audience": {"aud": ["other"]},
    "audience as text": {"aud": "app"},
    "no audience": {"aud": None},
    "another subject": {"sub": "joan"},
    "no subject": {"sub": None},
    "expired": {"exp": NOW - 300},
    "expired within the leeway": {"exp": NOW - 20},
    "not yet": {"nbf": NOW + 300},
    "soon": {"nbf": NOW + 20},
    "issued later": {"iat": NOW + 300, "nbf": None},
    "without end": {"exp": None},
    "without end, old": {"exp": None, "iat": NOW - 1000, "nbf": NOW - 1000},
    "only an end": {"iat": None, "nbf": None, "exp": NOW + 60},
    "only a far end": {"iat": None, "nbf": None, "exp": NOW + 6000},
    "without times": {"exp": None, "iat": None, "nbf": None},
    "bound claims that fit": {"team": "blue", "deep": {"level": 3}, "admin": True},
    "one of a list": {"team": ["green", "red"], "deep": {"level": 3}, "admin": True},
    "another number": {"team": "blue", "deep": {"level": 4}, "admin": True},
    "text for a number": {"team": "blue", "deep": {"level": "3"}, "admin": True},
    "text for a boolean": {"team": "blue", "deep": {"level": 3}, "admin": "true"},
    "groups": {"groups": ["a", "b"]},
    "one group": {"groups": "a"},
    "groups of numbers": {"groups": [1]},
    "a deep name": {"deep": {"name": "deep"}},
    "a deep name that is no text": {"deep": {"name": 7}},
}

LENIENT = {("mapped", "bound claims that fit"), ("mapped", "another number"), ("mapped", "text for a boolean")}
"""Who is let in here and not there: numbers become metadata here, where OpenBao takes text alone."""


@pytest.mark.parametrize("role", ROLES)
async def test_claims_let_in_alike(pair: Pair, role: str) -> None:
    written = (await pair.both("POST", f"auth/jwt/role/{role}", ROLE | ROLES[role]))[:2]
    assert written in {(204, 204), (204, 200), (200, 204)}
    differences = set()
    for name, changes in CLAIMS.items():
        claims = {claim: value for claim, value in (GOOD | changes).items() if value is not None}
        ours, theirs = await pair.login(role, mint.token(claims))
        if ours != theirs:
            differences.add((role, name))
            assert (ours, theirs) == (200, 400)
    assert differences == {each for each in LENIENT if each[0] == role}


async def test_forged_tokens_are_refused_alike(pair: Pair) -> None:
    await pair.both("POST", "auth/jwt/role/forged", ROLE)
    pem = mint.public_pem(mint.RSA).encode()
    for token in (
        mint.token(GOOD, mint.STRANGER),
        mint.token(GOOD, algorithm="RS512"),
        mint.compact({"alg": "none"}, GOOD, lambda _: b""),
        mint.compact({"alg": "HS256"}, GOOD, mint.hmac_signer(pem)),
        mint.token(GOOD, crit=["x"], x=1),
        "a.b.c",
        "nonsense",
    ):
        assert await pair.login("forged", token) == (400, 400)
    assert await pair.login("forged", mint.token(GOOD, mint.P256, "ES256")) == (200, 200)
    assert await pair.login("nobody", mint.token(GOOD)) == (400, 400)


EXTRA = {"alias_metadata", "max_age"}
THEIRS_ALONE = {
    "callback_mode",
    "oauth2_metadata",
    "oidc_disable_confirmation",
    "override_allowed_server_names",
    "token_policies_template_claims",
    "token_strictly_bind_ip",
}


@pytest.mark.parametrize("path", ["auth/jwt/config", "auth/jwt/role/plain"])
async def test_what_is_shown_has_the_same_shape(pair: Pair, path: str) -> None:
    await pair.both("POST", "auth/jwt/role/plain", ROLE)
    _, _, ours, theirs = await pair.both("GET", path)
    shared = set(ours) & set(theirs)
    assert set(theirs) - set(ours) <= THEIRS_ALONE
    assert set(ours) - set(theirs) <= EXTRA | {"jwks_pairs", "unsupported_critical_cert_extensions"}
    texts = {"jwt_validation_pubkeys"}
    assert {name: ours[name] for name in shared - texts} == {name: theirs[name] for name in shared - texts}
    for name in shared & texts:
        assert [text.strip() for text in ours[name]] == [text.strip() for text in theirs[name]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("role/bad", {"role_type": "jwt", "user_claim": "sub"}),
        ("role/bad", {"role_type": "jwt", "bound_audiences": "a"}),
        ("role/bad", ROLE | {"bound_claims_type": "regex"}),
        ("role/bad", ROLE | {"claim_mappings": {"a": "x", "b": "x"}}),
        ("role/bad", ROLE | {"claim_mappings": {"a": "role"}}),
        ("role/bad", ROLE | {"token_ttl": 20, "token_max_ttl": 10}),
        ("config", {}),
        ("config", {"jwt_validation_pubkeys": "x"}),
        ("config", {"jwt_validation_pubkeys": mint.public_pem(mint.RSA), "jwt_supported_algs": ["XX"]}),
        ("login", {"role": "plain"}),
        ("login", {"jwt": "a.b.c"}),
    ],
)
async def test_what_is_refused_is_refused_alike(pair: Pair, path: str, body: dict[str, Any]) -> None:
    ours, theirs, _, _ = await pair.both("POST", f"auth/jwt/{path}", body)
    assert (ours, theirs) == (400, 400)
