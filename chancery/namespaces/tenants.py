"""Every namespace with its policies and mounts: created, opened after unseal, closed at seal, deleted.

Deleting is intent, act, result: the record is marked first, so a crash half-way is finished at the next start.
"""

import asyncio
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from chancery.auth.store import TokenStore
from chancery.identity.store import IdentityStore
from chancery.kit.engine import Engine, Mount
from chancery.kit.errors import BadInput
from chancery.kit.storage import ABSENT, Document, DocumentMoved, Stored
from chancery.namespaces.model import ROOT, Namespace, NamespaceTable
from chancery.policy.store import PolicyStore
from chancery.routing.mounts import MountService, World
from chancery.routing.router import Router
from chancery.routing.table import Mounted, MountTable

_RESERVED = frozenset({"root", "sys", "auth", "audit", "cubbyhole", "identity"})
_NAME_LENGTH = 128


class NamespaceRecord(Stored):
    """A namespace as it is kept; the document's name is its path."""

    namespace: Namespace
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Tenant:
    """What one namespace owns."""

    namespace: Namespace
    policies: PolicyStore
    mounts: MountService
    identity: IdentityStore


Builtins = Callable[[Tenant], Mapping[str, tuple[str, Engine]]]
"""Gives the mounts that every namespace has: path -> (type, engine)."""


