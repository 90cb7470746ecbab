"""The host put together: storage, seal, tokens, policies, mounts and extensions, from closed to open and back.

States: closed -> (open) -> sealed -> (unseal) -> serving -> (seal) -> sealed -> (close) -> closed.
"""

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy import Connection

from chancery.access import Access
from chancery.audit.build import AUDIT, build_audit
from chancery.auth.engine import TokenEngine
from chancery.auth.lockouts import LockRecords, MountLockouts
from chancery.auth.logins import LoginService
from chancery.auth.store import ROOT_TOKEN_LENGTH, TokenStore
from chancery.coherence import Coherence
from chancery.exchange import Message, Surroundings
from chancery.following import follow_stored
from chancery.identity.engine import IdentityEngine
from chancery.kit.attempts import Attempts, OwnAttempts
from chancery.kit.clock import Clock
from chancery.kit.engine import Engine, HostContext, Mount
from chancery.kit.errors import NotInitialized, Sealed
from chancery.kit.outgoing import Outgoing
from chancery.kit.route import Route
from chancery.kit.seal_keepers import SealKeeperContext
from chancery.kit.sealing import Barrier
from chancery.namespaces.tenants import Tenant, Tenants
from chancery.outgoing import OutgoingDoor
from chancery.pipeline import Pipeline, Served
from chancery.plugins import Catalog
from chancery.policy.routes import PolicyRoutes
from chancery.routing.mounts import MountKind, World
from chancery.routing.router import Router
from chancery.routing.table import MountTable
from chancery.seal.auto_unseal import AutoUnseal
from chancery.seal.service import SealService, SealStatus
from chancery.seal.settings import open_keepers
from chancery.services import OfferedServices
from chancery.settings import Settings
from chancery.storage.database import database_at
from chancery.storage.documents import DocumentStore
from chancery.storage.migrate import migrate
from chancery.storage.schema import HOST
from chancery.system.audit import AuditRoutes
from chancery.system.auth import AuthRoutes, LockedUserRoutes
from chancery.system.engine import SystemEngine
from chancery.system.metrics import MetricsRoutes
from chancery.system.mount_settings import SystemTtls
from chancery.system.mounts import MountRoutes
from chancery.system.namespaces import NamespaceRoutes
from chancery.system.openapi import OpenApiRoutes
from chancery.system.seal_operations import SealOperations
from chancery.system.status import StatusRoutes
from chancery.system.ui_mounts import VisibleMountRoutes
from chancery.telemetry.instruments import measure_cache, measure_commits, measure_seal
from chancery.telemetry.service import Telemetry
from chancery.upkeep import Upkeep
from chancery.workers.siblings import Siblings

_log = logging.getLogger(__name__)


