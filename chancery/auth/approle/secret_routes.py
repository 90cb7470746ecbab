"""`role/{role_name}/secret-id...`: making, listing, looking up and destroying secret ids."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chancery.auth.approle.role_store import RoleStore
from chancery.auth.approle.roles import Role, RoleName
from chancery.auth.approle.secret_ids import Details, NewSecretId, SecretId, SecretIds
from chancery.kit.clock import moment_of, rfc3339
from chancery.kit.errors import BadInput, NotFound, Problem
from chancery.kit.networks import are_subnets, canonical_cidrs
from chancery.kit.params import CommaList, Duration, KeyValue, LaxInt, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint

_MAX_TEXT = 4096
_MAX_METADATA = 8192


def _metadata(value: object) -> object:
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError("expected a JSON object of strings") from None


Metadata = Annotated[KeyValue, BeforeValidator(_metadata)]
"""A map of strings, as an object or as the text of one."""


class MakeSecretId(RoleName):
    """A secret id to be made."""

    metadata: Metadata = Field({}, description="JSON object of strings that tokens get as metadata")
    cidr_list: CommaList = Field([], description="Networks that may log in with it, within the role's")
    token_bound_cidrs: CommaList = Field([], description="Networks that its tokens may be used from, within the role's")
    num_uses: LaxInt = Field(0, description="How often it can be used; the role's number when not sent")
    ttl: Duration = Field(0, description="How long it is valid; the role's time when not sent")


class MakeCustomSecretId(MakeSecretId):
    """A secret id of a chosen text."""

    secret_id: Text = Field("", description="The text; long and random, for whoever guesses it logs in")


class NamedSecretId(RoleName):
    """Names a secret id by its text."""

    secret_id: Text = Field("", description="The secret id")


class NamedAccessor(RoleName):
    """Names a secret id by its accessor."""

    secret_id_accessor: Text = Field("", description="The accessor of the secret id")


_MADE = ("secret_id", "secret_id_accessor", "secret_id_num_uses", "secret_id_ttl")
_SHOWN = (
    "cidr_list", "creation_time", "expiration_time", "last_updated_time", "metadata", "secret_id_accessor",
    "secret_id_num_uses", "secret_id_ttl", "token_bound_cidrs",
)  # fmt: skip


class SecretIdRoutes:
    """The routes of one mount."""

    def __init__(self, roles: RoleStore, secrets: SecretIds) -> None:
        self._roles = roles
        self._secrets = secrets

    def routes(self) -> list[Route]:
        """Return the paths below the mount."""
        return [
            Route(
                pattern="role/{role_name}/secret-id",
                list=endpoint(self.list, RoleName, responses=("keys",)),
                update=endpoint(self.make, MakeSecretId, responses=_MADE),
            ),
            Route(
                pattern="role/{role_name}/custom-secret-id",
                update=endpoint(self.make_custom, MakeCustomSecretId, responses=_MADE),
            ),
            Route(
                pattern="role/{role_name}/secret-id/lookup",
                update=endpoint(self.look_up, NamedSecretId, responses=_SHOWN),
            ),
            Route(
                pattern="role/{role_name}/secret-id/destroy",
                update=endpoint(self.destroy, NamedSecretId),
                delete=endpoint(self.destroy, NamedSecretId),
            ),
            Route(
                pattern="role/{role_name}/secret-id-accessor/lookup",
                update=endpoint(self.look_up_accessor, NamedAccessor, responses=_SHOWN),
            ),
            Route(
                pattern="role/{role_name}/secret-id-accessor/destroy",
                update=endpoint(self.destroy_accessor, NamedAccessor),
                delete=endpoint(self.destroy_accessor, NamedAccessor),
            ),
        ]

    async def make(self, request: Request, params: MakeSecretId) -> Answer:
        """Make a secret id."""
        return await self._make(request, params, "")

    async def make_custom(self, request: Request, params: MakeCustomSecretId) -> Answer:
        """Make a secret id of a chosen text."""
        if not params.secret_id:
            raise BadInput("missing secret_id")
        if len(params.secret_id) > _MAX_TEXT:
            raise BadInput.of("secret_id", f"expected at most {_MAX_TEXT} characters")
        return await self._make(request, params, params.secret_id)

    async def list(self, request: Request, params: RoleName) -> Answer:
        """List the accessors of a role's secret ids."""
        return listing(await self._secrets.accessors((await self._role(params.role_name)).id, request.now))

    async def look_up(self, request: Request, params: NamedSecretId) -> Answer:
        """Show the properties of a secret id."""
        secret = await self._by_text(request, params)
        return Reply(_shown(secret)) if secret is not None else None

    async def destroy(self, request: Request, params: NamedSecretId) -> Answer:
        """Destroy a secret id; fine when there is none."""
        secret = await self._by_text(request, params)
        if secret is not None:
            await self._secrets.remove(secret)
        return None

    async def look_up_accessor(self, request: Request, params: NamedAccessor) -> Answer:
        """Show the properties of the secret id with an accessor."""
        return Reply(_shown(await self._by_accessor(request, params)))

    async def destroy_accessor(self, request: Request, params: NamedAccessor) -> Answer:
        """Destroy the secret id with an accessor."""
        await self._secrets.remove(await self._by_accessor(request, params))
        return None

    async def _make(self, request: Request, params: MakeSecretId, text: str) -> Answer:
        role = await self._role(params.role_name)
        if not role.bind_secret_id:
            raise BadInput("bind_secret_id is not set on the role")
        new = planned(role, params, text)
        secret_id, accessor = await self._secrets.add(role.id, new, request.now)
        return Reply(
            {
                "secret_id": secret_id,
                "secret_id_accessor": accessor,
                "secret_id_num_uses": new.num_uses,
                "secret_id_ttl": new.ttl,
            }
        )

    async def _by_text(self, request: Request, params: NamedSecretId) -> SecretId | None:
        if not params.secret_id:
            raise BadInput("missing secret_id")
        return await self._secrets.find((await self._role(params.role_name)).id, params.secret_id, request.now)

    async def _by_accessor(self, request: Request, params: NamedAccessor) -> SecretId:
        if not params.secret_id_accessor:
            raise BadInput("missing secret_id_accessor")
        role = await self._role(params.role_name)
        secret = await self._secrets.by_accessor(role.id, params.secret_id_accessor, request.now)
        if secret is None:
            raise NotFound("failed to find accessor entry for secret_id_accessor")
        return secret

    async def _role(self, name: str) -> Role:
        known = await self._roles.get(name)
        if known is None:
            raise NotFound(f'role "{name}" does not exist')
        return known.value


