"""Keys of a mount's issuers: fetched when they are needed, kept while they serve, fetched anew when they do not.

A token with an unknown key name makes the server ask its issuer, so strangers could make it ask without end: it asks at
most every `REST` seconds, and one question serves everyone who waits for the answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import orjson

from chancery.auth.jose.keys import VerificationKey, key_of_pem, keys_of_set
from chancery.auth.jose.tokens import KeyMissing, verified
from chancery.auth.jwt.configuration import Config, Pair
from chancery.kit.clock import Clock
from chancery.kit.outgoing import Outgoing, OutgoingFailed, OutgoingRequest

_log = logging.getLogger(__name__)

REST: Final = 10.0
"""Seconds between two questions to an issuer, whatever tokens come."""

FRESH: Final = 600.0
"""Seconds that keys are taken for granted; then they are fetched again, beside the logins that use the old ones."""

STALE: Final = 24 * 3600.0
"""Seconds after which keys are no longer believed when their issuer cannot be asked."""

Keys = tuple[VerificationKey, ...]


class KeySource(Protocol):
    """Verifies tokens under the keys of an issuer."""

    async def claims(self, token: str, config: Config) -> Mapping[str, Any]:
        """Return the claims of a token. Raises TokenRefused, and OutgoingFailed when the keys are out of reach."""
        ...

    async def stop(self) -> None:
        """Ask no more."""
        ...


class GivenKeys:
    """Keys that the configuration holds itself."""

    def __init__(self, config: Config) -> None:
        self._keys = tuple(key_of_pem(text) for text in config.jwt_validation_pubkeys)

    async def claims(self, token: str, config: Config) -> Mapping[str, Any]:
        """Verify a token."""
        return verified(token, self._keys, config.algorithms)

    async def stop(self) -> None:
        """There is nobody to ask."""


class FetchedKeys:
    """Keys that issuers publish."""

    def __init__(self, fetch: Callable[[], Awaitable[Keys]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Keys | None = None
        self._fetched_at = 0.0
        self._asked_at = -REST
        self._failure: OutgoingFailed | None = None
        self._question: asyncio.Task[None] | None = None

    async def claims(self, token: str, config: Config) -> Mapping[str, Any]:
        """Verify a token; ask for newer keys when none fits."""
        keys = await self._current()
        try:
            return verified(token, keys, config.algorithms)
        except KeyMissing:
            newer = await self._newer(keys)
            if newer is keys:
                raise
            return verified(token, newer, config.algorithms)

    async def stop(self) -> None:
        """Ask no more."""
        question, self._question = self._question, None
        if question is not None:
            question.cancel()
            with suppress(asyncio.CancelledError):
                await question

    async def _current(self) -> Keys:
        age = self._clock.monotonic() - self._fetched_at
        if self._keys is None or age > STALE:
            await self._ask()
            if self._keys is None or self._clock.monotonic() - self._fetched_at > STALE:
                raise self._failure or OutgoingFailed("the issuer was not asked yet")
        elif age > FRESH and self._is_rested():
            self._begin()
        return self._keys

    async def _newer(self, keys: Keys) -> Keys:
        """Return the keys as they are after asking, or the same ones when it is too early to ask or nobody answers."""
        if self._keys is keys:
            await self._ask()
        return self._keys or keys

    async def _ask(self) -> None:
        question = self._question
        if question is None or question.done():
            if not self._is_rested():
                return
            question = self._begin()
        await asyncio.shield(question)

    def _is_rested(self) -> bool:
        return self._clock.monotonic() - self._asked_at >= REST

    def _begin(self) -> asyncio.Task[None]:
        self._asked_at = self._clock.monotonic()
        self._question = asyncio.get_running_loop().create_task(self._refresh())
        return self._question

    async def _refresh(self) -> None:
        try:
            keys = await self._fetch()
        except OutgoingFailed as error:
            self._failure = error
            _log.warning("keys cannot be fetched: %s", error.message)
            return
        self._keys, self._failure, self._fetched_at = keys, None, self._clock.monotonic()


def source_of(config: Config, door: Outgoing, clock: Clock) -> KeySource:
    """Return where the keys of a configuration come from."""
    if config.jwt_validation_pubkeys:
        return GivenKeys(config)
    return FetchedKeys(lambda: fetch_keys(config, door), clock)


async def fetch_keys(config: Config, door: Outgoing) -> Keys:
    """Fetch every key set of a configuration. Raises OutgoingFailed for the first that cannot be had."""
    pairs = config.key_sets or (await _discover(config, door),)
    found: list[VerificationKey] = []
    for pair in pairs:
        body = await _get(pair.jwks_url, pair.jwks_ca_pem, door)
        try:
            found.extend(keys_of_set(body))
        except ValueError as error:
            raise OutgoingFailed(f"{pair.jwks_url}: {error}") from None
    return tuple(found)


async def _discover(config: Config, door: Outgoing) -> Pair:
    """Ask an issuer where its key set is (OpenID Connect Discovery 1.0, section 4)."""
    issuer = config.oidc_discovery_url
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    body = await _get(url, config.oidc_discovery_ca_pem, door)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise OutgoingFailed(f"{url}: is not JSON") from None
    where = document.get("jwks_uri") if isinstance(document, dict) else None
    if not isinstance(where, str):
        raise OutgoingFailed(f"{url}: has no jwks_uri")
    # An issuer that calls itself otherwise would let another issuer's tokens in (section 4.3).
    if document.get("issuer") != issuer:
        raise OutgoingFailed(f"{url}: is about another issuer than {issuer}")
    return Pair(jwks_url=where, jwks_ca_pem=config.oidc_discovery_ca_pem)


async def _get(url: str, ca_pem: str, door: Outgoing) -> bytes:
    answer = await door.send(OutgoingRequest(url, headers={"Accept": "application/json"}, ca_pem=ca_pem))
    if answer.status != 200:
        raise OutgoingFailed(f"{url}: answered with status {answer.status}")
    return answer.body