class Host:
    """One server process without its sockets."""

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
        self.telemetry = telemetry or Telemetry()
        self._siblings = siblings
        self._attempts = attempts or OwnAttempts()
        self._settings = settings
        self._libraries = settings.libraries()
        self._catalog = catalog
        self._clock = clock
        self._transition = asyncio.Lock()
        self._serving = False
        storage = settings.storage
        self._database = database_at(
            storage.url, pool_size=storage.pool_size, statement_timeout=storage.statement_timeout
        )
        self._database.on_batch = measure_commits(self.telemetry.meter)
        keepers = SealKeeperContext(lambda: self._libraries, self._attempts)
        self._keepers = open_keepers(settings.seal, settings.previous_seal, keepers)
        self._seal = SealService(self._database, clock, storage_type=self._database.storage_type, keepers=self._keepers)
        self._seal.on_lost = self._lose_seal
        self._auto_unseal = AutoUnseal(self._seal, self._unseal_by_keeper, self._is_eldest)
        self._losing: asyncio.Task[None] | None = None
        self._store = DocumentStore(self._database, self._seal.barrier)
        if siblings is not None:
            self._store.on_commit.append(siblings.changes.announce)
        self._tokens = TokenStore(
            self._database,
            self._store.scope("token/store"),
            self._seal.barrier,
            clock,
            default_ttl=settings.default_lease_ttl,
            max_ttl=settings.max_lease_ttl,
        )
        self._seal_operations = SealOperations(
            self._seal,
            self._database,
            self._store.scope("system/seal"),
            clock,
            create_root=self._create_root,
            root_token_length=ROOT_TOKEN_LENGTH,
            unauthenticated=settings.seal.unauthenticated,
        )
        self._table = MountTable()
        limits = self._store.scope("system/quotas")
        self._upkeep = Upkeep(settings, self._database, self._seal.barrier, clock, limits, self._tokens, self._table)
        self._services = OfferedServices()
        self._outgoing = OutgoingDoor(settings.outgoing.rules())
        self._services.add(Outgoing, self._outgoing)
        self._tenants = Tenants(
            self._table,
            self._world(),
            self._tokens,
            self._builtins,
            [extension.name for extension in catalog.extensions],
        )
        measure_cache(self.telemetry.meter, "documents", self._store.cache_uses)
        measure_cache(self.telemetry.meter, "tokens", lambda: (self._tokens.hits, self._tokens.misses))
        measure_seal(self.telemetry.meter, lambda: not self._serving)
        self._access = Access(self._tokens, self._tenants, clock)
        self.coherence = Coherence(self._database, self._store, self._seal, max_staleness=storage.max_staleness)
        follow_stored(self.coherence, self._tokens, self._tenants)
        self._upkeep.follow(self.coherence)
        self._logins = LoginService(self._tokens, self._tenants, self._table)
        self._extensions = [extension.open(self._extension_context(extension.name)) for extension in catalog.extensions]
        for extension in self._extensions:
            self._services.offer(extension)
        self._status = StatusRoutes(self, clock, settings.cluster_name)
        self._metrics = MetricsRoutes(
            self.telemetry,
            clock,
            open_metrics=settings.telemetry.unauthenticated_metrics_access,
            open_in_flight=settings.telemetry.unauthenticated_in_flight_requests_access,
        )
        self._bootstrap = Router([*self._status.routes(), *self._metrics.routes()])
        scope = self._store.scope(AUDIT)
        self._audit = build_audit(settings.audit, catalog.engines, scope, clock, self.telemetry.meter)
        self._audit.follow(self.coherence)
        around = self._upkeep.around(Surroundings(logins=self._logins, audit=self._audit.trail))
        self._pipeline = Pipeline(self._table, self._tenants, self._access, clock, around)

    async def open(self) -> None:
        """Open the database, bring its schema up to date and read the seal's configuration. Ends sealed."""
        await self._database.open()
        await migrate(self._database, [HOST, *self._catalog.schemas()])
        await self._seal.load()

    async def close(self) -> None:
        """Seal, then close the database once everything accepted is durable."""
        await self._auto_unseal.stop()
        if self._losing is not None:
            await asyncio.wait([self._losing])
        async with self._transition:
            await self._stop_serving()
            self._seal.seal()
        await self._outgoing.close()
        await self._database.close()

    async def serve(self, message: Message) -> Served:
        """Answer one request. Raises the errors of `chancery.kit.errors`."""
        if self._serving:
            if self.coherence.is_stale:
                raise self.coherence.refusal()
            if self._siblings is not None and self._siblings.changes.are_pending:
                await self._siblings.changes.follow(self._follow_siblings)
            return await self._pipeline.serve(message)
        return await self._serve_sealed(message)

    async def reload(self, settings: Settings) -> None:
        """Take over what SIGHUP may change: the PKCS#11 libraries, and audit files that were rotated."""
        self._audit.reopen()
        self._libraries = settings.libraries()
        for extension in self._extensions:
            await extension.reload()
        for keeper in (self._keepers.current, self._keepers.previous):
            if keeper is not None:
                await keeper.reload()
        self._auto_unseal.hurry()

    def status(self) -> SealStatus:
        """Return the state of the seal."""
        return self._seal.status()

    async def initialize(self, shares: int, threshold: int, *, root_token: str = "") -> tuple[list[bytes], str]:
        """Create the barrier and the first root token. Returns the unseal shares and the token; ends sealed."""
        drafted: list[str] = []

        def root(barrier: Barrier) -> Callable[[Connection], None]:
            created, work = self._tokens.first_root(barrier, token_id=root_token)
            drafted.append(created.token)
            return work

        pieces = await self._seal.initialize(shares, threshold, root)
        if self._siblings is not None:
            await self._siblings.initialized()
        self._auto_unseal.start()
        return pieces, drafted[-1]

    async def unseal(self, share: bytes, *, migrate: bool = False) -> SealStatus:
        """Take one share; opens mounts and extensions once there are enough."""
        status = await self._seal.unseal(share, migrate=migrate)
        if not status.sealed:
            await self._serve_unsealed()
        return status

    def unseal_when_possible(self) -> None:
        """Begin to ask the keeper of the root key, if there is one; `status` tells what comes of it."""
        self._auto_unseal.start()

    async def reset_unseal(self) -> SealStatus:
        """Forget the shares given so far."""
        self._seal.reset()
        return self._seal.status()

    async def seal(self) -> None:
        """Stop serving and forget every key, in every worker."""
        await self.seal_here()
        if self._siblings is not None:
            await self._siblings.sealed()

    async def seal_here(self) -> None:
        """Stop serving and forget every key, in this process alone."""
        async with self._transition:
            await self._stop_serving()
            self._forget()
            _log.info("sealed")

    def root_key(self) -> bytes:
        """Return the root key for a sibling; nothing while sealed."""
        return self._seal.root_key() if self._serving else b""

    async def adopt(self, root_key: bytes) -> None:
        """Unseal with the root key of a sibling. Raises Corrupted when it does not fit."""
        async with self._transition:
            if self._seal.status().sealed:
                await self._seal.adopt(root_key)
                await self._start_serving()

    async def learn_initialized(self) -> None:
        """Read how the server is sealed: a sibling initialized it."""
        await self._seal.load()

    async def ensure_root_token(self, token: str) -> str:
        """Return `token` if it is valid, else create a root token with that text (any text when empty)."""
        if token and await self._tokens.lookup(token, self._clock.now()) is not None:
            return token
        return (await self._tokens.create_root(token_id=token)).token

    async def _unseal_by_keeper(self) -> None:
        await self._seal.unseal_by_keeper()
        await self._serve_unsealed()

    async def _serve_unsealed(self) -> None:
        """Open everything behind a seal that is open, here and in the workers beside this one."""
        async with self._transition:
            if self._serving or self._seal.barrier.is_sealed:
                return
            await self._start_serving()
        if self._siblings is not None:
            await self._siblings.unsealed(self._seal.root_key())

    def _lose_seal(self) -> None:
        """Stop serving after the seal closed by itself; the keeper, if there is one, opens it again."""

        async def lose() -> None:
            await self.seal_here()
            self._auto_unseal.start()

        self._losing = asyncio.get_running_loop().create_task(lose())

    def _is_eldest(self) -> bool:
        return self._siblings is None or self._siblings.is_eldest

    async def _create_root(self) -> str:
        return (await self._tokens.create_root()).token

    async def _follow_siblings(self) -> None:
        await self.coherence.follow()

    async def _serve_sealed(self, message: Message) -> Served:
        prefix, _, below = message.path.partition("/")
        match = self._bootstrap.match(below) if prefix == "sys" else None
        if match is None or not match.route.unauthenticated:
            raise Sealed if self._seal.status().initialized else NotInitialized
        return await self._pipeline.serve_sealed(message, match)

    async def _start_serving(self) -> None:
        try:
            await self.coherence.catch_up()
            await self._audit.start()
            for extension in self._extensions:
                await extension.start()
            await self._tenants.open_all()
            await self._upkeep.start()
            self._seal_operations.start()
        except BaseException:
            await self._stop_serving()
            self._forget()
            raise
        self.coherence.start()
        self._serving = True
        _log.info("unsealed")

    async def _stop_serving(self) -> None:
        self._serving = False
        await self.coherence.stop()
        await self._seal_operations.stop()
        await self._upkeep.stop()
        await self._tenants.close_all()
        for extension in self._extensions:
            await extension.stop()
        await self._audit.stop()

    def _forget(self) -> None:
        self._seal.seal()
        self._store.forget()
        self._tokens.forget()

    def _builtins(self, tenant: Tenant) -> dict[str, tuple[str, Engine]]:
        namespace_id = tenant.namespace.id
        roles, sudo = self._store.scope(f"token/{namespace_id}"), self._access.has_sudo
        return {
            "sys/": ("system", SystemEngine(self._system_routes(tenant))),
            "auth/token/": ("token", TokenEngine(self._tokens, tenant.policies, roles, sudo, self._logins)),
            "identity/": ("identity", IdentityEngine(tenant.identity, tenant.mounts.all, namespace_id)),
            "cubbyhole/": ("cubbyhole", self._upkeep.cubbyhole()),
        }

    def _system_routes(self, tenant: Tenant) -> list[Route]:
        ttls = SystemTtls(self._settings.default_lease_ttl, self._settings.max_lease_ttl)
        return [
            *self._status.routes(),
            *self._seal_operations.routes(),
            *self._metrics.routes(),
            *AuditRoutes(self._audit).routes(),
            *MountRoutes(tenant.mounts, ttls).routes(),
            *AuthRoutes(tenant.mounts, ttls).routes(),
            *VisibleMountRoutes(tenant.mounts, self._access).routes(),
            *LockedUserRoutes(self._locks(tenant.namespace.id), tenant.namespace).routes(),
            *NamespaceRoutes(self._tenants, tenant.namespace).routes(),
            *self._upkeep.routes(self._access, self._tenants),
            *OpenApiRoutes(self._table, tenant.namespace.id).routes(),
            *PolicyRoutes(tenant.policies, self._access).routes(),
            *(route for extension in self._extensions for route in extension.routes()),
        ]

    def _world(self) -> World:
        return World(
            documents=self._store.scope,
            engines=self._catalog.engines,
            database=self._database,
            barrier=self._seal.barrier,
            clock=self._clock,
            services=self._services,
            default_lease_ttl=self._settings.default_lease_ttl,
            max_lease_ttl=self._settings.max_lease_ttl,
            auth_methods=self._catalog.auth_methods,
            lockouts=lambda namespace_id, mount: MountLockouts(self._locks(namespace_id), mount),
            before_disable=self._upkeep.before_disable,
            before_erase=self._take_leave,
        )

    def _locks(self, namespace_id: str) -> LockRecords:
        return LockRecords(self._store.scope(f"lockout/{namespace_id}"), self._seal.barrier)

    async def _take_leave(self, mount: Mount) -> None:
        """End what a mount that is being disabled has given out."""
        if MountKind.of(mount.path) is MountKind.AUTH:
            await self._tokens.revoke_mount(mount.uuid)
        await self._upkeep.before_erase(mount)

    def _extension_context(self, name: str) -> HostContext:
        return HostContext(
            documents=lambda namespace_id: self._store.scope(f"{name}/{namespace_id}"),
            database=self._database,
            barrier=self._seal.barrier,
            clock=self._clock,
            mounts=self._tenants,
            kms_libraries=lambda: self._libraries,
            attempts=self._attempts,
            meter=self.telemetry.meter,
        )
