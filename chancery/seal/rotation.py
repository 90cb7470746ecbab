"""When the keyring gets a new key: on request, after an interval, and before a key has encrypted too much.

How much a key encrypted is counted in every process and added up in the database now and then, so the sum is a little
behind: by less than a million, of the four thousand million that random nonces allow.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field
from sqlalchemy import Connection

from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, ChanceryError, Conflict, Problem
from chancery.kit.storage import Database, Documents, Stored
from chancery.seal import records
from chancery.seal.service import SealService

MAX_OPERATIONS = 3_865_470_566
"""Nine tenths of the 2^32 messages that random nonces of 96 bits allow (NIST SP 800-38D, 8.3)."""
MIN_OPERATIONS = 1_000_000
MIN_INTERVAL = 24 * 3600
TICK = 60.0
"""Seconds between two looks whether it is time."""

_CONFIG = "config"

_log = logging.getLogger(__name__)


class RotationConfig(Stored):
    """When to rotate without being asked."""

    enabled: bool = True
    max_operations: int = MAX_OPERATIONS
    interval: int = Field(default=0, ge=0)
    """Seconds; 0: however old the key is."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What `sys/key-status` tells of the active key."""

    term: int
    install_time: datetime
    encryptions: int


class Rotation:
    """One for the process."""

    def __init__(self, seal: SealService, database: Database, documents: Documents, clock: Clock) -> None:
        self._seal = seal
        self._database = database
        self._configs = documents.collection("rotation", RotationConfig)
        self._clock = clock
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now and then whether it is time. Called when the server begins to serve."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def status(self) -> KeyStatus:
        """Return what the active key is and did. Raises Sealed."""
        key = self._seal.barrier.key_status()
        stored = await self._database.read(lambda at: records.read_encryptions(at, key.term))
        return KeyStatus(key.term, key.install_time, stored + self._seal.barrier.encryptions)

    async def config(self) -> RotationConfig:
        """Return when to rotate."""
        document = await self._configs.get(_CONFIG)
        return document.value if document is not None else RotationConfig()

    async def configure(self, config: RotationConfig) -> None:
        """Change when to rotate. Raises BadInput naming every value that is out of range."""
        problems = []
        if not MIN_OPERATIONS <= config.max_operations <= MAX_OPERATIONS:
            problems.append(Problem("max_operations", f"must be in the range [{MIN_OPERATIONS},{MAX_OPERATIONS}]"))
        if config.interval and config.interval < MIN_INTERVAL:
            problems.append(Problem("interval", "must be greater or equal to 24h0m0s"))
        if problems:
            raise BadInput(problems=problems)
        await self._configs.put(_CONFIG, config)

    async def rotate(self) -> int:
        """Encrypt with a new key from now on; returns its number. Raises Sealed, and Conflict."""
        await self._count()
        await self._seal.refresh()
        return await self._seal.rotate()

    async def tick(self) -> None:
        """Add up what was encrypted, and rotate if it is time. Raises Sealed."""
        await self._count()
        config, status = await self.config(), await self.status()
        if not config.enabled or not _is_due(config, status, self._clock.now()):
            return
        try:
            term = await self.rotate()
        except Conflict:
            return  # another process rotated just now
        _log.info("the barrier encrypts with key %d from now on", term)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.tick()
            except ChanceryError as error:
                _log.warning("could not look whether the keyring is due for rotation: %s", error.message)
            except Exception:  # noqa: BLE001  # trying again in a minute is all that can be done
                _log.exception("could not look whether the keyring is due for rotation")

    async def _count(self) -> None:
        """Move what this process counted into the database."""
        barrier = self._seal.barrier
        term, counted = barrier.key_status().term, barrier.encryptions
        if not counted:
            return

        def work(connection: Connection) -> None:
            records.add_encryptions(connection, term, counted)

        await self._database.write(work)
        barrier.uncount(term, counted)


def _is_due(config: RotationConfig, status: KeyStatus, now: datetime) -> bool:
    if status.encryptions >= config.max_operations:
        return True
    return bool(config.interval) and now >= status.install_time + timedelta(seconds=config.interval)
