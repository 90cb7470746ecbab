"""What an identity is. Values only; no storage, no clock."""

from collections.abc import Mapping
from datetime import datetime

from chancery.kit.storage import Stored
from chancery.policy.templates import Subject, SubjectAlias


class Alias(Stored):
    """How one auth mount knows an entity: by a user name, a role id, the subject of a certificate or of a token."""

    id: str
    name: str
    mount_accessor: str
    metadata: Mapping[str, str] = {}
    """What the auth method said at the last login."""
    custom_metadata: Mapping[str, str] = {}
    """What operators wrote."""
    creation_time: datetime
    last_update_time: datetime


class Entity(Stored):
    """One person or machine. At most one alias a mount."""

    id: str
    name: str
    metadata: Mapping[str, str] = {}
    policies: tuple[str, ...] = ()
    disabled: bool = False
    aliases: tuple[Alias, ...] = ()
    creation_time: datetime
    last_update_time: datetime

    def alias(self, alias_id: str) -> Alias | None:
        """Return the alias with an identifier, or None."""
        return next((alias for alias in self.aliases if alias.id == alias_id), None)

    def alias_at(self, mount_accessor: str) -> Alias | None:
        """Return the alias of a mount, or None."""
        return next((alias for alias in self.aliases if alias.mount_accessor == mount_accessor), None)

    def subject(self, version: int) -> Subject:
        """Return what policy templates may say of the entity."""
        aliases = {
            alias.mount_accessor: SubjectAlias(alias.id, alias.name, alias.metadata, alias.custom_metadata)
            for alias in self.aliases
        }
        return Subject(self.id, version, self.name, self.metadata, aliases)


class Pointer(Stored):
    """Leads from a name or an alias to the entity."""

    entity_id: str
