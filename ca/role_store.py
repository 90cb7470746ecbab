"""The roles of a mount, stored and compiled."""

from collections.abc import Mapping
from typing import Final

from ca.name_rules import ANONYMOUS, Identity
from ca.roles import Role
from ca.rules import RoleRules
from chancery.kit.errors import BadInput
from chancery.kit.request import Caller
from chancery.kit.storage import Document, Documents

_MAX_COMPILED: Final = 4096


class Roles:
    """The roles of one mount. Warm, finding compiled rules reads no database and compiles nothing."""

    def __init__(self, documents: Documents) -> None:
        self.records = documents.collection("role", Role)
        self._compiled: dict[str, tuple[Document[Role], RoleRules]] = {}

    async def rules(self, name: str, caller: Caller | None) -> RoleRules:
        """Return a role's rules for a caller. Raises BadInput when there is no such role."""
        document = await self.records.get(name)
        if document is None:
            raise BadInput(f"unknown role: {name[:255]}")
        compiled = self._compiled.get(name)
        if compiled is not None and compiled[0] is document:
            rules = compiled[1]
        else:
            rules = RoleRules.compile(document.value)
            if len(self._compiled) >= _MAX_COMPILED:
                self._compiled.clear()
            self._compiled[name] = (document, rules)
        return RoleRules.compile(rules.role, identity_of(caller)) if rules.depends_on_caller else rules


def identity_of(caller: Caller | None) -> Identity:
    """Return what templates may say about a caller."""
    if caller is None or not caller.entity_id:
        return ANONYMOUS
    attributes: Mapping[str, str] = {"identity.entity.id": caller.entity_id}
    return Identity(attributes)
