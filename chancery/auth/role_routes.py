"""`auth/token/roles`: the roles of the token method."""

from chancery.auth.lifetimes import Limits
from chancery.auth.roles import RoleName, TokenRole, WriteRole, demand_role_name, merged, render
from chancery.kit.errors import NotFound
from chancery.kit.params import NoParams
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import ABSENT, Collection


class RoleRoutes:
    """The routes, over the documents."""

    def __init__(self, roles: Collection[TokenRole], limits: Limits) -> None:
        self._roles = roles
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return the routes below `auth/token/`."""
        return [
            Route(pattern="roles", list=endpoint(self.list, responses=("keys",))),
            Route(
                pattern="roles/{role_name}",
                read=endpoint(self.read, RoleName, responses=tuple(sorted(["name", *TokenRole.model_fields]))),
                update=endpoint(self.write, WriteRole),
                delete=endpoint(self.delete, RoleName),
                exists=self.exists,
            ),
        ]

    async def find(self, name: str) -> TokenRole | None:
        """Return a role, or None."""
        document = await self._roles.get(name)
        return document.value if document is not None else None

    async def exists(self, request: Request) -> bool:
        """Tell whether the role of a request exists: whether writing it creates or updates."""
        return await self.find(str(request.raw["role_name"])) is not None

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List token roles."""
        return listing(await self._roles.names())

    async def read(self, _request: Request, params: RoleName) -> Answer:
        """Read a token role."""
        role = await self.find(params.role_name)
        if role is None:
            raise NotFound
        return Reply(render(params.role_name, role))

    async def write(self, _request: Request, params: WriteRole) -> Answer:
        """Create or change a token role."""
        demand_role_name(params.role_name)
        known = await self._roles.get(params.role_name)
        role, warnings = merged(known.value if known is not None else TokenRole(), params, self._limits)
        await self._roles.put(params.role_name, role, expected=known.version if known is not None else ABSENT)
        return Reply(warnings=warnings) if warnings else None

    async def delete(self, _request: Request, params: RoleName) -> Answer:
        """Delete a token role; tokens made by it stay, but can no longer be renewed."""
        await self._roles.delete(params.role_name)
        return None
