"""What serves requests, built on a foundation: namespaces, mounts, routes, extensions, and what surrounds a request.

Built once without I/O; `start` after each unseal, `stop` at each seal.
"""

from chancery.access import Access
from chancery.audit.build import AUDIT, build_audit
from chancery.auth.engine import TokenEngine
from chancery.auth.lockouts import LockRecords, MountLockouts
from chancery.auth.logins import LoginService
from chancery.auth.store import ROOT_TOKEN_LENGTH
from chancery.exchange import Surroundings
from chancery.following import follow_stored
from chancery.foundation import Foundation
from chancery.identity.engine import IdentityEngine
from chancery.kit.engine import Engine, HostContext, Mount
from chancery.kit.route import Route
from chancery.namespaces.tenants import Tenant, Tenants
from chancery.policy.routes import PolicyRoutes
from chancery.routing.mounts import MountKind, World
from chancery.routing.router import Router
from chancery.routing.table import MountTable
from chancery.system.audit import AuditRoutes
from chancery.system.auth import AuthRoutes, LockedUserRoutes
from chancery.system.engine import SystemEngine
from chancery.system.metrics import MetricsRoutes
from chancery.system.mount_settings import SystemTtls
from chancery.system.mounts import MountRoutes
from chancery.system.namespaces import NamespaceRoutes
from chancery.system.openapi import OpenApiRoutes
from chancery.system.seal_operations import SealOperations
from chancery.system.status import Lifecycle, StatusRoutes
from chancery.system.ui_mounts import VisibleMountRoutes
from chancery.upkeep import Upkeep


