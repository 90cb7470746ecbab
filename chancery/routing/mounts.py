"""Mounts as durable things: enable, tune, disable, and opening them all after an unseal.

Disabling is intent, act, result: the record is marked first, so a crash half-way is finished at the next start.
"""

import asyncio
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum

from chancery.kit.clock import Clock
from chancery.kit.engine import (
    Engine,
    EngineType,
    Lockouts,
    Mount,
    MountConfig,
    MountContext,
    NeverLocked,
    Services,
)
from chancery.kit.errors import BadInput, ChanceryError
from chancery.kit.sealing import Barrier
from chancery.kit.storage import ABSENT, Database, Document, DocumentMoved, Documents, Stored
from chancery.routing.router import Router
from chancery.routing.table import Mounted, MountTable

_log = logging.getLogger(__name__)

_PROTECTED = ("sys/", "auth/", "cubbyhole/", "identity/", "audit/")


class MountKind(Enum):
    """What a mount is for; the value begins its path."""

    SECRETS = ""
    AUTH = "auth/"

    @classmethod
    def of(cls, path: str) -> "MountKind":
        """Return the kind of what is mounted at a path."""
        return cls.AUTH if path.startswith(cls.AUTH.value) else cls.SECRETS

    def bare(self, path: str) -> str:
        """Return a path as the kind's own routes spell it: without `auth/`."""
        return path.removeprefix(self.value)


