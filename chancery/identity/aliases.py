"""`identity/entity-alias`: the names by which auth mounts know entities."""

from collections.abc import Callable, Sequence

from chancery.identity.model import Alias, Entity
from chancery.identity.params import AliasId, WriteAlias, checked_metadata, checked_name
from chancery.identity.render import Mounts, alias_summary, render_alias
from chancery.identity.store import Found, IdentityStore
from chancery.kit.engine import Mount
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import NoParams
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint

_ALIAS = (
    "canonical_id", "creation_time", "custom_metadata", "id", "last_update_time", "local", "merged_from_canonical_ids",
    "metadata", "mount_accessor", "mount_path", "mount_type", "name", "namespace_id",
)  # fmt: skip


class AliasRoutes:
    """The routes of one namespace, over its store."""

    def __init__(self, store: IdentityStore, mounts: Callable[[], Sequence[Mount]], namespace_id: str) -> None:
        self._store = store
        self._mounts = mounts
        self._namespace_id = namespace_id

    def routes(self) -> list[Route]:
        """Return the routes below `identity/`."""
        return [
            Route(pattern="entity-alias", update=endpoint(self.write, WriteAlias, responses=("canonical_id", "id"))),
            Route(pattern="entity-alias/id", list=endpoint(self.list, responses=("keys", "key_info"))),
            Route(
                pattern="entity-alias/id/{id}",
                read=endpoint(self.read, AliasId, responses=_ALIAS),
                update=endpoint(self.write, WriteAlias, responses=("canonical_id", "id")),
                delete=endpoint(self.delete, AliasId),
            ),
        ]

    async def write(self, _request: Request, params: WriteAlias) -> Answer:
        """Create an alias, or change the one with the id, or with the name at the mount."""
        checked_name("name", params.name)
        checked_metadata("custom_metadata", params.custom_metadata)
        if params.id:
            found, alias = await self._named(params.id)
            return await self._change(found, alias, params)
        if not (params.name and params.mount_accessor):
            raise BadInput("'id' or 'mount_accessor' and 'name' must be provided")
        self._demand_mount(params.mount_accessor)
        known = await self._store.by_alias(params.mount_accessor, params.name)
        if known is None:
            return await self._create(params)
        present = known.value.alias_at(params.mount_accessor)
        assert present is not None, "found by its alias at this mount"
        return await self._change(known, present, params)

    async def read(self, _request: Request, params: AliasId) -> Answer:
        """Read an alias."""
        found = await self._store.by_alias_id(params.id)
        alias = found.value.alias(params.id) if found is not None else None
        if found is None or alias is None:
            raise NotFound
        return Reply(render_alias(alias, found.value, Mounts(self._mounts()), self._namespace_id))

    async def delete(self, _request: Request, params: AliasId) -> Answer:
        """Delete an alias; its entity stays."""
        await self._store.delete_alias(params.id)
        return None

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List aliases by identifier."""
        mounts = Mounts(self._mounts())
        rendered = {
            alias.id: alias_summary(alias, entity, mounts)
            for entity in await self._store.all()
            for alias in entity.aliases
        }
        return listing(sorted(rendered), rendered)

    async def _create(self, params: WriteAlias) -> Answer:
        canonical_id = params.canonical_id or params.entity_id
        found = await self._store.get(canonical_id) if canonical_id else None
        if canonical_id and found is None:
            raise BadInput("invalid canonical ID")
        entity, alias = await self._store.put_alias(found, params.mount_accessor, params.name, params.custom_metadata)
        return _written(entity, alias)

    async def _change(self, found: Found, alias: Alias, params: WriteAlias) -> Answer:
        canonical_id = params.canonical_id or params.entity_id
        if canonical_id and canonical_id != found.value.id:
            raise BadInput("given 'canonical_id' is not associated with this alias; delete it and create another")
        changes: dict[str, object] = {}
        if params.name:
            changes["name"] = params.name
        if params.mount_accessor:
            self._demand_mount(params.mount_accessor)
            changes["mount_accessor"] = params.mount_accessor
        if params.submitted("custom_metadata"):
            changes["custom_metadata"] = params.custom_metadata
        return _written(found.value, await self._store.change_alias(found, alias, changes))

    async def _named(self, alias_id: str) -> tuple[Found, Alias]:
        found = await self._store.by_alias_id(alias_id)
        alias = found.value.alias(alias_id) if found is not None else None
        if found is None or alias is None:
            raise BadInput("invalid alias ID provided")
        return found, alias

    def _demand_mount(self, accessor: str) -> None:
        if not Mounts(self._mounts()).knows(accessor):
            raise BadInput(f'invalid mount accessor "{accessor}"')


def _written(entity: Entity, alias: Alias) -> Reply:
    return Reply({"canonical_id": entity.id, "id": alias.id})
