"""The token method: everything below `auth/token/`."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from chancery.auth.creation import CreateRoleToken, CreateToken, Creator, plan
from chancery.auth.lifetimes import Lifetime, Wish, grant
from chancery.auth.logins import LoginService, describe
from chancery.auth.role_routes import RoleRoutes
from chancery.auth.roles import TokenRole
from chancery.auth.store import TokenStore
from chancery.auth.tokens import TokenEntry, TokenType
from chancery.kit.clock import rfc3339
from chancery.kit.errors import BadInput, Denied
from chancery.kit.params import Duration, NoParams, Params, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import Documents
from chancery.policy.store import PolicyStore

_log = logging.getLogger(__name__)


class NamedToken(Params):
    """Names a token by its text."""

    token: Text = Field("", description="The token")


class NamedAccessor(Params):
    """Names a token by its accessor."""

    accessor: Text = Field("", description="The accessor of the token")


class RenewToken(NamedToken):
    """Asks for a longer life of a token."""

    increment: Duration = Field(0, description="How long the token shall live from now")


class RenewAccessor(NamedAccessor):
    """Asks for a longer life of the token with an accessor."""

    increment: Duration = Field(0, description="How long the token shall live from now")


_LOOKED_UP = (
    "accessor", "creation_time", "creation_ttl", "display_name", "entity_id", "expire_time", "explicit_max_ttl", "id",
    "issue_time", "meta", "num_uses", "orphan", "path", "policies", "renewable", "ttl", "type",
)  # fmt: skip


class TokenEngine:
    """The paths of the token method, over the store."""

    def __init__(
        self,
        tokens: TokenStore,
        policies: PolicyStore,
        documents: Documents,
        has_sudo: Callable[[Request], Awaitable[bool]],
        logins: LoginService,
    ) -> None:
        self._tokens = tokens
        self._policies = policies
        self._has_sudo = has_sudo
        self._logins = logins
        self._roles = RoleRoutes(documents.collection("role", TokenRole), tokens.limits)
        self._tidying: asyncio.Task[None] | None = None

    def routes(self) -> Sequence[Route]:
        """Return the paths below `auth/token/`."""
        renew, by_accessor = endpoint(self.renew, RenewToken), endpoint(self.renew_accessor, RenewAccessor)
        return [
            Route(pattern="create", update=endpoint(self.create, CreateToken)),
            Route(pattern="create-orphan", update=endpoint(self.create_orphan, CreateToken)),
            Route(pattern="create/{role_name}", update=endpoint(self.create_by_role, CreateRoleToken)),
            Route(
                pattern="lookup",
                read=endpoint(self.lookup, NamedToken, responses=_LOOKED_UP),
                update=endpoint(self.lookup, NamedToken, responses=_LOOKED_UP),
            ),
            Route(
                pattern="lookup-self",
                read=endpoint(self.lookup_self, NoParams, responses=_LOOKED_UP),
                update=endpoint(self.lookup_self, NamedToken, responses=_LOOKED_UP),
            ),
            Route(pattern="lookup-accessor", update=endpoint(self.lookup_accessor, NamedAccessor)),
            Route(pattern="renew", update=renew),
            Route(pattern="renew-self", update=endpoint(self.renew_self, RenewToken)),
            Route(pattern="renew-accessor", update=by_accessor),
            Route(pattern="revoke", update=endpoint(self.revoke, NamedToken)),
            Route(pattern="revoke-self", update=endpoint(self.revoke_self)),
            Route(pattern="revoke-accessor", update=endpoint(self.revoke_accessor, NamedAccessor)),
            Route(pattern="revoke-orphan", update=endpoint(self.revoke_orphan, NamedToken), sudo=True),
            Route(pattern="accessors", list=endpoint(self.accessors, responses=("keys",)), sudo=True),
            Route(pattern="tidy", update=endpoint(self.tidy, statuses=("202",))),
            *self._roles.routes(),
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
        """Raise BadInput: the token method cannot be disabled."""
        raise BadInput("token credential backend cannot be disabled")

    async def create(self, request: Request, params: CreateToken) -> Answer:
        """Create a token."""
        return await self._create(request, params)

    async def create_orphan(self, request: Request, params: CreateToken) -> Answer:
        """Create a token without a parent."""
        return await self._create(request, params, orphan=True)

    async def create_by_role(self, request: Request, params: CreateRoleToken) -> Answer:
        """Create a token within the limits of a role."""
        role = await self._roles.find(params.role_name)
        if role is None:
            raise BadInput(f"unknown role {params.role_name}")
        return await self._create(request, params, params.role_name, role)

    async def lookup(self, request: Request, params: NamedToken) -> Answer:
        """Show a token's properties."""
        return await self._show(request, params.token or request.token)

    async def lookup_self(self, request: Request, _params: Params) -> Answer:
        """Show the properties of the calling token."""
        return await self._show(request, request.token)

    async def lookup_accessor(self, request: Request, params: NamedAccessor) -> Answer:
        """Show the properties of the token with an accessor, without its text."""
        return await self._shown(await self._by_accessor(request, params.accessor), "", request)

    async def renew(self, request: Request, params: RenewToken) -> Answer:
        """Renew a token."""
        if not params.token:
            raise BadInput("missing token ID")
        return await self._renew(request, params.token, params.increment)

    async def renew_self(self, request: Request, params: RenewToken) -> Answer:
        """Renew the calling token."""
        return await self._renew(request, request.token, params.increment)

    async def renew_accessor(self, request: Request, params: RenewAccessor) -> Answer:
        """Renew the token with an accessor."""
        entry = await self._by_accessor(request, params.accessor)
        return await self._renew_entry(request, entry, "", params.increment)

    async def revoke(self, request: Request, params: NamedToken) -> Answer:
        """Revoke a token and all its children."""
        if not params.token:
            raise BadInput("missing token ID")
        return await self._revoke(request, params.token)

    async def revoke_self(self, request: Request, _params: NoParams) -> Answer:
        """Revoke the calling token and all its children."""
        return await self._revoke(request, request.token)

    async def revoke_accessor(self, request: Request, params: NamedAccessor) -> Answer:
        """Revoke the token with an accessor and all its children."""
        if not params.accessor:
            raise BadInput("missing accessor")
        entry = await self._tokens.by_accessor(params.accessor, request.now)
        if entry is not None and entry.namespace == request.namespace_id:
            await self._tokens.revoke(entry.token_hash)
            return None
        return Reply(warnings=["No token found with this accessor"])

    async def revoke_orphan(self, request: Request, params: NamedToken) -> Answer:
        """Revoke a token; its children live on as orphans."""
        if not params.token:
            raise BadInput("missing token ID")
        entry = await self._find(request, params.token)
        if entry is None:
            raise BadInput("token to revoke not found")
        _demand_service(entry, "revoked")
        await self._tokens.revoke_orphan(entry.token_hash)
        return None

    async def accessors(self, request: Request, _params: NoParams) -> Answer:
        """List the accessors of all tokens."""
        return listing(await self._tokens.accessors(request.now, request.namespace_id))

    async def tidy(self, request: Request, _params: NoParams) -> Answer:
        """Remove expired tokens from storage, in the background."""
        if self._tidying is not None and not self._tidying.done():
            return Reply(warnings=["Tidy operation already in progress."])
        self._tidying = asyncio.create_task(self._tidy(request))
        return Reply(warnings=["Tidy operation successfully started. Its result is in the server's log."], status=202)

    async def _create(
        self,
        request: Request,
        params: CreateToken,
        role_name: str = "",
        role: TokenRole | None = None,
        *,
        orphan: bool = False,
    ) -> Answer:
        parent = await self._tokens.lookup(request.token, request.now, spent=True)
        if parent is None:
            raise Denied
        creator = Creator(
            parent=parent,
            has_sudo=await self._has_sudo(request),
            path=request.mount_path + request.path,
            now=int(request.now.timestamp()),
            namespace_id=request.namespace_id,
            orphan=orphan,
        )
        planned = plan(params, creator, role_name, role, self._tokens.limits)
        new = planned.new
        if params.entity_alias:
            new = replace(new, entity_id=await self._logins.entity_of(request.namespace_id, params.entity_alias))
        created = await self._tokens.create(new)
        absent = [
            f'Policy "{name}" does not exist' for name in planned.new.policies if not await self._policies.exists(name)
        ]
        auth = describe(created.entry, created.token, await self._logins.identity_policies(created.entry))
        return Reply(warnings=[*planned.warnings, *absent], auth=auth)

    async def _show(self, request: Request, token: str) -> Answer:
        entry = await self._find(request, token)
        if entry is None:
            raise Denied("bad token")
        return await self._shown(entry, token, request)

    async def _shown(self, entry: TokenEntry, token: str, request: Request) -> Answer:
        return Reply(_facts(entry, token, request, await self._logins.identity_policies(entry)))

    async def _renew(self, request: Request, token: str, increment: int) -> Answer:
        entry = await self._find(request, token)
        if entry is None:
            raise BadInput("token not found")
        return await self._renew_entry(request, entry, token, increment)

    async def _renew_entry(self, request: Request, entry: TokenEntry, token: str, increment: int) -> Answer:
        _demand_service(entry, "renewed")
        if not entry.renewable:
            raise BadInput("lease is not renewable")
        if increment < 0:
            raise BadInput.of("increment", "must be positive")
        lifetime = await self._renewal(request, entry, increment)
        renewed = await self._tokens.renew(entry, lifetime.ttl, request.now)
        auth = describe(renewed, token, await self._logins.identity_policies(renewed))
        return Reply(warnings=lifetime.warnings, auth=auth)

    async def _renewal(self, request: Request, entry: TokenEntry, increment: int) -> Lifetime:
        """Return what a renewal gives: whatever vouched for the token is asked again, or its role's limits rule."""
        if entry.mount:
            return await self._logins.renewal(entry, increment, request)
        wish = await self._wish(entry, increment)
        now = int(request.now.timestamp())
        return grant(wish, self._tokens.limits, created_at=entry.creation_time, now=now)

    async def _wish(self, entry: TokenEntry, increment: int) -> Wish:
        ttl = increment or entry.ttl
        if not entry.role:
            return Wish(ttl, entry.period, entry.explicit_max_ttl)
        role = await self._roles.find(entry.role)
        if role is None:
            raise BadInput(f'original token role "{entry.role}" could not be found, not renewing')
        return Wish(ttl, role.token_period, role.token_explicit_max_ttl)

    async def _revoke(self, request: Request, token: str) -> Answer:
        entry = await self._find(request, token)
        if entry is not None:
            _demand_service(entry, "revoked")
            await self._tokens.revoke(entry.token_hash)
        return None

    async def _by_accessor(self, request: Request, accessor: str) -> TokenEntry:
        if not accessor:
            raise BadInput("missing accessor")
        entry = await self._tokens.by_accessor(accessor, request.now)
        if entry is None or entry.namespace != request.namespace_id:
            raise BadInput("invalid accessor")
        return entry

    async def _find(self, request: Request, token: str) -> TokenEntry | None:
        """Find a valid token of the request's namespace; the caller's own wherever it lives, even when just spent."""
        is_own = hmac.compare_digest(token.encode(), request.token.encode())
        entry = await self._tokens.lookup(token, request.now, spent=is_own)
        return entry if entry is not None and (is_own or entry.namespace == request.namespace_id) else None

    async def _tidy(self, request: Request) -> None:
        try:
            removed = await self._tokens.tidy(request.now)
        except Exception:  # noqa: BLE001  # a background task: whatever failed belongs in the log, nobody awaits it
            _log.exception("removing expired tokens failed")
        else:
            _log.info("removed %d expired tokens", removed)


