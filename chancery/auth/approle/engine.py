"""`approle` as a mounted auth method: roles, secret ids, and logging in with both."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import Field

from chancery.auth.approle.role_routes import RoleRoutes
from chancery.auth.approle.role_store import RoleStore
from chancery.auth.approle.roles import Role
from chancery.auth.approle.secret_ids import SecretId, SecretIds
from chancery.auth.approle.secret_routes import SecretIdRoutes
from chancery.auth.approle.tables import SCHEMA
from chancery.kit.engine import Job, MountContext
from chancery.kit.errors import BadInput, Denied
from chancery.kit.networks import is_within
from chancery.kit.params import NoParams, Params, Text
from chancery.kit.request import Answer, Login, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import Schema
from chancery.kit.token_settings import login_by

_log = logging.getLogger(__name__)

_REFUSAL = "invalid role or secret ID"
_TIDY_PERIOD = 3600


class LogIn(Params):
    """A machine that wants in."""

    role_id: Text = Field("", description="The role id")
    secret_id: Text = Field("", description="The secret id, unless the role does without")


class AppRoleMethod:
    """One mount."""

    def __init__(self, context: MountContext) -> None:
        self._roles = RoleStore(context.documents, context.barrier)
        self._secrets = SecretIds(context.database, context.barrier, context.mount().uuid)
        self._lockouts = context.lockouts
        self._tidying: asyncio.Task[None] | None = None

    def routes(self) -> Sequence[Route]:
        """Return the paths below the mount."""
        return [
            Route(pattern="login", update=endpoint(self.log_in, LogIn), unauthenticated=True),
            *RoleRoutes(self._roles, self._secrets.remove_role).routes(),
            *SecretIdRoutes(self._roles, self._secrets).routes(),
            Route(pattern="tidy/secret-id", update=endpoint(self.tidy, statuses=("202",))),
        ]

    async def start(self) -> None:
        """Nothing to make ready."""

    async def stop(self) -> None:
        """End a tidy operation that is still running; the next one goes on where it stopped."""
        task, self._tidying = self._tidying, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def erase(self) -> None:
        """Destroy every secret id."""
        await self._secrets.remove_all()

    def jobs(self) -> Sequence[Job]:
        """Return the hourly removal of expired secret ids."""
        return [Job("tidy-secret-ids", _TIDY_PERIOD, self._tidy, self._secrets.any_expired)]

    async def renew(self, renewal: Mapping[str, str], now: datetime) -> Login:  # noqa: ARG002 - roles do not expire
        """Vouch again as long as the role is the one that logged in."""
        name = renewal["role_name"]
        document = await self._roles.get(name)
        if document is None or document.value.id != renewal["role"]:
            raise BadInput(f'role "{name}" does not exist during renewal')
        return _login(name, document.value, None)

    async def log_in(self, request: Request, params: LogIn) -> Answer:
        """Log in with a role id and a secret id."""
        if not params.role_id:
            raise BadInput("missing role_id")
        await self._lockouts.demand_open(params.role_id, request.now)
        document = await self._roles.by_role_id(params.role_id)
        if document is None:
            await self._lockouts.failed(params.role_id, request.now)
            raise BadInput(_REFUSAL)
        role = document.value
        if not is_within(request.remote_address, role.secret_id_bound_cidrs):
            raise _foreign(request)
        secret = await self._redeemed(role, request, params) if role.bind_secret_id else None
        self._lockouts.succeeded(params.role_id)
        return Reply(login=_login(document.name, role, secret))

    async def tidy(self, request: Request, _params: NoParams) -> Answer:
        """Remove expired secret ids, in the background."""
        if self._tidying is not None and not self._tidying.done():
            return Reply(warnings=["Tidy operation already in progress."])
        self._tidying = asyncio.create_task(self._tidy_and_tell(request.now))
        return Reply(warnings=["Tidy operation successfully started. Its result is in the server's log."], status=202)

    async def _redeemed(self, role: Role, request: Request, params: LogIn) -> SecretId:
        """Find the secret id and take one of its uses, once everything else about the login is in order."""
        if not params.secret_id:
            raise BadInput("missing secret_id")
        secret = await self._secrets.find(role.id, params.secret_id, request.now)
        if secret is None:
            await self._lockouts.failed(params.role_id, request.now)
            raise BadInput(_REFUSAL)
        details = secret.details
        if not is_within(request.remote_address, details.cidr_list):
            raise _foreign(request)
        of_tokens = (role.token_bound_cidrs, details.token_bound_cidrs)
        if not all(is_within(request.remote_address, networks) for networks in of_tokens):
            raise Denied
        if secret.uses_left and not await self._secrets.spend(secret, request.now):
            raise BadInput(_REFUSAL)
        return secret

    async def _tidy(self, now: datetime) -> None:
        removed = await self._secrets.tidy(await self._roles.identities(), now)
        _log.info("removed %d expired secret ids", removed)

    async def _tidy_and_tell(self, now: datetime) -> None:
        try:
            await self._tidy(now)
        except Exception:  # noqa: BLE001 - a background task: whatever failed belongs in the log, nobody awaits it
            _log.exception("removing expired secret ids failed")


def _login(name: str, role: Role, secret: SecretId | None) -> Login:
    details = secret.details if secret is not None else None
    return login_by(
        role,
        alias=role.role_id,
        display_name="",
        metadata={**(details.metadata if details is not None else {}), "role_name": name},
        alias_metadata={**role.alias_metadata, "role_name": name},
        renewal={"role_name": name, "role": role.id},
        bound_cidrs=details.token_bound_cidrs or None if details is not None else None,
    )


def _foreign(request: Request) -> BadInput:
    return BadInput(
        f'source address "{request.remote_address}" unauthorized through CIDR restrictions on the secret ID'
    )


class AppRole:
    """The kind of auth method."""

    name = "approle"
    description = "Role ids and secret ids, for machines"
    schema: Schema | None = SCHEMA

    def open(self, context: MountContext) -> AppRoleMethod:
        """Build the method for one mount."""
        return AppRoleMethod(context)


APPROLE = AppRole()
