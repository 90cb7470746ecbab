"""What the paths below `identity/` accept."""

from typing import Any

from pydantic import Field

from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, KeyValue, LaxBool, Params, Text
from chancery.kit.token_settings import policy_names
from chancery.policy.acl import ROOT

_MAX_NAME = 512
_MAX_METADATA = 64
_MAX_METADATA_KEY = 128
_MAX_METADATA_VALUE = 512


class EntityId(Params):
    """Names an entity by its identifier."""

    id: Text = Field(description="Identifier of the entity")


class EntityName(Params):
    """Names an entity."""

    name: Text = Field(description="Name of the entity")


class AliasId(Params):
    """Names an alias by its identifier."""

    id: Text = Field(description="Identifier of the alias")


class _EntityBody(Params):
    metadata: KeyValue = Field({}, description="For policy templates, people and programs")
    policies: CommaList = Field([], description="Policies that the entity's tokens have besides their own")
    disabled: LaxBool = Field(False, description="Tokens of a disabled entity are refused")

    def changes(self) -> dict[str, Any]:
        """Return what the client sent. Raises BadInput for what no entity may have."""
        sent: dict[str, Any] = {}
        if self.submitted("metadata"):
            sent["metadata"] = checked_metadata("metadata", self.metadata)
        if self.submitted("policies"):
            sent["policies"] = policy_names(self.policies)
            if ROOT in sent["policies"]:
                raise BadInput("policies cannot contain root")
        if self.submitted("disabled"):
            sent["disabled"] = self.disabled
        return sent


class WriteEntity(_EntityBody):
    """The body of an entity, new or named by id or name."""

    id: Text = Field("", description="Identifier of the entity to change")
    name: Text = Field("", description="Name of the entity")


class WriteEntityById(_EntityBody):
    """The body of a change to an entity."""

    id: Text = Field(description="Identifier of the entity")
    name: Text = Field("", description="New name of the entity")


class WriteEntityByName(_EntityBody):
    """The body of an entity of a name."""

    name: Text = Field(description="Name of the entity")


class DeleteEntities(Params):
    """Names several entities."""

    entity_ids: CommaList = Field([], description="Identifiers of entities")


class WriteAlias(Params):
    """The body of an alias."""

    id: Text = Field("", description="Identifier of the alias to change")
    name: Text = Field("", description="Name that the mount knows: a user name, a role id ...")
    mount_accessor: Text = Field("", description="Accessor of the auth mount")
    canonical_id: Text = Field("", description="Identifier of the entity; a new one when empty")
    entity_id: Text = Field("", description="Deprecated: use canonical_id")
    custom_metadata: KeyValue = Field({}, description="For policy templates, people and programs")


class LookUpEntity(Params):
    """Names an entity in one of four ways."""

    id: Text = Field("", description="Identifier of the entity")
    name: Text = Field("", description="Name of the entity")
    alias_id: Text = Field("", description="Identifier of an alias")
    alias_name: Text = Field("", description="Name of an alias, with alias_mount_accessor")
    alias_mount_accessor: Text = Field("", description="Accessor of the alias' mount")


def checked_name(field: str, name: str) -> str:
    """Return a name of an entity or alias. Raises BadInput for what cannot be one."""
    if len(name) > _MAX_NAME or not name.isprintable():
        raise BadInput.of(field, f"expected at most {_MAX_NAME} printable characters")
    return name


def checked_metadata(field: str, metadata: dict[str, str]) -> dict[str, str]:
    """Return metadata. Raises BadInput when there is too much of it."""
    if len(metadata) > _MAX_METADATA:
        raise BadInput.of(field, f"at most {_MAX_METADATA} entries are kept")
    for key, value in metadata.items():
        if not key or len(key) > _MAX_METADATA_KEY or len(value) > _MAX_METADATA_VALUE:
            limits = f"keys of 1 to {_MAX_METADATA_KEY} and values of at most {_MAX_METADATA_VALUE} characters"
            raise BadInput.of(field, f"expected {limits}")
    return metadata