def _demand_service(entry: TokenEntry, what: str) -> None:
    if entry.type is TokenType.BATCH:
        raise BadInput(f"batch tokens cannot be {what}")


def _facts(entry: TokenEntry, token: str, request: Request, identity_policies: Sequence[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "accessor": entry.accessor,
        "creation_time": entry.creation_time,
        "creation_ttl": entry.creation_ttl,
        "display_name": entry.display_name,
        "entity_id": entry.entity_id,
        "expire_time": rfc3339(entry.expires_at) if entry.expires_at is not None else None,
        "explicit_max_ttl": entry.explicit_max_ttl,
        "id": token,
        "issue_time": rfc3339(entry.issued_at),
        "meta": dict(entry.meta) or None,
        "num_uses": entry.num_uses,
        "orphan": entry.orphan,
        "path": entry.path,
        "policies": list(entry.policies),
        "renewable": entry.renewable,
        "ttl": entry.seconds_left(request.now),
        "type": entry.type.value,
    }
    if entry.last_renewal:
        shown |= {"last_renewal": rfc3339(entry.renewed_at), "last_renewal_time": entry.last_renewal}
    if entry.bound_cidrs:
        shown["bound_cidrs"] = list(entry.bound_cidrs)
    if identity_policies:
        shown |= {"identity_policies": list(identity_policies), "external_namespace_policies": {}}
    optional = {"period": entry.period, "role": entry.role}
    return shown | {name: value for name, value in optional.items() if value}
