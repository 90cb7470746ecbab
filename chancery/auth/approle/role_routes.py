"""`role/...`: roles as a whole, their role ids, and a path for each single field."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import create_model

from chancery.auth.approle.role_store import RoleStore
from chancery.auth.approle.roles import (
    Role,
    RoleId,
    RoleName,
    WriteRole,
    changed,
    checked_role_id,
    render,
    reset,
    role_name,
    shown_field,
    written,
)
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import NoParams
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import Document


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A path below a role for one field, by its old name as well where it has one."""

    path: str
    fields: tuple[str, ...]
    """What can be sent and is shown; one of them must be sent."""
    warning: str = ""


_OLD_CIDRS = (
    'The "bound_cidr_list" field is deprecated and will be removed. Please use "secret_id_bound_cidrs" instead.'
)
FIELD_PATHS = (
    FieldPath("bind-secret-id", ("bind_secret_id",)),
    FieldPath("bound-cidr-list", ("bound_cidr_list",), _OLD_CIDRS),
    FieldPath("period", ("token_period", "period")),
    FieldPath("policies", ("token_policies", "policies")),
    FieldPath("secret-id-bound-cidrs", ("secret_id_bound_cidrs",)),
    FieldPath("secret-id-num-uses", ("secret_id_num_uses",)),
    FieldPath("secret-id-ttl", ("secret_id_ttl",)),
    FieldPath("token-bound-cidrs", ("token_bound_cidrs",)),
    FieldPath("token-max-ttl", ("token_max_ttl",)),
    FieldPath("token-num-uses", ("token_num_uses",)),
    FieldPath("token-ttl", ("token_ttl",)),
)

_TYPES = get_type_hints(WriteRole, include_extras=True)

Handler = Callable[[Request, Any], Awaitable[Answer]]


class RoleRoutes:
    """The routes of one mount, over its roles. `remove_secrets` destroys the secret ids of a role's identity."""

    def __init__(self, roles: RoleStore, remove_secrets: Callable[[str], Awaitable[None]]) -> None:
        self._roles = roles
        self._remove_secrets = remove_secrets

    def routes(self) -> list[Route]:
        """Return the paths below the mount."""
        return [
            Route(pattern="role", list=endpoint(self.list, responses=("keys",))),
            Route(
                pattern="role/{role_name}",
                read=endpoint(self.read, RoleName),
                update=endpoint(self.write, WriteRole),
                delete=endpoint(self.delete, RoleName),
                exists=self.exists,
            ),
            Route(
                pattern="role/{role_name}/role-id",
                read=endpoint(self.read_role_id, RoleName, responses=("role_id",)),
                update=endpoint(self.write_role_id, RoleId),
            ),
            Route(
                pattern="role/{role_name}/local-secret-ids",
                read=endpoint(self._reader(("local_secret_ids",)), RoleName, "Read local_secret_ids of a role."),
            ),
            *(self._field_route(at) for at in FIELD_PATHS),
        ]

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List roles."""
        return listing(await self._roles.names())

    async def exists(self, request: Request) -> bool:
        """Tell whether a write changes a role rather than creating one."""
        return await self._roles.get(str(request.raw["role_name"])) is not None

    async def read(self, _request: Request, params: RoleName) -> Answer:
        """Read a role."""
        return Reply(render((await self.find(params.role_name)).value))

    async def write(self, _request: Request, params: WriteRole) -> Answer:
        """Create or change a role."""
        name = role_name(params.role_name)
        known = await self._roles.get(name)
        await self._roles.put(name, known, written(known.value if known is not None else None, params))
        return None

    async def delete(self, _request: Request, params: RoleName) -> Answer:
        """Delete a role with its secret ids; tokens stay until they expire, but cannot be renewed."""
        removed = await self._roles.delete(params.role_name)
        if removed is not None:
            await self._remove_secrets(removed.id)
        return None

    async def read_role_id(self, _request: Request, params: RoleName) -> Answer:
        """Read the role id of a role."""
        return Reply({"role_id": (await self.find(params.role_name)).value.role_id})

    async def write_role_id(self, _request: Request, params: RoleId) -> Answer:
        """Change the role id of a role."""
        known = await self.find(params.role_name)
        role = known.value.model_copy(update={"role_id": checked_role_id(params.role_id)})
        await self._roles.put(known.name, known, role)
        return None

    async def find(self, name: str) -> Document[Role]:
        """Return a role. Raises NotFound."""
        known = await self._roles.get(name)
        if known is None:
            raise NotFound
        return known

    def _field_route(self, at: FieldPath) -> Route:
        fields: dict[str, Any] = {name: (_TYPES[name], WriteRole.model_fields[name]) for name in at.fields}
        model = create_model(f"Write_{at.fields[0]}", __base__=RoleName, **fields)
        what = f"{at.fields[0]} of a role"
        return Route(
            pattern=f"role/{{role_name}}/{at.path}",
            read=endpoint(self._reader(at.fields, at.warning), RoleName, f"Read {what}.", at.fields),
            update=endpoint(self._writer(at), model, f"Set {what}."),
            delete=endpoint(self._resetter(at), RoleName, f"Reset {what} to its default."),
        )

    def _reader(self, fields: tuple[str, ...], warning: str = "") -> Handler:
        async def read(_request: Request, params: RoleName) -> Answer:
            role = (await self.find(params.role_name)).value
            shown = {name: shown_field(role, name) for name in fields if name == fields[0] or name in role.shows_old}
            return Reply(shown, warnings=[warning] if warning else [])

        return read

    def _writer(self, at: FieldPath) -> Handler:
        async def write(_request: Request, params: RoleName) -> Answer:
            known = await self.find(params.role_name)
            if not any(params.submitted(name) for name in at.fields):
                raise BadInput(f"missing {at.fields[0]}")
            await self._roles.put(known.name, known, changed(known.value, params))
            return None

        return write

    def _resetter(self, at: FieldPath) -> Handler:
        async def clear(_request: Request, params: RoleName) -> Answer:
            known = await self.find(params.role_name)
            await self._roles.put(known.name, known, reset(known.value, at.fields))
            return None

        return clear
