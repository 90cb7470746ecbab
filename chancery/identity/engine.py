"""The paths below `identity/`: entities and their aliases."""

from collections.abc import Callable, Sequence
from typing import Any

from chancery.identity.aliases import AliasRoutes
from chancery.identity.model import Entity
from chancery.identity.params import (
    DeleteEntities,
    EntityId,
    EntityName,
    LookUpEntity,
    WriteEntity,
    WriteEntityById,
    WriteEntityByName,
    checked_name,
)
from chancery.identity.render import Mounts, render_entity, summary
from chancery.identity.store import Found, IdentityStore
from chancery.kit.engine import Mount
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import NoParams
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint

_ENTITY = (
    "aliases", "creation_time", "direct_group_ids", "disabled", "group_ids", "id", "inherited_group_ids",
    "last_update_time", "merged_entity_ids", "metadata", "name", "namespace_id", "policies",
)  # fmt: skip


class IdentityEngine:
    """The routes of one namespace, over its store."""

    def __init__(self, store: IdentityStore, mounts: Callable[[], Sequence[Mount]], namespace_id: str) -> None:
        self._store = store
        self._mounts = mounts
        self._namespace_id = namespace_id
        self._aliases = AliasRoutes(store, mounts, namespace_id)

    def routes(self) -> Sequence[Route]:
        """Return the paths below `identity/`."""
        return [
            Route(pattern="entity", update=endpoint(self.write, WriteEntity, responses=("aliases", "id", "name"))),
            Route(pattern="entity/id", list=endpoint(self.list_ids, responses=("keys", "key_info"))),
            Route(pattern="entity/name", list=endpoint(self.list_names, responses=("keys",))),
            Route(
                pattern="entity/id/{id}",
                read=endpoint(self.read, EntityId, responses=_ENTITY),
                update=endpoint(self.write_by_id, WriteEntityById),
                delete=endpoint(self.delete, EntityId),
            ),
            Route(
                pattern="entity/name/{name}",
                read=endpoint(self.read_by_name, EntityName, responses=_ENTITY),
                update=endpoint(self.write_by_name, WriteEntityByName),
                delete=endpoint(self.delete_by_name, EntityName),
            ),
            Route(pattern="entity/batch-delete", update=endpoint(self.delete_several, DeleteEntities)),
            Route(pattern="lookup/entity", update=endpoint(self.look_up, LookUpEntity, responses=_ENTITY)),
            *self._aliases.routes(),
        ]

    async def start(self) -> None:
        """Nothing to make ready."""

    async def stop(self) -> None:
        """Nothing to give back."""

    async def erase(self) -> None:
        """Raise BadInput: identities are part of every namespace."""
        raise BadInput("identity/ cannot be disabled")

    async def write(self, _request: Request, params: WriteEntity) -> Answer:
        """Create an entity, or change the one with the id or name."""
        if params.id:
            return await self._change(await self._by_id(params.id), params.changes(), params.name)
        found = await self._store.by_name(params.name) if params.name else None
        if found is not None:
            return await self._change(found, params.changes())
        return await self._create(params.name, params.changes())

    async def write_by_id(self, _request: Request, params: WriteEntityById) -> Answer:
        """Change an entity."""
        return await self._change(await self._by_id(params.id), params.changes(), params.name)

    async def write_by_name(self, _request: Request, params: WriteEntityByName) -> Answer:
        """Create an entity, or change the one of this name."""
        found = await self._store.by_name(params.name)
        if found is not None:
            return await self._change(found, params.changes())
        return await self._create(params.name, params.changes())

    async def read(self, _request: Request, params: EntityId) -> Answer:
        """Read an entity by its identifier."""
        return self._shown(await self._store.get(params.id))

    async def read_by_name(self, _request: Request, params: EntityName) -> Answer:
        """Read an entity by its name."""
        return self._shown(await self._store.by_name(params.name))

    async def delete(self, _request: Request, params: EntityId) -> Answer:
        """Delete an entity and its aliases; its tokens are refused from then on."""
        await self._store.delete(params.id)
        return None

    async def delete_by_name(self, _request: Request, params: EntityName) -> Answer:
        """Delete the entity of a name."""
        found = await self._store.by_name(params.name)
        if found is not None:
            await self._store.delete(found.value.id)
        return None

    async def delete_several(self, _request: Request, params: DeleteEntities) -> Answer:
        """Delete several entities."""
        for entity_id in params.entity_ids:
            await self._store.delete(entity_id)
        return None

    async def list_ids(self, _request: Request, _params: NoParams) -> Answer:
        """List entities by identifier."""
        mounts = Mounts(self._mounts())
        entities = await self._store.all()
        return listing([entity.id for entity in entities], {entity.id: summary(entity, mounts) for entity in entities})

    async def list_names(self, _request: Request, _params: NoParams) -> Answer:
        """List entities by name."""
        return listing(await self._store.names())

    async def look_up(self, _request: Request, params: LookUpEntity) -> Answer:
        """Find an entity by its id or name, or by an alias."""
        found = await self._found(params)
        return None if found is None else self._shown(found)

    async def _found(self, params: LookUpEntity) -> Found | None:
        by_alias = bool(params.alias_name or params.alias_mount_accessor)
        ways = [bool(params.id), bool(params.name), bool(params.alias_id), by_alias]
        if sum(ways) == 0:
            raise BadInput("query parameter not supplied")
        if sum(ways) > 1:
            raise BadInput("query parameter conflict; please supply distinct set of query parameters")
        if params.id:
            return await self._store.get(params.id)
        if params.name:
            return await self._store.by_name(params.name)
        if params.alias_id:
            return await self._store.by_alias_id(params.alias_id)
        if not (params.alias_name and params.alias_mount_accessor):
            raise BadInput("both 'alias_name' and 'alias_mount_accessor' needs to be set")
        return await self._store.by_alias(params.alias_mount_accessor, params.alias_name)

    async def _by_id(self, entity_id: str) -> Found:
        found = await self._store.get(entity_id)
        if found is None:
            raise BadInput("entity not found from id")
        return found

    async def _change(self, found: Found, changes: dict[str, Any], name: str = "") -> Answer:
        await self._store.change(found, changes | ({"name": checked_name("name", name)} if name else {}))
        return None

    async def _create(self, name: str, changes: dict[str, Any]) -> Answer:
        entity = await self._store.create(checked_name("name", name), **changes)
        return Reply({"aliases": None, "id": entity.id, "name": entity.name})

    def _shown(self, found: Found | None) -> Answer:
        if found is None:
            raise NotFound
        entity: Entity = found.value
        return Reply(render_entity(entity, Mounts(self._mounts()), self._namespace_id))
