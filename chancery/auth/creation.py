"""From the wish for a token to the token: every rule that `auth/token/create*` applies. Pure.

Who asks is a token (the parent) with or without sudo on the path; a role, if one is named, narrows and widens at once.
"""

import re
from dataclasses import dataclass

from pydantic import Field

from chancery.auth.assignment import PolicyWish, assign, globbed
from chancery.auth.lifetimes import Limits, Wish, grant
from chancery.auth.roles import RoleTokenType, TokenRole
from chancery.auth.tokens import NewToken, TokenEntry, TokenType
from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, Duration, KeyValue, LaxBool, LaxInt, Params, Text
from chancery.policy.acl import ROOT
from chancery.policy.defaults import DEFAULT

_UNPRINTED = re.compile(r"[^a-zA-Z0-9-]")
_MAX_ID = 512


class CreateToken(Params):
    """The body of a request for a token."""

    id: Text = Field("", description="Text of the token; needs sudo or root")
    policies: CommaList = Field([], description="Policies; the parent's when there are none")
    meta: KeyValue = Field({}, description="For people and audit")
    no_parent: LaxBool = Field(False, description="The token shall be an orphan; needs sudo or root")
    no_default_policy: LaxBool = Field(False, description="Without the default policy")
    renewable: LaxBool = Field(True, description="The token can be renewed")
    lease: Duration = Field(0, description="Deprecated: use ttl")
    ttl: Duration = Field(0, description="How long the token shall live")
    type: Text = Field("", description="service or batch")
    explicit_max_ttl: Duration = Field(0, description="Longest life, renewals included")
    display_name: Text = Field("", description="Name for people and audit")
    num_uses: LaxInt = Field(0, description="How often the token can be used; 0 = without limit")
    period: Duration = Field(0, description="Renewals extend the token by this, again and again; needs sudo or root")
    entity_alias: Text = Field("", description="Alias of an entity to tie the token to")


class CreateRoleToken(CreateToken):
    """The body of a request for a token by a role."""

    role_name: Text = Field(description="Name of the role")


@dataclass(frozen=True, slots=True)
class Creator:
    """Who asks, how, and when."""

    parent: TokenEntry
    has_sudo: bool
    path: str
    """The whole path of the request, as tokens are recorded with."""
    now: int
    namespace_id: str
    """Where the token will live. The parent may come from a namespace above: its policies are not that one's."""
    orphan: bool = False
    """The path itself makes orphans."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The token to make, and what its creator should know."""

    new: NewToken
    warnings: tuple[str, ...] = ()


def plan(asked: CreateToken, creator: Creator, role_name: str, role: TokenRole | None, limits: Limits) -> Plan:
    """Apply every rule. Raises BadInput saying which one forbids the token."""
    parent = creator.parent
    _demand_fertile(parent)
    kind = _type(asked, role)
    _demand_sane(asked, kind, creator, role)
    wish = PolicyWish(asked.policies, asked.no_default_policy)
    is_foreign = parent.namespace != creator.namespace_id
    if is_foreign and role is None and not creator.has_sudo:
        raise BadInput("creating a token in another namespace than one's own needs sudo on this path, or a token role")
    policies = assign(wish, (DEFAULT,) if is_foreign else parent.policies, role, has_sudo=creator.has_sudo)
    is_root = ROOT in policies
    if is_root and kind is TokenType.BATCH:
        raise BadInput("batch tokens cannot be root tokens")
    is_orphan = _is_orphan(asked, creator, role)
    ttl, wished, warnings = _lifetime(asked, role, kind, is_root, creator.now, limits)
    if not ttl and parent.expires_at is not None:
        raise BadInput("expiring root tokens cannot create non-expiring root tokens")
    new = NewToken(
        policies=policies,
        path=creator.path + (f"/{role.path_suffix}" if role is not None and role.path_suffix else ""),
        display_name=_display_name(asked.display_name),
        meta=asked.meta,
        ttl=ttl,
        explicit_max_ttl=wished.explicit_max_ttl,
        period=wished.period,
        num_uses=_num_uses(asked, role) if kind is TokenType.SERVICE else 0,
        renewable=asked.renewable and (role is None or role.renewable) and ttl > 0,
        type=kind,
        parent=None if is_orphan else parent.token_hash,
        role=role_name,
        entity_id="" if is_orphan else parent.entity_id,
        bound_cidrs=_bound_cidrs(parent, role, is_orphan=is_orphan) if ttl else (),
        namespace=creator.namespace_id,
        token_id=asked.id,
    )
    return Plan(new, tuple(warnings))


def _demand_fertile(parent: TokenEntry) -> None:
    if parent.type is TokenType.BATCH:
        raise BadInput("batch tokens cannot create more tokens")
    if parent.num_uses:
        raise BadInput("restricted use token cannot generate child tokens")


