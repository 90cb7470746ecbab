"""`sys/namespaces`: the namespaces below the one that the request is in."""

from typing import Any

from pydantic import Field

from chancery.kit.errors import NotFound
from chancery.kit.params import KeyValue, Params, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.namespaces.model import Namespace
from chancery.namespaces.tenants import Tenants


class NamespacePath(Params):
    """Names a namespace."""

    path: Text = Field(description="Name of a namespace below this one")


class WriteNamespace(NamespacePath):
    """A namespace to be."""

    custom_metadata: KeyValue = Field({}, description="For people and programs; not interpreted")


class NamespaceRoutes:
    """The routes of one namespace, over all of them."""

    def __init__(self, tenants: Tenants, parent: Namespace) -> None:
        self._tenants = tenants
        self._parent = parent

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(pattern="namespaces", list=endpoint(self.list), read=endpoint(self.list)),
            Route(
                pattern="namespaces/{path...}",
                read=endpoint(self.read, NamespacePath),
                update=endpoint(self.write, WriteNamespace),
                patch=endpoint(self.patch, WriteNamespace),
                delete=endpoint(self.delete, NamespacePath, responses=("status",)),
            ),
        ]

    async def list(self, _request: Request, _params: Params) -> Answer:
        """List the namespaces directly below."""
        children = self._tenants.namespaces.children(self._parent)
        names = [child.path.removeprefix(self._parent.path) for child in children]
        return listing(names, dict(zip(names, map(_render, children), strict=True)))

    async def read(self, _request: Request, params: NamespacePath) -> Answer:
        """Read a namespace."""
        return Reply(_render(self._find(params.path)))

    async def write(self, _request: Request, params: WriteNamespace) -> Answer:
        """Create a namespace, or replace the metadata of an existing one."""
        known = self._tenants.namespaces.get(f"{self._parent.path}{params.path.strip('/')}/")
        if known is None:
            return Reply(
                _render(await self._tenants.create(self._parent, params.path.strip("/"), params.custom_metadata))
            )
        if params.submitted("custom_metadata"):
            known = await self._tenants.describe(known, params.custom_metadata)
        return Reply(_render(known))

    async def patch(self, request: Request, params: NamespacePath) -> Answer:
        """Change single entries of the metadata; null removes one."""
        known = self._find(params.path)
        changes = request.raw.get("custom_metadata")
        merged: dict[str, Any] = {**known.custom_metadata, **(changes if isinstance(changes, dict) else {})}
        kept = {key: str(value) for key, value in merged.items() if value is not None}
        return Reply(_render(await self._tenants.describe(known, kept)))

    async def delete(self, _request: Request, params: NamespacePath) -> Answer:
        """Delete a namespace with everything in it."""
        known = self._tenants.namespaces.get(f"{self._parent.path}{params.path.strip('/')}/")
        if known is None:
            return Reply(warnings=["requested namespace does not exist"])
        await self._tenants.delete(known)
        return Reply({"status": "done"})  # the body is for OpenBao's command line, which deletes in the background

    def _find(self, path: str) -> Namespace:
        known = self._tenants.namespaces.get(f"{self._parent.path}{path.strip('/')}/")
        if known is None or known == self._parent:
            raise NotFound
        return known


def _render(namespace: Namespace) -> dict[str, Any]:
    return {
        "id": namespace.id,
        "path": namespace.path,
        "uuid": namespace.uuid,
        "custom_metadata": dict(namespace.custom_metadata),
        "locked": False,
        "tainted": False,
    }
