"""Takes secrets back: when they are due, when somebody says so, when their mount goes.

Intent, act, result: a lease falls due in the database, its engine is called, its row is removed. A crash in between
has the engine called again, which is why `revoke_lease` is idempotent. No transaction is open while an engine acts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime

from chancery.kit.clock import Clock
from chancery.kit.engine import Engine, LeasingEngine
from chancery.kit.errors import ChanceryError, Unavailable
from chancery.kit.storage import Database
from chancery.leases import rows
from chancery.leases.book import LeaseBook
from chancery.leases.model import LeaseRecord, next_attempt

_log = logging.getLogger(__name__)

_TOGETHER = 16
_PAGE = 200
_DEADLINE = 60.0

EngineOf = Callable[[str], Engine | None]
"""Finds the open engine of a mount by the mount's uuid."""


class RevocationFailed(Unavailable):
    """Some secrets could not be taken back now. They are tried again."""


class Revoker:
    """Takes back the secrets of all namespaces."""

    def __init__(self, book: LeaseBook, database: Database, clock: Clock, engine_of: EngineOf) -> None:
        self._book = book
        self._database = database
        self._clock = clock
        self._engine_of = engine_of

    async def any_due(self, now: datetime) -> bool:
        """Tell whether there is anything to do; cheap."""
        moment = int(now.timestamp())
        return await self._database.read(lambda at: rows.any_due(at, moment))

    async def work_off(self, now: datetime) -> None:
        """Take back whatever is due. Failures are written down with the time of the next attempt."""
        moment = int(now.timestamp())
        while due := await self._book.due(moment, _PAGE):
            await self._attempt(due, moment)

    async def mark_due(self, condition: rows.Condition) -> None:
        """Let leases fall due at once, durably, for `work_off` to find."""
        await self._database.write(lambda at: rows.mark_due(at, condition))
        if self._book.on_due is not None:
            self._book.on_due()

    async def revoke(self, condition: rows.Condition) -> None:
        """Take back what leases stand for, and return when it is done. Raises RevocationFailed if some resisted."""
        await self._database.write(lambda at: rows.mark_due(at, condition))
        now = int(self._clock.now().timestamp())
        failures = [failure async for page in self._pages(condition) for failure in await self._attempt(page, now)]
        if failures:
            more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
            raise RevocationFailed(f"failed to revoke {failures[0]}{more}; it is tried again", retry_after=10)

    async def force(self, condition: rows.Condition) -> None:
        """Take back what can be taken back, and forget the leases whatever their engines say."""
        now = int(self._clock.now().timestamp())
        async for page in self._pages(condition):
            for failure in await self._attempt(page, now):
                _log.warning("lease forgotten although its secret could not be taken back: %s", failure)
        await self._database.write(lambda at: rows.remove_resisting(at, condition))

    async def abandon(self, condition: rows.Condition) -> None:
        """Forget leases whose mount is gone."""
        abandoned = await self._database.write(lambda at: rows.remove(at, condition))
        if abandoned:
            _log.warning("%d leases forgotten with their mount: what they stood for was not taken back", abandoned)

    async def _pages(self, condition: rows.Condition) -> AsyncIterator[list[LeaseRecord]]:
        after = ("", "")
        while page := await self._book.page(condition, after, _PAGE):
            yield page
            after = (page[-1].namespace, page[-1].id)

    async def _attempt(self, records: Iterable[LeaseRecord], now: int) -> list[str]:
        """Try each lease once, several at a time. Returns what became of those that failed."""
        slots = asyncio.Semaphore(_TOGETHER)

        async def one(record: LeaseRecord) -> str:
            async with slots:
                return await self._attempt_one(record, now)

        outcomes = await asyncio.gather(*(one(record) for record in records))
        return [outcome for outcome in outcomes if outcome]

    async def _attempt_one(self, record: LeaseRecord, now: int) -> str:
        key = (record.namespace, record.id)
        try:
            await self._take_back(record)
        except Exception as error:  # noqa: BLE001 - whatever an engine raises must not keep the other leases from ending
            reason = _reason(error, record)
            attempts = record.attempts + 1
            due_at = next_attempt(attempts, now)
            await self._database.write(lambda at: rows.failed(at, key, attempts, due_at, reason))
            if due_at is None:
                _log.error("lease %s is irrevocable after %d attempts: %s", record.id, attempts, reason)
            return f"{record.id}: {reason}"
        await self._database.write(lambda at: rows.remove(at, rows.one(*key)))
        return ""

    async def _take_back(self, record: LeaseRecord) -> None:
        engine = self._engine_of(record.mount)
        if not isinstance(engine, LeasingEngine):
            raise Unavailable("no mounted engine knows the lease; mount it again, or use sys/leases/revoke-force")
        async with asyncio.timeout(_DEADLINE):
            await engine.revoke_lease(record.terms.revocation, self._clock.now())


def _reason(error: Exception, record: LeaseRecord) -> str:
    if isinstance(error, ChanceryError):
        return error.message
    if isinstance(error, TimeoutError):
        return f"the engine took longer than {_DEADLINE:.0f} seconds"
    _log.error("revoking the lease %s failed", record.id, exc_info=error)
    return "internal error, see the server's log"
