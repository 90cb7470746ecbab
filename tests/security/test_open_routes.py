"""Open routes tell whoever has no valid token no more than the public knows."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.security_world import NOBODY, SecurityWorld, security_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecurityWorld]:
    async with security_world(tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.mark.parametrize("kind", NOBODY)
async def test_mounts_are_shown_to_nobody(world: SecurityWorld, kind: str) -> None:
    token = await NOBODY[kind](world)
    _, listed = await world.call("GET", "sys/internal/ui/mounts", token=token)
    assert listed["data"] == {"auth": {}, "secret": {}}
    assert (await world.call("GET", "sys/internal/ui/mounts/pki/", token=token))[0] == 403
    _, powerful = await world.call("GET", "sys/internal/ui/mounts", token=await world.token())
    assert "pki/" in powerful["data"]["secret"]


@pytest.mark.parametrize("kind", NOBODY)
async def test_tokens_that_are_not_for_wrapping_are_not_looked_up(world: SecurityWorld, kind: str) -> None:
    token = await NOBODY[kind](world)
    for body in ({}, {"token": token}, {"token": await world.token()}):
        status, answer = await world.call("POST", "sys/wrapping/lookup", body, token=token)
        assert (status, answer["errors"]) == (400, ["wrapping token is not valid or does not exist"])