class Tenants:
    """All namespaces of the server."""

    def __init__(
        self, table: MountTable, world: World, tokens: TokenStore, builtins: Builtins, extensions: Sequence[str]
    ) -> None:
        self._table = table
        self._world = world
        self._tokens = tokens
        self._builtins = builtins
        self._extensions = extensions
        self._records = world.documents("system/namespaces").collection("namespace", NamespaceRecord)
        self._tenants: dict[str, Tenant] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self.namespaces = NamespaceTable()

    def all(self, namespace_id: str) -> list[Mount]:
        """Return the mounts of a namespace, built-in ones included."""
        return self._table.all(namespace_id)

    def tenant(self, namespace_id: str) -> Tenant:
        """Return what a namespace owns. The namespace must be open."""
        return self._tenants[namespace_id]

    def identities(self, namespace_id: str) -> IdentityStore:
        """Return the identities of a namespace. The namespace must be open."""
        return self._tenants[namespace_id].identity

    def has_mount(self, uuid: str) -> bool:
        """Tell whether a mount is still there."""
        return self._table.by_uuid(uuid) is not None

    async def open_all(self) -> None:
        """Open every namespace, parents first; finish what was being deleted. Called after unseal."""
        await self._open(ROOT)
        documents = await self._records.all()
        for document in documents:
            await self._open(document.value.namespace)
        for document in reversed(documents):
            if document.value.deleting:
                await self._finish_delete(document)

    async def close_all(self) -> None:
        """Stop every engine and forget every namespace. Called at seal and shutdown."""
        if self._opening:
            await asyncio.wait(self._opening.values())
        mounted = list(self._table)
        self._table.clear()
        for tenant in self._tenants.values():
            tenant.policies.forget()
            tenant.identity.forget()
        self._tenants.clear()
        self.namespaces = NamespaceTable()
        for each in mounted:
            await each.engine.stop()

    async def create(self, parent: Namespace, name: str, custom_metadata: Mapping[str, str]) -> Namespace:
        """Create a namespace below another, or return the one that is there. Raises BadInput for a bad name."""
        path = f"{parent.path}{_checked(name)}/"
        known = self.namespaces.get(path)
        if known is not None:
            return known
        conflict = self._table.conflict(parent.id, f"{name}/")
        if conflict is not None:
            raise BadInput(f"new namespace conflicts with existing mount: {conflict}")
        namespace = Namespace(secrets.token_hex(4), path, str(uuid.uuid4()), dict(custom_metadata))
        try:
            await self._records.put(path, NamespaceRecord(namespace=namespace), expected=ABSENT)
        except DocumentMoved:
            raise BadInput(f'namespace "{path}" was created by somebody else; read it') from None
        await self.open(namespace)
        return namespace

    async def describe(self, namespace: Namespace, custom_metadata: Mapping[str, str]) -> Namespace:
        """Replace the metadata of a namespace."""
        described = replace(namespace, custom_metadata=dict(custom_metadata))
        document = await self._records.get(namespace.path)
        if document is None or document.value.deleting:
            raise BadInput(f'namespace "{namespace.path}" is being deleted')
        await self._records.put(namespace.path, NamespaceRecord(namespace=described), expected=document.version)
        self.namespaces.put(described)
        return described

    async def delete(self, namespace: Namespace) -> None:
        """Delete a namespace with everything in it. Raises BadInput while it has namespaces below it."""
        if self.namespaces.children(namespace):
            raise BadInput("unable to delete namespace containing child namespaces")
        document = await self._records.get(namespace.path)
        if document is None:
            return
        marked = await self._records.put(
            namespace.path, NamespaceRecord(namespace=namespace, deleting=True), expected=document.version
        )
        await self._finish_delete(marked)

    def find(self, namespace_id: str) -> Tenant | None:
        """Return what a namespace owns; None when it is not open."""
        return self._tenants.get(namespace_id)

    def tenants(self) -> list[Tenant]:
        """Return what every open namespace owns."""
        return list(self._tenants.values())

    async def open(self, namespace: Namespace) -> None:
        """Open a namespace unless it is open; whoever comes while it is being opened waits for that."""
        if namespace.id in self._tenants and namespace.id not in self._opening:
            return
        opening = self._opening.get(namespace.id)
        if opening is None:
            opening = self._opening[namespace.id] = asyncio.create_task(self._open(namespace))
            opening.add_done_callback(lambda _: self._opening.pop(namespace.id, None))
        await asyncio.shield(opening)

    async def close(self, namespace: Namespace) -> None:
        """Stop serving a namespace that another process deletes or deleted. Erases nothing."""
        tenant = self._tenants.pop(namespace.id, None)
        if tenant is None:
            return
        self.namespaces.remove(namespace)
        closing = [mounted for mounted in self._table if mounted.mount.namespace_id == namespace.id]
        for mounted in closing:
            self._table.remove(namespace.id, mounted.mount.path)
        tenant.policies.forget()
        for mounted in closing:
            await mounted.engine.stop()

    async def follow(self, path: str) -> None:
        """Open, describe or close the namespace at a path as its record says, since another process changed it."""
        document = await self._records.get(path)
        record = document.value if document is not None and not document.value.deleting else None
        known = self.namespaces.get(path)
        if known is not None and (record is None or record.namespace.id != known.id):
            await self.close(known)
            known = None
        if record is None:
            return
        if known is None:
            await self.open(record.namespace)
        else:
            self.namespaces.put(record.namespace)

    async def follow_all(self) -> None:
        """Follow every record, and the namespaces that have one no more; then every mount."""
        gone = {namespace.path for namespace in self.namespaces.all() if not namespace.is_root}
        recorded = [document.name for document in await self._records.all()]
        for path in sorted(gone - set(recorded), reverse=True) + recorded:
            await self.follow(path)
        for tenant in self.tenants():
            await tenant.mounts.follow_all()

    def _hidden_child(self, parent: Namespace, mount_path: str) -> str | None:
        first = f"{parent.path}{mount_path.partition('/')[0]}/"
        return first if self.namespaces.get(first) is not None else None

    async def _finish_delete(self, document: Document[NamespaceRecord]) -> None:
        namespace = document.value.namespace
        tenant = self._tenants[namespace.id]
        await self._tokens.revoke_namespace(namespace.id)
        await tenant.mounts.disable_all()
        for path in self._builtins(tenant):
            self._table.remove(namespace.id, path)
        for scope in ("system", "policy", "token", "identity", "lockout", *self._extensions):
            await self._world.documents(f"{scope}/{namespace.id}").erase()
        with suppress(DocumentMoved):  # another node, just started, may have finished this first
            await self._records.delete(namespace.path, expected=document.version)
        self.namespaces.remove(namespace)
        del self._tenants[namespace.id]

    async def _open(self, namespace: Namespace) -> None:
        tenant = Tenant(
            namespace,
            PolicyStore(self._world.documents(f"policy/{namespace.id}")),
            MountService(self._table, self._world, namespace.id, partial(self._hidden_child, namespace)),
            IdentityStore(self._world.documents(f"identity/{namespace.id}"), self._world.clock, self._world.barrier),
        )
        await tenant.policies.start()
        for path, (kind, engine) in self._builtins(tenant).items():
            mount = Mount(
                uuid=f"{kind}-{namespace.id}",
                accessor=f"{'auth_' if path.startswith('auth/') else ''}{kind}_{namespace.id}",
                path=path,
                type=kind,
                namespace_id=namespace.id,
            )
            await engine.start()
            self._table.put(Mounted(mount, engine, Router(engine.routes())))
        self._tenants[namespace.id] = tenant
        self.namespaces.put(namespace)
        await tenant.mounts.open_all()


def _checked(name: str) -> str:
    if "/" in name:
        raise BadInput("namespace name cannot contain /")
    if name in _RESERVED:
        raise BadInput(f'"{name}/" is a reserved path and cannot be used as a namespace name')
    if not name or len(name) > _NAME_LENGTH or not name.isprintable() or " " in name:
        raise BadInput.of("path", f"a namespace name has 1 to {_NAME_LENGTH} printable characters and no spaces")
    return name
