"""An HSM behind a network that breaks: SoftHSM behind `p11-kit server`, killed, frozen and started again."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chancery.kit.errors import Unavailable
from tests.support.hsm_p11kit import P11KitServer
from tests.support.hsm_token import make_token
from tests.support.hsm_world import HsmWorld

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[P11KitServer]:
    """Serve a token whose operations have one second."""
    token = make_token(tmp_path / "token", timeout=1.0)
    with P11KitServer(token, tmp_path) as server:
        yield server


async def test_an_hsm_that_goes_and_returns(server: P11KitServer) -> None:
    async with HsmWorld(server.token) as world:
        uuid = await world.write()
        key = await world.open(uuid)
        await world.sign(uuid)
        await asyncio.to_thread(server.stop)
        with pytest.raises(Unavailable) as caught:
            await world.sign(uuid)
        assert 'token "test" of kms_library "network"' in caught.value.message
        assert caught.value.retry_after >= 1
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcomes = await asyncio.gather(*(world.sign(uuid) for _ in range(100)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert loop.time() - started < 0.5, "while the breaker is open nobody waits"
        await asyncio.to_thread(server.start)
        world.let_time_pass()
        await world.sign(uuid)
        assert await world.open(uuid) is key


async def test_a_connection_that_breaks_is_made_anew_within_the_request(server: P11KitServer) -> None:
    async with HsmWorld(server.token) as world:
        uuid = await world.write()
        await world.sign(uuid)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        signatures = await asyncio.gather(*(world.sign(uuid, bytes([i])) for i in range(20)))
        assert len(set(signatures)) == 20


async def test_a_frozen_hsm_costs_a_deadline_and_not_the_server(server: P11KitServer) -> None:
    async with HsmWorld(server.token) as world:
        uuid = await world.write()
        await world.sign(uuid)
        server.signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcomes = await asyncio.gather(*(world.sign(uuid) for _ in range(200)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert loop.time() - started < 3
        server.signal(signal.SIGCONT)
        world.let_time_pass()
        await world.sign(uuid)
