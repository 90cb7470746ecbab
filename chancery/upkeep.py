"""Everything that outlives a request: leases, wrapped answers, cubbyholes, rate limits, and the periodic work on them.

One for the process. Starts with serving and stops with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from chancery.access import Access
from chancery.auth.store import TokenStore
from chancery.coherence import Changes, Coherence
from chancery.cubbyhole import CubbyholeEngine, Cubbyholes
from chancery.exchange import Surroundings
from chancery.kit.clock import Clock
from chancery.kit.engine import Engine, Job, LeasingEngine, Mount, PeriodicEngine
from chancery.kit.route import Route
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, Documents
from chancery.leases import rows
from chancery.leases.book import LeaseBook
from chancery.leases.revoker import Revoker
from chancery.namespaces.tenants import Tenants
from chancery.quotas.service import QuotaService
from chancery.routing.table import Mounted, MountTable
from chancery.scheduler import turns
from chancery.scheduler.service import Scheduler
from chancery.settings import Settings
from chancery.system.leases import LeaseRoutes
from chancery.system.quotas import QuotaRoutes
from chancery.system.wrapping import WrappingRoutes
from chancery.wrapping import WrappingService

_LEASES = "leases"
_LEASE_PERIOD = 5
_TOKEN_PERIOD = 30


class Upkeep:
    """Builds the parts, and gives each its work."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        barrier: Barrier,
        clock: Clock,
        documents: Documents,
        tokens: TokenStore,
        table: MountTable,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._table = table
        self.quotas = QuotaService(documents, clock)
        self.leases = LeaseBook(
            database, barrier, clock, default_ttl=settings.default_lease_ttl, max_ttl=settings.max_lease_ttl
        )
        self._revoker = Revoker(self.leases, database, clock, self._engine_of)
        self._cubbyholes = Cubbyholes(database, barrier)
        self.wrapping = WrappingService(tokens, self._cubbyholes, database)
        self.scheduler = Scheduler(database, clock, self._jobs)
        self._own_jobs: list[Job] = [
            Job(_LEASES, _LEASE_PERIOD, self._revoker.work_off, self._revoker.any_due),
            Job("tokens", _TOKEN_PERIOD, self._tidy_tokens, tokens.any_to_tidy),
        ]
        self.leases.on_due = tokens.on_ended = lambda: self.scheduler.wake(_LEASES)

    def around(self, surroundings: Surroundings) -> Surroundings:
        """Fill the ports of the pipeline that are kept here."""
        return replace(surroundings, quotas=self.quotas, leases=self.leases, wrapping=self.wrapping)

    def follow(self, coherence: Coherence) -> None:
        """Have limits followed that other processes change."""

        async def load(_changes: Changes) -> None:
            await self.quotas.load()

        for kind in QuotaService.KINDS:
            coherence.on_change("system/quotas", kind, load)

    def add_job(self, job: Job) -> None:
        """Add work of another part of the host. Called before `start`."""
        self._own_jobs.append(job)

    async def start(self) -> None:
        """Read the limits and begin with the periodic work. Called when the mounts are open."""
        await self.quotas.load()
        self.scheduler.start()

    async def stop(self) -> None:
        """End the periodic work and forget the limits. Called before the mounts close."""
        await self.scheduler.stop()
        self.quotas.forget()

    def routes(self, access: Access, tenants: Tenants) -> list[Route]:
        """Return the routes below `sys/` of any namespace."""
        return [
            *LeaseRoutes(self.leases, self._revoker, access, self._mount_by_uuid).routes(),
            *WrappingRoutes(self.wrapping).routes(),
            *QuotaRoutes(self.quotas, tenants, self._table).routes(),
        ]

    def cubbyhole(self) -> Engine:
        """Return a namespace's engine for `cubbyhole/`."""
        return CubbyholeEngine(self._cubbyholes)

    async def before_disable(self, mount: Mount) -> None:
        """Take back what a mount has leased out. Raises RevocationFailed: then the mount must stay."""
        if isinstance(self._engine_of(mount.uuid), LeasingEngine):
            await self._revoker.revoke(rows.of_mount(mount.uuid))

    async def before_erase(self, mount: Mount) -> None:
        """Forget what is left of a mount that is gone: leases given out in the last moment, turns of its jobs."""
        await self._revoker.abandon(rows.of_mount(mount.uuid))
        await self._database.write(lambda at: turns.forget(at, _job_prefix(mount)))

    def _jobs(self) -> Iterator[Job]:
        yield from self._own_jobs
        for mounted in self._table:
            yield from _jobs_of(mounted)

    async def _tidy_tokens(self, now: datetime) -> None:
        await self._tokens.tidy(now)

    def _mounted(self, uuid: str) -> Mounted | None:
        return next((mounted for mounted in self._table if mounted.mount.uuid == uuid), None)

    def _engine_of(self, uuid: str) -> Engine | None:
        mounted = self._mounted(uuid)
        return mounted.engine if mounted is not None else None

    def _mount_by_uuid(self, uuid: str) -> Mount | None:
        mounted = self._mounted(uuid)
        return mounted.mount if mounted is not None else None


def _jobs_of(mounted: Mounted) -> Sequence[Job]:
    engine = mounted.engine
    if not isinstance(engine, PeriodicEngine):
        return ()
    prefix = _job_prefix(mounted.mount)
    return [replace(job, name=prefix + job.name) for job in engine.jobs()]


def _job_prefix(mount: Mount) -> str:
    return f"mount/{mount.uuid}/"
