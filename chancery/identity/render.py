"""Entities and aliases as Vault shows them. Pure."""

from collections.abc import Sequence
from typing import Any

from chancery.identity.model import Alias, Entity
from chancery.kit.clock import rfc3339
from chancery.kit.engine import Mount


class Mounts:
    """The auth mounts of a namespace by accessor, as they are now."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._by_accessor = {mount.accessor: mount for mount in mounts if mount.path.startswith("auth/")}

    def knows(self, accessor: str) -> bool:
        """Tell whether there is such a mount."""
        return accessor in self._by_accessor

    def place(self, accessor: str) -> dict[str, str]:
        """Return path and type of a mount; both are empty for one that is gone."""
        mount = self._by_accessor.get(accessor)
        return {
            "mount_accessor": accessor,
            "mount_path": mount.path if mount is not None else "",
            "mount_type": mount.type if mount is not None else "",
        }


def render_entity(entity: Entity, mounts: Mounts, namespace_id: str) -> dict[str, Any]:
    """Render an entity in full. There are no groups, and entities are never merged: those lists are empty."""
    return {
        "aliases": [_alias_facts(alias, entity, mounts) for alias in entity.aliases],
        "creation_time": rfc3339(entity.creation_time),
        "direct_group_ids": [],
        "disabled": entity.disabled,
        "group_ids": [],
        "id": entity.id,
        "inherited_group_ids": [],
        "last_update_time": rfc3339(entity.last_update_time),
        "merged_entity_ids": None,
        "metadata": dict(entity.metadata) or None,
        "name": entity.name,
        "namespace_id": namespace_id,
        "policies": list(entity.policies),
    }


def summary(entity: Entity, mounts: Mounts) -> dict[str, Any]:
    """Render an entity as listings do."""
    aliases = [{"id": alias.id, "name": alias.name, **mounts.place(alias.mount_accessor)} for alias in entity.aliases]
    return {"name": entity.name} | ({"aliases": aliases} if aliases else {})


def render_alias(alias: Alias, entity: Entity, mounts: Mounts, namespace_id: str) -> dict[str, Any]:
    """Render an alias in full."""
    return {**_alias_facts(alias, entity, mounts), "namespace_id": namespace_id}


def alias_summary(alias: Alias, entity: Entity, mounts: Mounts) -> dict[str, Any]:
    """Render an alias as listings do."""
    facts = _alias_facts(alias, entity, mounts)
    return {
        name: value
        for name, value in facts.items()
        if name not in {"creation_time", "id", "last_update_time", "merged_from_canonical_ids"}
    }


def _alias_facts(alias: Alias, entity: Entity, mounts: Mounts) -> dict[str, Any]:
    return {
        "canonical_id": entity.id,
        "creation_time": rfc3339(alias.creation_time),
        "custom_metadata": dict(alias.custom_metadata) or None,
        "id": alias.id,
        "last_update_time": rfc3339(alias.last_update_time),
        "local": False,
        "merged_from_canonical_ids": None,
        "metadata": dict(alias.metadata) or None,
        **mounts.place(alias.mount_accessor),
        "name": alias.name,
    }