class Structure:
    """The rooms above the foundation."""

    def __init__(self, base: Foundation, lifecycle: Lifecycle) -> None:
        self._base = base
        settings, catalog, clock, barrier = base.settings, base.catalog, base.clock, base.seal.barrier
        self.table = MountTable()
        limits = base.documents.scope("system/quotas")
        self.upkeep = Upkeep(settings, base.database, barrier, clock, limits, base.tokens, self.table)
        names = [extension.name for extension in catalog.extensions]
        self.tenants = Tenants(self.table, self._world(), base.tokens, self._builtins, names)
        self._access = Access(base.tokens, self.tenants, clock)
        self._logins = LoginService(base.tokens, self.tenants, self.table)
        self.audit = build_audit(
            settings.audit, catalog.engines, base.documents.scope(AUDIT), clock, base.telemetry.meter
        )
        follow_stored(base.coherence, base.tokens, self.tenants)
        self.upkeep.follow(base.coherence)
        self.audit.follow(base.coherence)
        self.extensions = [extension.open(self._extension_context(extension.name)) for extension in catalog.extensions]
        for extension in self.extensions:
            base.services.offer(extension)
        self._status = StatusRoutes(lifecycle, clock, settings.cluster_name)
        self._seal_operations = self._build_seal_operations()
        self._metrics = MetricsRoutes(
            base.telemetry,
            clock,
            open_metrics=settings.telemetry.unauthenticated_metrics_access,
            open_in_flight=settings.telemetry.unauthenticated_in_flight_requests_access,
        )
        around = self.upkeep.around(Surroundings(logins=self._logins, audit=self.audit.trail))
        self.pipeline = base.tracing.pipeline(self.table, self.tenants, self._access, clock, around)

    def bootstrap(self) -> Router:
        """Return the routes below `sys/` that are served while sealed, if they need no token."""
        return Router([*self._status.routes(), *self._metrics.routes()])

    async def start(self) -> None:
        """Open audit devices, extensions, namespaces with their mounts, and periodic work."""
        await self.audit.start()
        for extension in self.extensions:
            await extension.start()
        await self.tenants.open_all()
        await self.upkeep.start()
        self._seal_operations.start()

    async def stop(self) -> None:
        """Close everything again, audit last."""
        await self._seal_operations.stop()
        await self.upkeep.stop()
        await self.tenants.close_all()
        for extension in self.extensions:
            await extension.stop()
        await self.audit.stop()

    async def reload(self) -> None:
        """Follow changed settings and rotated audit files."""
        self.audit.reopen()
        for extension in self.extensions:
            await extension.reload()

    def _build_seal_operations(self) -> SealOperations:
        base = self._base

        async def create_root() -> str:
            return (await base.tokens.create_root()).token

        return SealOperations(
            base.seal,
            base.database,
            base.documents.scope("system/seal"),
            base.clock,
            create_root=create_root,
            root_token_length=ROOT_TOKEN_LENGTH,
            unauthenticated=base.settings.seal.unauthenticated,
        )

    def _builtins(self, tenant: Tenant) -> dict[str, tuple[str, Engine]]:
        namespace_id = tenant.namespace.id
        roles, sudo = self._base.documents.scope(f"token/{namespace_id}"), self._access.has_sudo
        return {
            "sys/": ("system", SystemEngine(self._system_routes(tenant))),
            "auth/token/": ("token", TokenEngine(self._base.tokens, tenant.policies, roles, sudo, self._logins)),
            "identity/": ("identity", IdentityEngine(tenant.identity, tenant.mounts.all, namespace_id)),
            "cubbyhole/": ("cubbyhole", self.upkeep.cubbyhole()),
        }

    def _system_routes(self, tenant: Tenant) -> list[Route]:
        ttls = SystemTtls(self._base.settings.default_lease_ttl, self._base.settings.max_lease_ttl)
        return [
            *self._status.routes(),
            *self._seal_operations.routes(),
            *self._metrics.routes(),
            *AuditRoutes(self.audit).routes(),
            *MountRoutes(tenant.mounts, ttls).routes(),
            *AuthRoutes(tenant.mounts, ttls).routes(),
            *VisibleMountRoutes(tenant.mounts, self._access).routes(),
            *LockedUserRoutes(self._locks(tenant.namespace.id), tenant.namespace).routes(),
            *NamespaceRoutes(self.tenants, tenant.namespace).routes(),
            *self.upkeep.routes(self._access, self.tenants),
            *OpenApiRoutes(self.table, tenant.namespace.id).routes(),
            *PolicyRoutes(tenant.policies, self._access).routes(),
            *(route for extension in self.extensions for route in extension.routes()),
        ]

    def _world(self) -> World:
        return World(
            documents=self._base.documents.scope,
            engines=self._base.catalog.engines,
            database=self._base.database,
            barrier=self._base.seal.barrier,
            clock=self._base.clock,
            services=self._base.services,
            default_lease_ttl=self._base.settings.default_lease_ttl,
            max_lease_ttl=self._base.settings.max_lease_ttl,
            auth_methods=self._base.catalog.auth_methods,
            lockouts=lambda namespace_id, mount: MountLockouts(self._locks(namespace_id), mount),
            before_disable=self.upkeep.before_disable,
            before_erase=self._take_leave,
        )

    def _locks(self, namespace_id: str) -> LockRecords:
        return LockRecords(self._base.documents.scope(f"lockout/{namespace_id}"), self._base.seal.barrier)

    async def _take_leave(self, mount: Mount) -> None:
        """End what a mount that is being disabled has given out."""
        if MountKind.of(mount.path) is MountKind.AUTH:
            await self._base.tokens.revoke_mount(mount.uuid)
        await self.upkeep.before_erase(mount)

    def _extension_context(self, name: str) -> HostContext:
        return HostContext(
            documents=lambda namespace_id: self._base.documents.scope(f"{name}/{namespace_id}"),
            database=self._base.database,
            barrier=self._base.seal.barrier,
            clock=self._base.clock,
            mounts=self.tenants,
            kms_libraries=lambda: self._base.libraries,
            attempts=self._base.attempts,
            meter=self._base.meter,
        )