class MountRecord(Stored):
    """A mount as it is kept; the document's name is its path."""

    mount: Mount
    disabling: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What every mount is given, apart from its own documents."""

    documents: Callable[[str], Documents]
    """Documents by scope."""
    engines: Mapping[str, EngineType]
    """Installed secrets engines by type."""
    database: Database
    barrier: Barrier
    clock: Clock
    services: Services
    default_lease_ttl: int
    max_lease_ttl: int
    auth_methods: Mapping[str, EngineType] = field(default_factory=dict)
    """Installed auth methods by type."""
    lockouts: Callable[[str, Callable[[], Mount]], Lockouts] | None = None
    """Makes what counts the failed logins of an auth mount, by namespace."""
    before_disable: Callable[[Mount], Awaitable[None]] | None = None
    """Called while a mount to be disabled still serves. What it raises leaves the mount as it is."""
    before_erase: Callable[[Mount], Awaitable[None]] | None = None
    """Called when a mount is being disabled, after the last request found it."""

    def types(self, path: str) -> Mapping[str, EngineType]:
        """Return what can be mounted at a path."""
        return self.auth_methods if MountKind.of(path) is MountKind.AUTH else self.engines


class MountService:
    """Keeps the mount table in step with the records of one namespace."""

    def __init__(
        self, table: MountTable, world: World, namespace_id: str, child_namespace: Callable[[str], str | None]
    ) -> None:
        """`child_namespace` returns the namespace below this one that a mount's path would hide or be hidden by."""
        self._table = table
        self._world = world
        self._namespace_id = namespace_id
        self._child_namespace = child_namespace
        self._records = world.documents(f"system/{namespace_id}").collection("mount", MountRecord)

    def all(self) -> list[Mount]:
        """Return the mounts of the namespace, built-in ones included."""
        return self._table.all(self._namespace_id)

    async def open_all(self) -> None:
        """Open every recorded mount; finish what was being disabled. Called after unseal."""
        for document in await self._records.all():
            if document.value.disabling:
                await self._finish_disable(document)
            else:
                await self._open_if_known(document)

    async def disable_all(self) -> None:
        """Take every mount away with everything it stored. Called when the namespace is deleted."""
        for document in await self._records.all():
            try:
                await self._take_back(document.value.mount)
            except ChanceryError as error:
                _log.error("mount %s goes with its namespace, and what it gave out stays: %s", document.name, error)
            await self._finish_disable(document)

    async def enable(self, mount: Mount, kind: MountKind = MountKind.SECRETS) -> None:
        """Record and open a new mount. Raises BadInput when the path is taken or the type unknown."""
        if kind is MountKind.SECRETS and mount.path.startswith(_PROTECTED):
            raise BadInput(f'cannot mount "{mount.path}"')
        types = self._world.types(mount.path)
        if mount.type not in types:
            known = ", ".join(sorted(types))
            raise BadInput(f"plugin not found in the catalog: {mount.type} (installed: {known})")
        conflict = self._table.conflict(mount.namespace_id, mount.path)
        if conflict is not None:
            raise BadInput(f"path is already in use at {kind.bare(conflict)}")
        child = self._child_namespace(mount.path)
        if child is not None:
            raise BadInput(f"path is already in use by the namespace {child}")
        try:
            await self._records.put(mount.path, MountRecord(mount=mount), expected=ABSENT)
        except DocumentMoved:
            raise BadInput(f"path is already in use at {kind.bare(mount.path)}") from None
        try:
            await self._open(mount, version=1)
        except Exception:
            await self._records.delete(mount.path)  # nobody was told that it is there
            raise

    async def tune(self, path: str, config: MountConfig, description: str, options: Mapping[str, str]) -> None:
        """Replace the tunable part of a mount. Raises BadInput for built-in mounts."""
        document = await self._records.get(path)
        mounted = self._table.get(self._namespace_id, path)
        if document is None or mounted is None:
            raise BadInput(f'cannot tune "{path}"')
        tuned = replace(mounted.mount, config=config, description=description, options=dict(options))
        stored = await self._records.put(path, MountRecord(mount=tuned), expected=document.version)
        mounted.mount, mounted.version = tuned, stored.version

    async def follow(self, path: str) -> None:
        """Open, tune or close a mount as its record says, since another process changed it. Erases nothing."""
        document = await self._records.get(path)
        record = document.value if document is not None and not document.value.disabling else None
        mounted = self._table.get(self._namespace_id, path)
        if mounted is not None and mounted.version and (record is None or record.mount.uuid != mounted.mount.uuid):
            self._table.remove(self._namespace_id, path)
            await mounted.engine.stop()
            mounted = None
        if document is None or record is None:
            return
        if mounted is None:
            await self._open_if_known(document)
        elif mounted.version < document.version:  # otherwise it was tuned here meanwhile
            mounted.mount, mounted.version = record.mount, document.version

    async def follow_all(self) -> None:
        """Follow every record, and the mounts that have one no more."""
        recorded = {document.name for document in await self._records.all()}
        for path in sorted(recorded | {mount.path for mount in self.all()}):
            await self.follow(path)

    async def disable(self, path: str, kind: MountKind = MountKind.SECRETS) -> None:
        """Take a mount away with everything it stored; silently fine when there is none, as in Vault."""
        if kind is MountKind.SECRETS and path.startswith(_PROTECTED):
            raise BadInput(f'cannot unmount "{path}"')
        document = await self._records.get(path)
        if document is None:
            return
        await self._take_back(document.value.mount)
        record = MountRecord(mount=document.value.mount, disabling=True)
        marked = await self._records.put(path, record, expected=document.version)
        await self._finish_disable(marked)

    async def _take_back(self, mount: Mount) -> None:
        if self._world.before_disable is not None:
            await self._world.before_disable(mount)

    async def _finish_disable(self, document: Document[MountRecord]) -> None:
        mount = document.value.mount
        mounted = self._table.remove(mount.namespace_id, mount.path)
        engine = mounted.engine if mounted is not None else (await self._build(mount))[0]
        if mounted is not None:
            await engine.stop()
        if self._world.before_erase is not None:
            await self._world.before_erase(mount)
        await engine.erase()
        await self._world.documents(f"mount/{mount.uuid}").erase()
        with suppress(DocumentMoved):  # another node, just started, may have finished this first
            await self._records.delete(document.name, expected=document.version)

    async def _open_if_known(self, document: Document[MountRecord]) -> None:
        """Open a recorded mount. One that cannot be opened stays closed, and keeps nothing else from opening."""
        mount = document.value.mount
        if mount.type not in self._world.types(document.name):
            _log.error("mount %s: no installed engine has its type %s", document.name, mount.type)
            return
        try:
            await self._open(mount, document.version)
        except Exception:  # noqa: BLE001 - whatever it is, it is that mount's; the log has it
            _log.exception("mount %s cannot be opened and is not served", document.name)

    async def _open(self, mount: Mount, version: int) -> None:
        engine, cell = await self._build(mount)
        mounted = Mounted(mount, engine, Router(engine.routes()), version)
        cell.append(mounted)
        await engine.start()
        known = self._table.get(self._namespace_id, mount.path)
        if known is None:
            self._table.put(mounted)
        else:  # whoever enabled it and whoever followed the record met here
            await engine.stop()

    async def _build(self, mount: Mount) -> tuple[Engine, list[Mounted]]:
        cell: list[Mounted] = []
        world = self._world

        def present() -> Mount:
            return cell[0].mount if cell else mount

        is_auth = MountKind.of(mount.path) is MountKind.AUTH
        locks = world.lockouts(mount.namespace_id, present) if is_auth and world.lockouts is not None else NeverLocked()
        context = MountContext(
            mount=present,
            documents=world.documents(f"mount/{mount.uuid}"),
            database=world.database,
            barrier=world.barrier,
            clock=world.clock,
            services=world.services,
            default_lease_ttl=world.default_lease_ttl,
            max_lease_ttl=world.max_lease_ttl,
            lockouts=locks,
        )
        engine_type = await asyncio.to_thread(world.types(mount.path).__getitem__, mount.type)  # may have to import it
        return engine_type.open(context), cell


def new_identity(mount_type: str, kind: MountKind = MountKind.SECRETS) -> tuple[str, str]:
    """Return a fresh uuid and accessor for a mount of a type."""
    prefix = "auth_" if kind is MountKind.AUTH else ""
    return str(uuid.uuid4()), f"{prefix}{mount_type}_{secrets.token_hex(4)}"
