"""The entries of managed keys: written, read, listed, deleted, found by name and by UUID. Contacts no backend."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from chancery.kit.engine import Mounts
from chancery.kit.errors import BadInput, Conflict, NotFound, Problem
from chancery.kit.storage import ABSENT, Collection, Document, DocumentMoved, Documents
from managed_keys.entries import KeyEntry
from managed_keys.parameters import KeyParameters
from managed_keys.provider import Backend, ProviderType, unsupported_type

KIND = "managed_key"
_ATTEMPTS = 8  # compare-and-swap against others who change the same entry


class Catalogue:
    """The entries of all namespaces."""

    def __init__(
        self, documents: Callable[[str], Documents], mounts: Mounts, providers: Mapping[str, ProviderType]
    ) -> None:
        self._documents, self._mounts, self._providers = documents, mounts, providers
        self._names: dict[tuple[str, str], str] = {}

    def collection(self, namespace_id: str) -> Collection[KeyEntry]:
        """Return the documents of a namespace."""
        return self._documents(namespace_id).collection(KIND, KeyEntry)

    def provider(self, type_name: str) -> ProviderType:
        """Return an installed provider. Raises BadInput for a type that there is not."""
        found = self._providers.get(type_name)
        if found is None:
            raise unsupported_type(type_name, list(self._providers))
        return found

    def parameters(self, entry: KeyEntry) -> KeyParameters:
        """Return what an entry says, in the words of its provider."""
        return self.provider(entry.type).parameters.parse(entry.parameters)

    async def names(self, namespace_id: str, type_name: str) -> list[str]:
        """Return the names of the keys of one type, in order."""
        self.provider(type_name)
        return [item.name for item in await self.collection(namespace_id).all() if item.value.type == type_name]

    async def get(self, namespace_id: str, type_name: str, name: str) -> KeyEntry:
        """Return an entry. Raises NotFound."""
        self.provider(type_name)
        document = await self.collection(namespace_id).get(name)
        if document is None or document.value.type != type_name:
            raise NotFound
        return document.value

    async def by_name(self, namespace_id: str, name: str) -> Document[KeyEntry]:
        """Return an entry of any type. Raises BadInput in the words that clients of Vault look for."""
        document = await self.collection(namespace_id).get(name)
        if document is None:
            raise BadInput(f'no managed key found with name "{name}"')
        return document

    async def by_uuid(self, namespace_id: str, uuid: str) -> Document[KeyEntry]:
        """Return an entry by its identity. Raises BadInput as `by_name` does."""
        collection = self.collection(namespace_id)
        for refresh in (False, True):
            if refresh:
                self._names |= {(namespace_id, item.value.uuid): item.name for item in await collection.all()}
            name = self._names.get((namespace_id, uuid))
            document = await collection.get(name) if name is not None else None
            if document is not None and document.value.uuid == uuid:
                return document
        raise BadInput(f'no managed key found with uuid "{uuid}"')

    async def write(
        self, namespace_id: str, type_name: str, name: str, raw: Mapping[str, Any], backend: Backend
    ) -> KeyEntry:
        """Create an entry, or merge what was submitted into it. Raises BadInput that names every wrong field."""
        collection = self.collection(namespace_id)
        for _ in range(_ATTEMPTS):
            document = await collection.get(name)
            if document is not None and document.value.type != type_name:
                raise BadInput.of("name", f'a managed key of type {document.value.type} has the name "{name}" already')
            entry = self._merged(type_name, name, raw, document.value if document else None, backend)
            try:
                expected = document.version if document else ABSENT
                return (await collection.put(name, entry, expected=expected)).value
            except DocumentMoved:
                continue
        raise Conflict(f'the managed key "{name}" is being changed by others: try again')

    def _merged(
        self, type_name: str, name: str, raw: Mapping[str, Any], before: KeyEntry | None, backend: Backend
    ) -> KeyEntry:
        model = self.provider(type_name).parameters
        old = self.parameters(before) if before else model.parse({"name": name})
        new = old.merged_with({**raw, "name": name})
        backend.check(new)
        if before is None:
            return KeyEntry(uuid=str(uuid4()), type=type_name, name=name, parameters=new.stored())
        pinned = before.pinned
        if pinned is not None and new.relocated(old):
            pinned = pinned.model_copy(update={"external_id": ""})
        return before.model_copy(update={"parameters": new.stored(), "pinned": pinned, "writes": before.writes + 1})

    async def change(
        self, namespace_id: str, uuid: str, update: Callable[[KeyEntry], KeyEntry | None]
    ) -> Document[KeyEntry]:
        """Change an entry's state by compare-and-swap. `update` may be called again; None leaves the entry as it is."""
        for _ in range(_ATTEMPTS):
            document = await self.by_uuid(namespace_id, uuid)
            value = update(document.value)
            if value is None:
                return document
            try:
                return await self.collection(namespace_id).put(document.name, value, expected=document.version)
            except DocumentMoved:
                continue
        raise Conflict("the managed key is being changed by others: try again")

    async def delete(self, namespace_id: str, type_name: str, name: str) -> str:
        """Delete an entry and return its UUID, empty when there was none. The key stays in its backend.

        Raises BadInput while a mount names the key in its allowed_managed_keys.
        """
        self.provider(type_name)
        document = await self.collection(namespace_id).get(name)
        if document is None or document.value.type != type_name:
            return ""
        users = self.users(namespace_id, name)
        if users:
            raise BadInput(
                problems=[
                    Problem(
                        "name", f'"{name}" is in allowed_managed_keys of {", ".join(users)}: take it out there first'
                    )
                ]
            )
        await self.collection(namespace_id).delete(name, expected=document.version)
        return document.value.uuid

    def users(self, namespace_id: str, name: str) -> Sequence[str]:
        """Return the paths of the mounts that name a key in their allowed_managed_keys."""
        return sorted(
            mount.path for mount in self._mounts.all(namespace_id) if name in mount.config.allowed_managed_keys
        )
