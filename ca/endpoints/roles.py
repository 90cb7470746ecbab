"""`roles`: what may be issued."""

from typing import Any

from pydantic import Field

from ca.endpoints.paging import Page
from ca.issuers import Issuers
from ca.references import DEFAULT, NAME
from ca.role_store import Roles
from ca.roles import Role, WriteRole, complete, patched
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import Params, Text
from chancery.kit.request import Reply, Request, listing
from chancery.kit.route import Route, endpoint

_ABSENT_BUT_SHOWN = {"allow_token_displayname": False}
_FIELDS = (*sorted((*Role.model_fields, *_ABSENT_BUT_SHOWN)),)


class NameRole(Params):
    """Parameters of reading and deleting a role."""

    name: Text = Field(description="Name of the role")


class RoleEndpoints:
    """Serves the roles of one mount."""

    def __init__(self, roles: Roles, issuers: Issuers) -> None:
        self._roles = roles
        self._issuers = issuers

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route(pattern="roles", list=endpoint(self.names, Page, responses=("keys",))),
            Route(
                pattern="roles/{name}",
                read=endpoint(self.read, NameRole, responses=_FIELDS),
                update=endpoint(self.write, WriteRole, responses=_FIELDS),
                patch=endpoint(self.patch, WriteRole, responses=_FIELDS),
                delete=endpoint(self.delete, NameRole),
            ),
        ]

    async def names(self, _request: Request, params: Page) -> Reply:
        """List the names of the roles."""
        return listing(await self._roles.records.names(after=params.after, limit=params.length))

    async def read(self, _request: Request, params: NameRole) -> Reply:
        """Read a role."""
        document = await self._roles.records.get(params.name)
        if document is None:
            raise NotFound
        return Reply(_shown(document.value))

    async def write(self, _request: Request, params: WriteRole) -> Reply:
        """Create or replace a role; what is not given gets its default."""
        _check_name(params.name)
        role = complete(params)
        await self._roles.records.put(params.name, role)
        return Reply(_shown(role), warnings=await self._advice(role, params))

    async def patch(self, _request: Request, params: WriteRole) -> Reply:
        """Change some fields of a role."""
        document = await self._roles.records.get(params.name)
        if document is None:
            raise BadInput("Unable to fetch role entry to patch")
        role = patched(document.value, params)
        await self._roles.records.put(params.name, role, expected=document.version)
        return Reply(_shown(role), warnings=await self._advice(role, params))

    async def delete(self, _request: Request, params: NameRole) -> None:
        """Delete a role."""
        await self._roles.records.delete(params.name)

    async def _advice(self, role: Role, params: WriteRole) -> list[str]:
        advice = []
        if params.no_store and params.generate_lease:
            advice.append(
                "mutually exclusive values no_store=true and generate_lease=true were both specified; "
                "no_store=true takes priority"
            )
        elif params.generate_lease:
            advice.append(
                "every certificate of this role will have a lease, and be revoked with the token it was issued to; "
                "revoking by serial number needs neither"
            )
        try:
            await self._issuers.resolve(role.issuer_ref)
        except NotFound:
            advice.append(_issuer_missing(role.issuer_ref))
        return advice


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > 255:
        raise BadInput.of("name", "may have letters, digits, _, - and ., and begins and ends with a letter or digit")


def _issuer_missing(reference: str) -> str:
    if reference == DEFAULT:
        return (
            "Issuing Certificate was set to default, but no default issuing certificate (configurable at "
            "/config/issuers) is currently set"
        )
    return f"Issuing Certificate was set to {reference} but no issuing certificate currently has that name"


def _shown(role: Role) -> dict[str, Any]:
    return {**dict(role), **_ABSENT_BUT_SHOWN}