def _type(asked: CreateToken, role: TokenRole | None) -> TokenType:
    fixed = role.token_type if role is not None else RoleTokenType.DEFAULT_SERVICE
    if fixed in {RoleTokenType.SERVICE, RoleTokenType.BATCH}:
        return TokenType(fixed.value)
    if not asked.type:
        return TokenType.BATCH if fixed is RoleTokenType.DEFAULT_BATCH else TokenType.SERVICE
    try:
        return TokenType(asked.type)
    except ValueError:
        raise BadInput.of("type", "invalid 'token_type' value; use service or batch") from None


def _demand_sane(asked: CreateToken, kind: TokenType, creator: Creator, role: TokenRole | None) -> None:
    if asked.num_uses < 0:
        raise BadInput("number of uses cannot be negative")
    for name in ("ttl", "lease", "explicit_max_ttl", "period"):
        if getattr(asked, name) < 0:
            raise BadInput(f"{name} must be positive")
    if asked.entity_alias:
        _demand_alias(asked.entity_alias, kind, role)
    if asked.id:
        _demand_id(asked.id, kind, has_sudo=creator.has_sudo)
    if kind is TokenType.BATCH:
        for name in ("explicit_max_ttl", "num_uses", "period"):
            if getattr(asked, name):
                raise BadInput(f'batch tokens cannot have "{name}" set')
    if asked.period and not creator.has_sudo:
        raise BadInput("root or sudo privileges required to create periodic token")


def _demand_alias(alias: str, kind: TokenType, role: TokenRole | None) -> None:
    """Refuse an alias that no role allows; batch tokens cannot be tied to one."""
    if role is None:
        raise BadInput("'entity_alias' is only allowed in combination with token role")
    if kind is TokenType.BATCH:
        raise BadInput("'entity_alias' is not supported for batch tokens; ask for a service token")
    if not globbed(alias.lower(), role.allowed_entity_aliases or ()):
        raise BadInput("invalid 'entity_alias' value: the role's allowed_entity_aliases do not contain it")


def _demand_id(text: str, kind: TokenType, *, has_sudo: bool) -> None:
    """Refuse texts that are reserved for tokens made here, or that no header could carry."""
    if not has_sudo:
        raise BadInput("root or sudo privileges required to specify token id")
    if kind is TokenType.BATCH:
        raise BadInput('batch tokens cannot have "id" set')
    for prefix in ("s.", "hvs.", "hvb.", "hvr."):
        if text.startswith(prefix):
            raise BadInput(f"custom token ID cannot have the '{prefix}' prefix")
    if "." in text:
        raise BadInput("custom token ID cannot have a '.' in the value")
    if len(text) > _MAX_ID or not text.isascii() or not text.isprintable() or " " in text:
        raise BadInput(f"custom token ID must be at most {_MAX_ID} printable ASCII characters without spaces")


def _is_orphan(asked: CreateToken, creator: Creator, role: TokenRole | None) -> bool:
    if role is not None:
        return role.orphan
    if asked.no_parent and not creator.has_sudo:
        raise BadInput("root or sudo privileges required to create orphan token")
    return asked.no_parent or creator.orphan


def _bound_cidrs(parent: TokenEntry, role: TokenRole | None, *, is_orphan: bool) -> tuple[str, ...]:
    """A role's networks replace the parent's; without a role children inherit them."""
    if role is not None:
        return role.token_bound_cidrs
    return () if is_orphan else parent.bound_cidrs


def _num_uses(asked: CreateToken, role: TokenRole | None) -> int:
    limits = [uses for uses in (asked.num_uses, role.token_num_uses if role is not None else 0) if uses]
    return min(limits, default=0)


def _lifetime(
    asked: CreateToken, role: TokenRole | None, kind: TokenType, is_root: bool, now: int, limits: Limits
) -> tuple[int, Wish, list[str]]:
    """Return the TTL (0 = never expires), the period and maximum in force, and warnings."""
    warnings: list[str] = []
    explicit_max_ttl, period = asked.explicit_max_ttl, asked.period
    if role is not None and kind is TokenType.SERVICE:
        explicit_max_ttl = _lesser("Explicit max TTL", explicit_max_ttl, role.token_explicit_max_ttl, warnings)
        period = _lesser("Period", period, role.token_period, warnings)
    wish = Wish(asked.ttl or asked.lease, period, explicit_max_ttl)
    if is_root and not wish.ttl and not wish.period:
        return explicit_max_ttl, wish, warnings
    granted = grant(wish, limits, created_at=now, now=now)
    return granted.ttl, wish, [*warnings, *granted.warnings]


def _lesser(what: str, asked: int, of_role: int, warnings: list[str]) -> int:
    if not asked or not of_role:
        return asked or of_role
    lesser = min(asked, of_role)
    warnings.append(
        f"{what} specified both during creation call and in role; using the lesser value of {lesser} seconds"
    )
    return lesser


def _display_name(asked: str) -> str:
    return _UNPRINTED.sub("-", f"token-{asked}").removesuffix("-") if asked else "token"
