"""Where the identities of a namespace are kept: an entity a document, and pointers to it by name and by alias.

Entity and pointers change together or not at all. An entity that another process changed first is read again and the
change tried anew; what stays contended is a Conflict for the client.
"""

import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from chancery.identity.model import Alias, Entity, Pointer
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, Conflict
from chancery.kit.sealing import Barrier, keyed_name
from chancery.kit.storage import ABSENT, Change, Collection, Document, DocumentMoved, Documents
from chancery.policy.templates import Subject

_ATTEMPTS = 5
_MAX_KNOWN = 10_000

T = TypeVar("T")

Found = Document[Entity]
"""An entity with its version."""


@dataclass(frozen=True, slots=True)
class Known:
    """An entity, and what policy templates may say of it."""

    entity: Entity
    subject: Subject


class IdentityStore:
    """The entities of one namespace. Names of entities are compared without case, names of aliases exactly."""

    def __init__(self, documents: Documents, clock: Clock, barrier: Barrier) -> None:
        self._documents = documents
        self._clock = clock
        self._barrier = barrier
        self._entities: Collection[Entity] = documents.collection("entity", Entity)
        self._names: Collection[Pointer] = documents.collection("entity-name", Pointer)
        self._alias_ids: Collection[Pointer] = documents.collection("alias-id", Pointer)
        self._alias_names: Collection[Pointer] = documents.collection("alias-name", Pointer)
        self._known: dict[str, Known] = {}

    async def get(self, entity_id: str) -> Found | None:
        """Return an entity by its identifier. A dictionary look-up when warm."""
        return await self._entities.get(entity_id)

    async def known(self, entity_id: str) -> Known | None:
        """Return an entity as every request of its tokens needs it."""
        found = await self._entities.get(entity_id)
        if found is None:
            return None
        known = self._known.get(entity_id)
        if known is None or known.entity is not found.value:
            known = Known(found.value, found.value.subject(found.version))
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[entity_id] = known
        return known

    def forget(self) -> None:
        """Forget what was worked out; called at seal."""
        self._known.clear()

    async def by_name(self, name: str) -> Found | None:
        """Return an entity by its name."""
        return await self._follow(self._names, name.lower())

    async def by_alias_id(self, alias_id: str) -> Found | None:
        """Return the entity that has an alias, by the alias' identifier."""
        return await self._follow(self._alias_ids, alias_id)

    async def by_alias(self, mount_accessor: str, name: str) -> Found | None:
        """Return the entity that a mount knows by a name."""
        return await self._follow(self._alias_names, self._alias_key(mount_accessor, name))

    async def all(self) -> list[Entity]:
        """Return every entity, in the order of identifiers."""
        return [document.value for document in await self._entities.all()]

    async def names(self) -> list[str]:
        """Return the names of all entities, as they were written."""
        return sorted(entity.name for entity in await self.all())

    async def on_login(self, mount_accessor: str, name: str, metadata: Mapping[str, str]) -> Entity:
        """Return the entity that a mount vouches for, new when it is the first time. Writes only what changed."""

        async def attempt() -> Entity:
            found = await self.by_alias(mount_accessor, name)
            if found is None:
                return await self._add(self._fresh("", [self._alias(mount_accessor, name, metadata)]))
            alias = found.value.alias_at(mount_accessor)
            if alias is None or alias.metadata == metadata:
                return found.value
            changed = alias.model_copy(update={"metadata": dict(metadata), "last_update_time": self._clock.now()})
            return await self._replace(found, found.value.model_copy(update=_with_alias(found.value, changed)))

        return await _persist(attempt)

    async def create(
        self,
        name: str,
        *,
        metadata: Mapping[str, str] | None = None,
        policies: tuple[str, ...] = (),
        disabled: bool = False,
    ) -> Entity:
        """Create an entity; without a name it gets one. Raises BadInput when the name is taken."""
        entity = self._fresh(name, [])
        changes = {"metadata": dict(metadata or {}), "policies": policies, "disabled": disabled}
        try:
            return await self._add(entity.model_copy(update=changes))
        except DocumentMoved:
            raise BadInput("entity name is already in use") from None

    async def change(self, found: Found, changes: Mapping[str, object]) -> Entity:
        """Replace fields of an entity. Raises BadInput when its new name is taken, Conflict when it moved."""
        entity = found.value.model_copy(update={**changes, "last_update_time": self._clock.now()})
        other = await self.by_name(entity.name)
        if other is not None and other.value.id != entity.id:
            raise BadInput("entity name is already in use")
        return await self._replace(found, entity)

    async def delete(self, entity_id: str) -> None:
        """Delete an entity with its aliases; its tokens are refused from then on. An absent one is fine."""

        async def attempt() -> None:
            found = await self.get(entity_id)
            if found is None:
                return
            change = self._documents.change()
            change.delete(self._entities, entity_id, expected=found.version)
            change.delete(self._names, found.value.name.lower())
            for alias in found.value.aliases:
                self._drop_pointers(change, alias)
            await change.commit()

        await _persist(attempt)

    async def put_alias(
        self, found: Found | None, mount_accessor: str, name: str, custom_metadata: Mapping[str, str]
    ) -> tuple[Entity, Alias]:
        """Add an alias to an entity, or to a new one. Raises BadInput when the entity has one at the mount already."""
        if found is not None and found.value.alias_at(mount_accessor) is not None:
            raise BadInput("Alias already exists for requested entity and mount accessor")
        alias = self._alias(mount_accessor, name, {})
        alias = alias.model_copy(update={"custom_metadata": dict(custom_metadata)})
        try:
            if found is None:
                return await self._add(self._fresh("", [alias])), alias
            entity = found.value.model_copy(update={"aliases": (*found.value.aliases, alias)})
            return await self._replace(found, entity), alias
        except DocumentMoved:
            raise BadInput("the alias or its entity was changed by somebody else; read it and try again") from None

    async def change_alias(self, found: Found, alias: Alias, changes: Mapping[str, object]) -> Alias:
        """Replace fields of an alias. Raises BadInput when its new name is known at the mount already."""
        changed = alias.model_copy(update={**changes, "last_update_time": self._clock.now()})
        other = await self.by_alias(changed.mount_accessor, changed.name)
        if other is not None and other.value.id != found.value.id:
            raise BadInput("the mount knows another entity by this alias name")
        same_mount = found.value.alias_at(changed.mount_accessor)
        if same_mount is not None and same_mount.id != changed.id:
            raise BadInput("Alias already exists for requested entity and mount accessor")
        await self._replace(found, found.value.model_copy(update=_with_alias(found.value, changed)))
        return changed

    async def delete_alias(self, alias_id: str) -> None:
        """Delete an alias; its entity stays. An absent one is fine."""

        async def attempt() -> None:
            found = await self.by_alias_id(alias_id)
            if found is not None:
                kept = tuple(alias for alias in found.value.aliases if alias.id != alias_id)
                await self._replace(found, found.value.model_copy(update={"aliases": kept}))

        await _persist(attempt)

    async def _follow(self, pointers: Collection[Pointer], name: str) -> Found | None:
        pointer = await pointers.get(name)
        return await self._entities.get(pointer.value.entity_id) if pointer is not None else None

    async def _add(self, entity: Entity) -> Entity:
        change = self._documents.change()
        change.put(self._entities, entity.id, entity, expected=ABSENT)
        pointer = Pointer(entity_id=entity.id)
        change.put(self._names, entity.name.lower(), pointer, expected=ABSENT)
        for alias in entity.aliases:
            self._add_pointers(change, alias, pointer)
        await change.commit()
        return entity

    async def _replace(self, found: Found, entity: Entity) -> Entity:
        """Store a changed entity, and move the pointers that its changes concern."""
        before, pointer = found.value, Pointer(entity_id=entity.id)
        change = self._documents.change()
        change.put(self._entities, entity.id, entity, expected=found.version)
        if before.name.lower() != entity.name.lower():
            change.delete(self._names, before.name.lower())
            change.put(self._names, entity.name.lower(), pointer, expected=ABSENT)
        kept = {_pointed(alias) for alias in entity.aliases}
        known = {_pointed(alias) for alias in before.aliases}
        for alias in before.aliases:
            if _pointed(alias) not in kept:
                self._drop_pointers(change, alias)
        for alias in entity.aliases:
            if _pointed(alias) not in known:
                self._add_pointers(change, alias, pointer)
        await change.commit()
        return entity

    def _add_pointers(self, change: Change, alias: Alias, pointer: Pointer) -> None:
        change.put(self._alias_ids, alias.id, pointer, expected=ABSENT)
        change.put(self._alias_names, self._alias_key(alias.mount_accessor, alias.name), pointer, expected=ABSENT)

    def _drop_pointers(self, change: Change, alias: Alias) -> None:
        change.delete(self._alias_ids, alias.id)
        change.delete(self._alias_names, self._alias_key(alias.mount_accessor, alias.name))

    def _alias_key(self, mount_accessor: str, name: str) -> str:
        """Name the pointer of an alias: a role id, say, is not for everyone who sees the database."""
        return keyed_name(self._barrier, b"identity-alias", f"{mount_accessor}/{name}")

    def _fresh(self, name: str, aliases: list[Alias]) -> Entity:
        now = self._clock.now()
        return Entity(
            id=str(uuid.uuid4()),
            name=name or f"entity_{secrets.token_hex(8)}",
            aliases=tuple(aliases),
            creation_time=now,
            last_update_time=now,
        )

    def _alias(self, mount_accessor: str, name: str, metadata: Mapping[str, str]) -> Alias:
        now = self._clock.now()
        return Alias(
            id=str(uuid.uuid4()),
            name=name,
            mount_accessor=mount_accessor,
            metadata=dict(metadata),
            creation_time=now,
            last_update_time=now,
        )


def _with_alias(entity: Entity, changed: Alias) -> dict[str, object]:
    return {"aliases": tuple(changed if alias.id == changed.id else alias for alias in entity.aliases)}


def _pointed(alias: Alias) -> tuple[str, str, str]:
    return alias.id, alias.mount_accessor, alias.name


async def _persist(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again when somebody else was first. Raises Conflict when that goes on."""
    for _ in range(_ATTEMPTS):
        try:
            return await attempt()
        except DocumentMoved:
            continue
    raise Conflict("the identity is being changed by others; try again")
