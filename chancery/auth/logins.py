"""From what an auth method vouches for to a token: identity, policies, lifetime, and the renewals that follow."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from chancery.auth.assignment import sanitized
from chancery.auth.lifetimes import Lifetime, Limits, Wish, grant
from chancery.auth.store import TokenStore
from chancery.auth.tokens import NewToken, TokenEntry, TokenType
from chancery.exchange import Exchange
from chancery.identity.model import Entity
from chancery.identity.store import IdentityStore
from chancery.kit.engine import AuthMethod, ClientBoundMethod, Mount
from chancery.kit.errors import BadInput, Denied
from chancery.kit.networks import is_within
from chancery.kit.request import Auth, Login, Request, TokenKind
from chancery.policy.acl import ROOT
from chancery.policy.defaults import UNASSIGNABLE
from chancery.routing.table import MountTable


class Identities(Protocol):
    """Finds the identities of a namespace."""

    def identities(self, namespace_id: str) -> IdentityStore:
        """Return the identities of an open namespace."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """A token to be made, but for the entity it belongs to; and what its owner should know."""

    new: NewToken
    warnings: tuple[str, ...]


class LoginService:
    """`Logins` of the exchange, and what `auth/token/renew*` asks about tokens of auth mounts."""

    def __init__(self, tokens: TokenStore, identities: Identities, table: MountTable) -> None:
        self._tokens = tokens
        self._identities = identities
        self._table = table

    async def accept(self, login: Login, exchange: Exchange) -> tuple[Auth, tuple[str, ...]]:
        """Make the token, and the entity if it is new. Returns it with warnings.

        Raises Denied for an address outside the login's networks and for a disabled entity, BadInput for policies that
        no login may give.
        """
        mount, request = exchange.mount, exchange.request
        assert mount is not None, "a login comes from a mount"
        if not is_within(request.remote_address, login.bound_cidrs):
            raise Denied
        planned = plan_login(login, mount, request, limits_of(mount, self._tokens.limits))
        entity: Entity | None = None
        if login.alias:
            store = self._identities.identities(mount.namespace_id)
            entity = await store.on_login(mount.accessor, login.alias, login.alias_metadata)
            if entity.disabled:
                raise Denied
        created = await self._tokens.create(replace(planned.new, entity_id=entity.id if entity is not None else ""))
        return describe(created.entry, created.token, entity.policies if entity is not None else ()), planned.warnings

    async def renewal(self, entry: TokenEntry, increment: int, request: Request) -> Lifetime:
        """Ask the method of a token whether and for how long it may be renewed. Raises BadInput when it may not."""
        mounted = self._table.by_uuid(entry.mount)
        if mounted is None:
            raise BadInput("the auth mount of the token is gone, not renewing")
        method: AuthMethod = mounted.engine  # type: ignore[assignment]  # only auth methods make tokens with a mount
        if isinstance(method, ClientBoundMethod):
            await method.demand_client(entry.renewal, request)
        login = await method.renew(entry.renewal, request.now)
        wish = Wish(increment or login.ttl, login.period, entry.explicit_max_ttl)
        limits = _narrowed(limits_of(mounted.mount, self._tokens.limits), login)
        return grant(wish, limits, created_at=entry.creation_time, now=int(request.now.timestamp()))

    async def identity_policies(self, entry: TokenEntry) -> tuple[str, ...]:
        """Return the policies that a token has by its entity, in order."""
        if not entry.entity_id:
            return ()
        known = await self._identities.identities(entry.namespace).known(entry.entity_id)
        return tuple(sorted(known.entity.policies)) if known is not None else ()

    async def entity_of(self, namespace_id: str, alias: str) -> str:
        """Return the entity that the token method knows by an alias, new if need be. Raises Denied when disabled."""
        store = self._identities.identities(namespace_id)
        entity = await store.on_login(token_accessor(namespace_id), alias, {})
        if entity.disabled:
            raise Denied
        return entity.id


def token_accessor(namespace_id: str) -> str:
    """Return the accessor of a namespace's token method."""
    return f"auth_token_{namespace_id}"


def limits_of(mount: Mount, system: Limits) -> Limits:
    """Return the TTLs in force at a mount, in seconds."""
    longest = mount.config.max_lease_ttl or system.max_ttl
    return Limits(min(mount.config.default_lease_ttl or system.default_ttl, longest), longest)


def plan_login(login: Login, mount: Mount, request: Request, limits: Limits) -> Planned:
    """Apply every rule to a login. Pure. Raises BadInput for policies that no login may give."""
    policies = sanitized(login.policies, add_default=not login.no_default_policy)
    if ROOT in policies:
        raise BadInput("auth methods cannot create root tokens")
    forbidden = sorted(UNASSIGNABLE.intersection(policies))
    if forbidden:
        raise BadInput(f'cannot assign policy "{forbidden[0]}"')
    kind = token_type(login.token_type, mount.config.token_type)
    is_batch = kind is TokenType.BATCH
    now = int(request.now.timestamp())
    explicit, period = (0, 0) if is_batch else (login.explicit_max_ttl, login.period)
    lifetime = grant(Wish(login.ttl, period, explicit), _narrowed(limits, login), created_at=now, now=now)
    new = NewToken(
        policies=policies,
        path=mount.path + request.path,
        display_name=_display_name(mount, login.display_name),
        meta=login.metadata,
        ttl=lifetime.ttl,
        explicit_max_ttl=explicit,
        period=period,
        num_uses=0 if is_batch else login.num_uses,
        renewable=login.renewable,
        type=kind,
        bound_cidrs=login.bound_cidrs,
        namespace=mount.namespace_id,
        mount=mount.uuid,
        renewal=login.renewal,
    )
    return Planned(new, lifetime.warnings)


def token_type(wanted: TokenKind, of_mount: str) -> TokenType:
    """Settle the type: a mount's `service` or `batch` rules, otherwise what the role says, then the mount's default."""
    if of_mount in {TokenKind.SERVICE, TokenKind.BATCH}:
        return TokenType(of_mount)
    settled = (TokenKind(of_mount) if of_mount else TokenKind.DEFAULT) if wanted is TokenKind.DEFAULT else wanted
    return TokenType.BATCH if settled in {TokenKind.BATCH, TokenKind.DEFAULT_BATCH} else TokenType.SERVICE


def describe(entry: TokenEntry, token: str, identity_policies: Iterable[str]) -> Auth:
    """Render a token as `auth` of the envelope. `policies` unites the token's own with its entity's."""
    of_identity = tuple(sorted(identity_policies))
    return Auth(
        client_token=token,
        accessor=entry.accessor,
        policies=united(entry.policies, of_identity),
        token_policies=entry.policies,
        identity_policies=of_identity or None,
        lease_duration=entry.ttl,
        renewable=entry.renewable,
        token_type=entry.type.value,
        metadata=entry.meta or None,
        entity_id=entry.entity_id,
        orphan=entry.orphan,
        num_uses=max(0, entry.num_uses),
    )


def united(own: tuple[str, ...], of_identity: Iterable[str]) -> tuple[str, ...]:
    """Return a token's policies together with its entity's, in order."""
    more = set(of_identity)
    return tuple(sorted(more.union(own))) if more else own


def _narrowed(limits: Limits, login: Login) -> Limits:
    longest = min(limits.max_ttl, login.max_ttl) if login.max_ttl else limits.max_ttl
    return Limits(min(limits.default_ttl, longest), longest)


def _display_name(mount: Mount, name: str) -> str:
    prefix = mount.path.removeprefix("auth/").strip("/").replace("/", "-")
    return f"{prefix}-{name}" if name else prefix
