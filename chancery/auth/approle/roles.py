"""What a role is, what a write to one may say, and how one is shown. Pure."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from chancery.kit.errors import BadInput, Problem
from chancery.kit.networks import canonical_cidrs
from chancery.kit.params import CommaList, Duration, KeyValue, LaxBool, LaxInt, Params, Text
from chancery.kit.token_settings import (
    TokenParams,
    TokenSettings,
    demand_consistent,
    policy_names,
    render_settings,
    token_changes,
)

_NAME = re.compile(r"\w(?:[\w.-]{0,254}\w)?")
_MAX_ROLE_ID = 4096
_OLD_NAMES = {"policies": "token_policies", "period": "token_period", "bound_cidr_list": "secret_id_bound_cidrs"}
_OWN = ("bind_secret_id", "secret_id_bound_cidrs", "secret_id_num_uses", "secret_id_ttl")


class Role(TokenSettings):
    """A role as it is kept; the document's name is the role's, in lower case. Durations in seconds, 0 = none."""

    id: str
    """Identity, for the rows of its secret ids."""
    role_id: str
    bind_secret_id: bool = True
    secret_id_bound_cidrs: tuple[str, ...] = ()
    secret_id_num_uses: int = 0
    secret_id_ttl: int = 0
    local_secret_ids: bool = False
    alias_metadata: Mapping[str, str] = {}
    shows_old: tuple[str, ...] = ()
    """The old names of fields that were used to set them: Vault shows those too."""


class RoleName(Params):
    """Names a role."""

    role_name: Text = Field(description="Name of the role; letters of either case are the same")


class RoleId(RoleName):
    """The id that a role's machines log in with."""

    role_id: Text = Field("", description="What machines call the role; random when the role is made without one")


class WriteRole(TokenParams, RoleId):
    """The body of a role. A field that is not sent stays as it is."""

    bind_secret_id: LaxBool = Field(True, description="Logins need a secret id")
    secret_id_bound_cidrs: CommaList = Field([], description="Networks that may log in")
    secret_id_num_uses: LaxInt = Field(0, description="How often a secret id can be used; 0 = without limit")
    secret_id_ttl: Duration = Field(0, description="How long a secret id is valid; 0 = for ever")
    local_secret_ids: LaxBool = Field(False, description="Accepted when a role is made, and shown; nothing replicates")
    alias_metadata: KeyValue = Field({}, description="Kept with the role's alias, for policy templates")
    policies: CommaList = Field([], description="Deprecated: use token_policies")
    period: Duration = Field(0, description="Deprecated: use token_period")
    bound_cidr_list: CommaList = Field([], description="Deprecated: use secret_id_bound_cidrs")


def role_name(text: str) -> str:
    """Return a name as it is stored and compared. Raises BadInput for what cannot be one."""
    if _NAME.fullmatch(text) is None:
        raise BadInput.of("role_name", "expected up to 256 letters, digits, '_', '-', '.', with no mark at the ends")
    return text.lower()


def checked_role_id(text: str) -> str:
    """Return a role id. Raises BadInput for what cannot be one."""
    if not text:
        raise BadInput("missing role_id")
    if len(text) > _MAX_ROLE_ID or not text.isprintable():
        raise BadInput.of("role_id", f"expected at most {_MAX_ROLE_ID} printable characters")
    return text


def written(known: Role | None, params: WriteRole) -> Role:
    """Return the role that a write makes of a known one, or a new one. Raises BadInput for what cannot be."""
    if known is None:
        role_id = checked_role_id(params.role_id) if params.role_id else str(uuid.uuid4())
        before = Role(id=str(uuid.uuid4()), role_id=role_id, local_secret_ids=params.local_secret_ids)
    else:
        if params.submitted("local_secret_ids") and params.local_secret_ids != known.local_secret_ids:
            raise BadInput("local_secret_ids can only be modified during role creation")
        before = known.model_copy(update={"role_id": checked_role_id(params.role_id)}) if params.role_id else known
    return changed(before, params)


def changed(role: Role, params: Params) -> Role:
    """Return a role with the fields that were sent, whichever of a role's they are. Raises BadInput."""
    changes = token_changes(params) | _own_changes(params)
    shown = set(role.shows_old)
    for old, new in _OLD_NAMES.items():
        if params.submitted(new):
            shown.discard(old)
        elif params.submitted(old):
            changes[new] = _old_value(old, getattr(params, old))
            shown.add(old)
    return _consistent(role.model_copy(update={**changes, "shows_old": tuple(sorted(shown))}))


def reset(role: Role, fields: tuple[str, ...]) -> Role:
    """Return a role with fields as a new role has them. Raises BadInput when nothing would guard the role."""
    names = {_OLD_NAMES.get(name, name) for name in fields}
    shown = tuple(old for old in role.shows_old if _OLD_NAMES[old] not in names)
    defaults = {name: Role.model_fields[name].default for name in names}
    return _consistent(role.model_copy(update={**defaults, "shows_old": shown}))


def render(role: Role) -> dict[str, Any]:
    """Render a role as Vault does: its role id has a path of its own."""
    shown = {
        **render_settings(role),
        "bind_secret_id": role.bind_secret_id,
        "local_secret_ids": role.local_secret_ids,
        "secret_id_bound_cidrs": list(role.secret_id_bound_cidrs) or None,
        "secret_id_num_uses": role.secret_id_num_uses,
        "secret_id_ttl": role.secret_id_ttl,
    }
    shown |= {old: shown[_OLD_NAMES[old]] for old in role.shows_old if old != "bound_cidr_list"}
    return shown | ({"alias_metadata": dict(role.alias_metadata)} if role.alias_metadata else {})


def shown_field(role: Role, name: str) -> Any:
    """Render one field of a role by its new or old name."""
    return render(role)[_OLD_NAMES.get(name, name)]


def _own_changes(params: Params) -> dict[str, Any]:
    changes = {name: getattr(params, name) for name in _OWN if params.submitted(name)}
    for name in ("secret_id_num_uses", "secret_id_ttl"):
        if changes.get(name, 0) < 0:
            raise BadInput(f"{name} cannot be negative")
    if "secret_id_bound_cidrs" in changes:
        changes["secret_id_bound_cidrs"] = _cidrs("secret_id_bound_cidrs", changes["secret_id_bound_cidrs"])
    if params.submitted("alias_metadata"):
        changes["alias_metadata"] = getattr(params, "alias_metadata")  # noqa: B009 - only some of the bodies have it
    return changes


def _old_value(name: str, value: Any) -> Any:
    if name == "policies":
        return policy_names(value)
    if name == "bound_cidr_list":
        return _cidrs(name, value)
    if value < 0:
        raise BadInput.of(name, f"cannot be negative: {value}")
    return value


def _cidrs(name: str, texts: list[str]) -> tuple[str, ...]:
    try:
        return tuple(text if "/" in text else f"{text}/{128 if ':' in text else 32}" for text in canonical_cidrs(texts))
    except ValueError as error:
        raise BadInput(problems=[Problem(name, str(error))]) from None


def _consistent(role: Role) -> Role:
    demand_consistent(role)
    if not role.bind_secret_id and not role.secret_id_bound_cidrs and not role.token_bound_cidrs:
        raise BadInput("at least one constraint should be enabled on the role: bind_secret_id or bound CIDRs")
    return role
