"""Key sets over the product's own door: fetched once, kept, refreshed, and never asked for too often."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chancery.auth.jose.tokens import KeyMissing, TokenRefused
from chancery.auth.jwt.configuration import Config, Pair
from chancery.auth.jwt.key_sets import FRESH, REST, STALE, FetchedKeys, KeySource, fetch_keys, source_of
from chancery.kit.outgoing import OutgoingFailed
from chancery.outgoing import OutgoingDoor
from tests.support import auth_tokens as mint
from tests.support.auth_peer import Peer, open_door, peer
from tests.support.auth_pki import authority, server_context
from tests.support.auth_world import MovedClock

CA = authority()
CLAIMS = {"sub": "somebody"}


@dataclass
class Issuer:
    """What the identity provider publishes."""

    keys: list[dict[str, Any]] = field(default_factory=lambda: [mint.jwk(mint.RSA, kid="one")])
    documents: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.BaseRequest, _body: bytes) -> web.Response:
        """Serve the documents, and the key set everywhere else."""
        await self.gate.wait()
        body = self.documents.get(request.raw_path, mint.jwks(*self.keys))
        return web.Response(body=body, status=self.status)


@dataclass
class World:
    """An issuer, and a server that asks it."""

    issuer: Issuer
    peer: Peer
    door: OutgoingDoor
    clock: MovedClock

    def config(self, **fields: Any) -> Config:
        """Return a configuration with the issuer's key set, or whatever is given instead."""
        return Config(**(fields or {"jwks_url": f"{self.peer.url}/keys", "jwks_ca_pem": CA.pem}))

    def source(self, config: Config) -> KeySource:
        """Return the keys of a configuration."""
        return source_of(config, self.door, self.clock)

    @property
    def questions(self) -> int:
        """Count what the issuer was asked."""
        return len(self.peer.paths)


@asynccontextmanager
async def _world(directory: Path) -> AsyncIterator[World]:
    issuer = Issuer()
    issuer.gate.set()
    context: ssl.SSLContext = server_context(CA.issue_server("127.0.0.1"), directory)
    async with peer(issuer.answer, context) as server, open_door() as door:
        yield World(issuer, server, door, MovedClock())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with _world(tmp_path) as made:
        yield made


async def _claims(source: KeySource, config: Config, **header: Any) -> Mapping[str, Any]:
    return await source.claims(mint.token(CLAIMS, **header), config)


async def test_keys_are_fetched_once_and_kept(world: World) -> None:
    config = world.config()
    source = world.source(config)
    for _ in range(5):
        assert await _claims(source, config, kid="one") == CLAIMS
    assert world.questions == 1


async def test_many_logins_at_once_ask_once(world: World) -> None:
    config = world.config()
    source = world.source(config)
    assert len(await asyncio.gather(*(_claims(source, config, kid="one") for _ in range(20)))) == 20
    assert world.questions == 1


async def test_an_unknown_kid_asks_for_newer_keys(world: World) -> None:
    config = world.config()
    source = world.source(config)
    await _claims(source, config, kid="one")
    world.issuer.keys = [mint.jwk(mint.STRANGER, kid="one"), mint.jwk(mint.RSA, kid="two")]
    world.clock.advance(REST)
    assert await _claims(source, config, kid="two") == CLAIMS
    assert world.questions == 2


async def test_strangers_cannot_make_the_server_ask_without_end(world: World) -> None:
    config = world.config()
    source = world.source(config)
    for number in range(30):
        with pytest.raises(KeyMissing):
            await _claims(source, config, kid=f"made-up-{number}")
        world.clock.advance(1)
    assert world.questions <= 4


async def test_a_wrong_signature_under_a_known_kid_asks_nobody(world: World) -> None:
    config = world.config()
    source = world.source(config)
    await _claims(source, config, kid="one")
    world.clock.advance(REST)
    with pytest.raises(TokenRefused):
        await source.claims(mint.token(CLAIMS, mint.STRANGER, kid="one"), config)
    assert world.questions == 1


async def test_old_keys_serve_while_new_ones_are_fetched(world: World) -> None:
    config = world.config()
    source = world.source(config)
    await _claims(source, config, kid="one")
    world.clock.advance(FRESH + 1)
    world.issuer.gate.clear()
    assert await _claims(source, config, kid="one") == CLAIMS
    world.issuer.keys = [mint.jwk(mint.STRANGER, kid="one")]
    world.issuer.gate.set()
    assert isinstance(source, FetchedKeys)
    assert source._question is not None
    await source._question
    with pytest.raises(TokenRefused):
        await _claims(source, config, kid="one")


async def test_an_issuer_that_is_away_is_forgiven_for_a_day(world: World) -> None:
    config = world.config()
    source = world.source(config)
    await _claims(source, config, kid="one")
    world.issuer.status = 503
    world.clock.advance(STALE - 1)
    assert await _claims(source, config, kid="one") == CLAIMS
    world.clock.advance(REST)
    with pytest.raises(OutgoingFailed):
        await _claims(source, config, kid="one")
    world.issuer.status = 200
    world.clock.advance(REST)
    assert await _claims(source, config, kid="one") == CLAIMS


async def test_an_issuer_that_never_answered_is_not_asked_by_every_login(world: World) -> None:
    world.issuer.status = 500
    config = world.config()
    source = world.source(config)
    for _ in range(5):
        with pytest.raises(OutgoingFailed, match="status 500"):
            await _claims(source, config, kid="one")
    assert world.questions == 1


async def test_stopping_ends_a_question(world: World) -> None:
    config = world.config()
    source = world.source(config)
    await _claims(source, config, kid="one")
    world.issuer.gate.clear()
    world.clock.advance(FRESH + 1)
    await _claims(source, config, kid="one")
    await source.stop()
    world.issuer.gate.set()


async def test_several_key_sets_are_one(world: World) -> None:
    world.issuer.documents["/other"] = mint.jwks(mint.jwk(mint.STRANGER, kid="theirs"))
    pairs = tuple(Pair(jwks_url=f"{world.peer.url}/{path}", jwks_ca_pem=CA.pem) for path in ("keys", "other"))
    assert {key.kid for key in await fetch_keys(world.config(jwks_pairs=pairs), world.door)} == {"one", "theirs"}


def _discovery(world: World, **members: Any) -> Config:
    document = {"issuer": world.peer.url, "jwks_uri": f"{world.peer.url}/keys"} | members
    world.issuer.documents["/.well-known/openid-configuration"] = json.dumps(document).encode()
    return world.config(oidc_discovery_url=world.peer.url, oidc_discovery_ca_pem=CA.pem)


async def test_discovery_leads_to_the_key_set(world: World) -> None:
    config = _discovery(world)
    assert await _claims(world.source(config), config, kid="one") == CLAIMS
    assert world.peer.paths == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"issuer": "https://another.example"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"jwks_uri": None}, "no jwks_uri"),
        ({"jwks_uri": "http://169.254.169.254/"}, "plain http"),
        ({"jwks_uri": "https://169.254.169.254/"}, "may not connect"),
        ({"jwks_uri": "file:///etc/passwd"}, "https://"),
    ],
)
async def test_discovery_that_misleads_is_not_followed(world: World, members: dict[str, Any], said: str) -> None:
    with pytest.raises(OutgoingFailed, match=said):
        await fetch_keys(_discovery(world, **members), world.door)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"keys": {}}'])
async def test_what_is_no_key_set_is_a_failure_of_the_issuer(world: World, body: bytes) -> None:
    world.issuer.documents["/keys"] = body
    with pytest.raises(OutgoingFailed, match="key set"):
        await fetch_keys(world.config(), world.door)
