"""Signers killed, crashed and frozen at random under load: each request ends in time, with a true signature or none."""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from chancery.kit.errors import Unavailable
from tests.support.hsm_token import SoftToken, make_token
from tests.support.hsm_world import HsmWorld

pytestmark = pytest.mark.slow

ROUNDS = 15
DEADLINE = 1.0


@pytest.fixture
def token(tmp_path: Path) -> SoftToken:
    """Make a token whose operations have one second."""
    return make_token(tmp_path / "hsm", timeout=DEADLINE)


async def test_every_request_ends_in_time(token: SoftToken) -> None:
    """The guard and the signer verify each signature, so an answer that is not an error is a good one."""
    chance, loop = random.Random(20261122), asyncio.get_running_loop()
    durations: list[float] = []
    outcomes: list[bytes | Unavailable] = []
    async with HsmWorld(token) as world:
        uuid = await world.write(max_parallel=2)
        await world.sign(uuid)

        async def sign() -> None:
            started = loop.time()
            try:
                outcomes.append(await world.sign(uuid, os.urandom(20)))
            except Unavailable as error:
                outcomes.append(error)
            durations.append(loop.time() - started)

        for _ in range(ROUNDS):
            batch = [asyncio.ensure_future(sign()) for _ in range(60)]
            await asyncio.sleep(0)
            for pid in world.process_ids:
                os.kill(pid, chance.choice([0, signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP]))
            await asyncio.gather(*batch)
            world.let_time_pass()
        await world.sign(uuid)
        assert not world.pool._waiting
    assert len(outcomes) == ROUNDS * 60
    assert sum(isinstance(outcome, bytes) for outcome in outcomes) > ROUNDS * 60 / 4
    assert max(durations) < 3 * DEADLINE