def planned(role: Role, params: MakeSecretId, text: str) -> NewSecretId:
    """Apply the role's limits to a secret id. Pure. Raises BadInput that names every problem."""
    problems: list[Problem] = []
    uses = params.num_uses if params.submitted("num_uses") else role.secret_id_num_uses
    ttl = params.ttl if params.submitted("ttl") else role.secret_id_ttl
    if uses < 0:
        problems.append(Problem("", "num_uses cannot be negative"))
    elif role.secret_id_num_uses and not 0 < uses <= role.secret_id_num_uses:
        problems.append(Problem("", "num_uses cannot be higher than the role's secret_id_num_uses"))
    if ttl < 0:
        problems.append(Problem("", "ttl cannot be negative"))
    elif role.secret_id_ttl and not 0 < ttl <= role.secret_id_ttl:
        problems.append(Problem("", "ttl cannot be longer than the role's secret_id_ttl"))
    if sum(len(key) + len(value) for key, value in params.metadata.items()) > _MAX_METADATA:
        problems.append(Problem("metadata", f"expected at most {_MAX_METADATA} characters"))
    cidrs = _networks("cidr_list", params.cidr_list, role.secret_id_bound_cidrs, problems)
    of_tokens = _networks("token_bound_cidrs", params.token_bound_cidrs, role.token_bound_cidrs, problems)
    if problems:
        raise BadInput(problems=problems)
    return NewSecretId(ttl, uses, Details(metadata=params.metadata, cidr_list=cidrs, token_bound_cidrs=of_tokens), text)


def _networks(name: str, texts: list[str], of_role: tuple[str, ...], problems: list[Problem]) -> tuple[str, ...]:
    try:
        networks = canonical_cidrs(texts)
    except ValueError as error:
        problems.append(Problem(name, str(error)))
        return ()
    if not are_subnets(networks, of_role):
        problems.append(Problem(name, "must be within the networks of the role"))
    return networks


def _shown(secret: SecretId) -> Mapping[str, Any]:
    never = "0001-01-01T00:00:00Z"
    return {
        "cidr_list": list(secret.details.cidr_list),
        "creation_time": rfc3339(moment_of(secret.created_at)),
        "expiration_time": rfc3339(moment_of(secret.expires_at)) if secret.expires_at is not None else never,
        "last_updated_time": rfc3339(moment_of(secret.updated_at)),
        "metadata": dict(secret.details.metadata),
        "secret_id_accessor": secret.accessor,
        "secret_id_num_uses": secret.uses_left,
        "secret_id_ttl": secret.ttl,
        "token_bound_cidrs": list(secret.details.token_bound_cidrs),
    }
