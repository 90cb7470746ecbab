"""What a host stands on: settings, storage, seal and tokens, before there is any namespace, mount or route."""

import asyncio

from chancery.auth.store import TokenStore
from chancery.coherence import Coherence
from chancery.kit.attempts import Attempts, OwnAttempts
from chancery.kit.clock import Clock
from chancery.kit.engine import KmsLibrary
from chancery.kit.outgoing import Outgoing
from chancery.kit.seal_keepers import SealKeeperContext
from chancery.outgoing import OutgoingDoor
from chancery.plugins import Catalog
from chancery.seal.service import SealService
from chancery.seal.settings import open_keepers
from chancery.services import OfferedServices
from chancery.settings import Settings
from chancery.storage.database import database_at
from chancery.storage.documents import DocumentStore
from chancery.storage.migrate import migrate
from chancery.storage.schema import HOST
from chancery.telemetry.instruments import measure_cache, measure_commits, measure_seal
from chancery.telemetry.service import Telemetry
from chancery.telemetry.tracing import Tracing
from chancery.workers.siblings import Siblings


class Foundation:
    """Built without I/O; `open` touches the database. Everything here outlives seals and unseals."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        clock: Clock,
        *,
        siblings: Siblings | None = None,
        attempts: Attempts | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """The keywords are given when this process is one of several workers."""
        self.settings, self.catalog, self.clock = settings, catalog, clock
        self.siblings = siblings
        self.attempts = attempts or OwnAttempts()
        self.telemetry = telemetry or Telemetry()
        self.libraries: tuple[KmsLibrary, ...] = settings.libraries()
        storage = settings.storage
        self.tracing = Tracing(settings.telemetry.traces)
        self.meter = self.tracing.meter(self.telemetry.meter)
        database = database_at(storage.url, pool_size=storage.pool_size, statement_timeout=storage.statement_timeout)
        database.on_batch = measure_commits(self.meter)
        self.database = self.tracing.database(database)
        keepers = SealKeeperContext(lambda: self.libraries, self.attempts)
        self.keepers = open_keepers(settings.seal, settings.previous_seal, keepers)
        self.seal = SealService(self.database, clock, storage_type=self.database.storage_type, keepers=self.keepers)
        self.documents = DocumentStore(self.database, self.seal.barrier)
        if siblings is not None:
            self.documents.on_commit.append(siblings.changes.announce)
            self.seal.on_changed = siblings.changes.announce
        self.tokens = TokenStore(
            self.database,
            self.documents.scope("token/store"),
            self.seal.barrier,
            clock,
            default_ttl=settings.default_lease_ttl,
            max_ttl=settings.max_lease_ttl,
        )
        measure_cache(self.meter, "documents", self.documents.cache_uses)
        measure_cache(self.meter, "tokens", lambda: (self.tokens.hits, self.tokens.misses))
        measure_seal(self.meter, lambda: self.seal.barrier.is_sealed)
        self.coherence = Coherence(self.database, self.documents, self.seal, max_staleness=storage.max_staleness)
        self.outgoing = OutgoingDoor(settings.outgoing.rules())
        self.services = OfferedServices()
        self.services.add(Outgoing, self.outgoing)

    async def open(self) -> None:
        """Open the database, bring its schema up to date and read how the server is sealed."""
        await self.database.open()
        await migrate(self.database, [HOST, *self.catalog.schemas()])
        await self.seal.load()

    async def close(self) -> None:
        """Close the database once everything accepted is durable."""
        await self.outgoing.close()
        await self.database.close()
        await asyncio.to_thread(self.tracing.close)

    async def reload(self, settings: Settings) -> None:
        """Take over the PKCS#11 libraries that the settings name now."""
        self.libraries = settings.libraries()
        for keeper in (self.keepers.current, self.keepers.previous):
            if keeper is not None:
                await keeper.reload()

    def forget(self) -> None:
        """Close the barrier and drop whatever was read through it."""
        self.seal.seal()
        self.documents.forget()
        self.tokens.forget()
