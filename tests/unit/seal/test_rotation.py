"""When the keyring gets a new key."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chancery.kit.errors import BadInput
from chancery.seal import rotation as rotation_module
from chancery.seal.rotation import MAX_OPERATIONS, MIN_OPERATIONS, Rotation, RotationConfig
from chancery.seal.service import SealService
from chancery.storage.database import HostDatabase
from chancery.storage.documents import DocumentStore
from tests.support.hsm_host import StoppedClock
from tests.support.storage_open import prepare, sqlite_backend

DAY = 24 * 3600


class Node:
    """One process: its seal and its rotation."""

    def __init__(self, database: HostDatabase, clock: StoppedClock) -> None:
        self.seal = SealService(database, clock)
        store = DocumentStore(database, self.seal.barrier)
        self.rotation = Rotation(self.seal, database, store.scope("system/seal"), clock)

    def encrypt(self, times: int) -> None:
        """Encrypt so often."""
        for _ in range(times):
            self.seal.barrier.seal(b"x", b"c")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def nodes(tmp_path: Path, clock: StoppedClock) -> AsyncIterator[list[Node]]:
    """Return two processes on one database."""
    async with sqlite_backend(tmp_path) as database:
        await prepare(database)
        nodes = [Node(database, clock) for _ in range(2)]
        (key,) = await nodes[0].seal.initialize(1, 1)
        for node in nodes:
            await node.seal.unseal(key)
        yield nodes


async def test_encryptions_are_added_up_over_processes(nodes: list[Node]) -> None:
    first, second = nodes
    first.encrypt(5)
    second.encrypt(7)
    assert (await first.rotation.status()).encryptions == 5
    await second.rotation.tick()
    assert (await first.rotation.status()).encryptions == 12
    await first.rotation.tick()
    assert ((await second.rotation.status()).encryptions, first.seal.barrier.encryptions) == (12, 0)


async def test_rotating_begins_to_count_anew(nodes: list[Node], clock: StoppedClock) -> None:
    first, second = nodes
    first.encrypt(3)
    clock.advance(10)
    assert await first.rotation.rotate() == 2
    status = await first.rotation.status()
    assert (status.term, status.encryptions, status.install_time) == (2, 0, datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC))
    second.encrypt(2)
    await second.rotation.tick()
    await second.seal.refresh()
    assert (await second.rotation.status()).encryptions == 0
    assert await second.rotation.rotate() == 3, "nobody is told to try again"


async def test_a_key_that_is_old_is_replaced_once(nodes: list[Node], clock: StoppedClock) -> None:
    first, second = nodes
    await first.rotation.configure(RotationConfig(interval=2 * DAY))
    clock.advance(2 * DAY - 1)
    await first.rotation.tick()
    assert (await first.rotation.status()).term == 1
    clock.advance(1)
    await first.rotation.tick()
    await second.seal.refresh()
    await second.rotation.tick()
    assert [(await node.rotation.status()).term for node in nodes] == [2, 2]


async def test_a_key_that_did_much_is_replaced(nodes: list[Node]) -> None:
    node = nodes[0]
    await node.rotation.configure(RotationConfig(max_operations=MIN_OPERATIONS))
    node.seal.barrier.encryptions = MIN_OPERATIONS
    await node.rotation.configure(RotationConfig(max_operations=MIN_OPERATIONS, enabled=False))
    await node.rotation.tick()
    assert (await node.rotation.status()).term == 1
    await node.rotation.configure(RotationConfig(max_operations=MIN_OPERATIONS))
    await node.rotation.tick()
    assert (await node.rotation.status()).term == 2


async def test_every_wrong_value_is_named(nodes: list[Node]) -> None:
    rotation = nodes[0].rotation
    assert await rotation.config() == RotationConfig(enabled=True, max_operations=MAX_OPERATIONS, interval=0)
    with pytest.raises(BadInput) as caught:
        await rotation.configure(RotationConfig(max_operations=5, interval=3600))
    assert {problem.field for problem in caught.value.problems} == {"max_operations", "interval"}


async def test_it_looks_by_itself(nodes: list[Node], clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    rotation = nodes[0].rotation
    await rotation.configure(RotationConfig(interval=DAY))
    clock.moment += timedelta(days=1)
    rotated = asyncio.Event()

    async def rotate() -> int:
        rotated.set()
        return 2

    monkeypatch.setattr(rotation_module, "TICK", 0.001)
    monkeypatch.setattr(rotation, "rotate", rotate)
    rotation.start()
    async with asyncio.timeout(5):
        await rotated.wait()
    await rotation.stop()
    await rotation.stop()
