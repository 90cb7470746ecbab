"""Where the roles of a mount are kept: a document a role, and a pointer from each role id."""

from chancery.auth.approle.roles import Role
from chancery.kit.errors import BadInput
from chancery.kit.sealing import Barrier, keyed_name
from chancery.kit.storage import ABSENT, Collection, Document, DocumentMoved, Documents, Stored


class RolePointer(Stored):
    """Leads from a role id to the role."""

    name: str


class RoleStore:
    """The roles of one mount. Role ids are unique in it; pointers are named by their keyed hash."""

    def __init__(self, documents: Documents, barrier: Barrier) -> None:
        self._documents = documents
        self._barrier = barrier
        self._roles: Collection[Role] = documents.collection("role", Role)
        self._role_ids: Collection[RolePointer] = documents.collection("role-id", RolePointer)

    async def get(self, name: str) -> Document[Role] | None:
        """Return a role by its name."""
        return await self._roles.get(name.lower())

    async def by_role_id(self, role_id: str) -> Document[Role] | None:
        """Return the role that machines call by an id."""
        pointer = await self._role_ids.get(self._pointer(role_id))
        document = await self._roles.get(pointer.value.name) if pointer is not None else None
        return document if document is not None and document.value.role_id == role_id else None

    async def names(self) -> list[str]:
        """Return the names of all roles, in order."""
        return await self._roles.names()

    async def identities(self) -> list[str]:
        """Return the identity of every role."""
        return [document.value.id for document in await self._roles.all()]

    async def put(self, name: str, known: Document[Role] | None, role: Role) -> None:
        """Store a role. Raises BadInput when another has its role id, DocumentMoved when it changed meanwhile."""
        holder = await self.by_role_id(role.role_id)
        if holder is not None and holder.name != name:
            raise BadInput("role_id already in use")
        change = self._documents.change()
        change.put(self._roles, name, role, expected=known.version if known is not None else ABSENT)
        if known is None or known.value.role_id != role.role_id:
            if known is not None:
                change.delete(self._role_ids, self._pointer(known.value.role_id))
            change.put(self._role_ids, self._pointer(role.role_id), RolePointer(name=name), expected=ABSENT)
        await change.commit()

    async def delete(self, name: str) -> Role | None:
        """Remove a role and its pointer, and return it; None when there was none."""
        while (known := await self.get(name)) is not None:
            change = self._documents.change()
            change.delete(self._roles, known.name, expected=known.version)
            change.delete(self._role_ids, self._pointer(known.value.role_id))
            try:
                await change.commit()
            except DocumentMoved:
                continue
            return known.value
        return None

    def _pointer(self, role_id: str) -> str:
        return keyed_name(self._barrier, b"approle-role-id", role_id)
