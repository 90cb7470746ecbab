"""What roles of auth methods have beside `token_*`: the older names of those parameters, and metadata of the alias.

A method's body of a role inherits from `RoleParams`, what it stores from `RoleSettings`.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, Duration, KeyValue, LaxInt
from chancery.kit.token_settings import TokenParams, TokenSettings, render_settings, token_changes

_NAME = re.compile(r"\w(?:[\w.-]{0,254}\w)?", re.ASCII)
_OLD_NAMES = {
    "ttl": "token_ttl",
    "max_ttl": "token_max_ttl",
    "period": "token_period",
    "policies": "token_policies",
    "bound_cidrs": "token_bound_cidrs",
    "num_uses": "token_num_uses",
}


class RoleSettings(TokenSettings):
    """Base of what is stored of a role."""

    alias_metadata: Mapping[str, str] = {}
    shows_old: tuple[str, ...] = ()
    """The old names of fields that were used to set them: Vault shows those too."""


class RoleParams(TokenParams):
    """Base of a role's body. A field that is not sent stays as it is."""

    alias_metadata: KeyValue = Field({}, description="Kept with the alias, for policy templates")
    ttl: Duration = Field(0, description="Deprecated: use token_ttl")
    max_ttl: Duration = Field(0, description="Deprecated: use token_max_ttl")
    period: Duration = Field(0, description="Deprecated: use token_period")
    policies: CommaList = Field([], description="Deprecated: use token_policies")
    bound_cidrs: CommaList = Field([], description="Deprecated: use token_bound_cidrs")
    num_uses: LaxInt = Field(0, description="Deprecated: use token_num_uses")


def role_changes(known: RoleSettings | None, params: RoleParams) -> dict[str, Any]:
    """Return what the client sent of these parameters, ready to be stored. Raises BadInput naming every wrong field."""
    old = [name for name, new in _OLD_NAMES.items() if params.submitted(name) and not params.submitted(new)]
    translated = params.model_construct(
        _fields_set=params.model_fields_set | {_OLD_NAMES[name] for name in old},
        **(params.__dict__ | {_OLD_NAMES[name]: getattr(params, name) for name in old}),
    )
    changes = token_changes(translated)
    replaced = {name for name, new in _OLD_NAMES.items() if params.submitted(new)}
    shown = set(known.shows_old if known is not None else ()) - replaced | set(old)
    changes["shows_old"] = tuple(sorted(shown))
    if params.submitted("alias_metadata"):
        changes["alias_metadata"] = params.alias_metadata
    return changes


def render_role(role: RoleSettings) -> dict[str, Any]:
    """Render these fields as Vault does."""
    shown = render_settings(role)
    shown |= {old: shown[_OLD_NAMES[old]] for old in role.shows_old}
    return shown | ({"alias_metadata": dict(role.alias_metadata)} if role.alias_metadata else {})


def policies_of(role: RoleSettings) -> str:
    """Return a role's policies as a login remembers them for its renewals."""
    return ",".join(sorted(role.token_policies))


def demand_same_policies(role: RoleSettings, renewal: Mapping[str, str]) -> None:
    """Raise BadInput when a role gives other policies than at the login: a renewed token would keep the old ones."""
    if policies_of(role) != renewal["policies"]:
        raise BadInput("policies have changed, not renewing")


def role_name(text: str) -> str:
    """Return the name of a role, in lower case. Raises BadInput for what cannot be one."""
    if _NAME.fullmatch(text) is None:
        raise BadInput.of("name", "expected up to 256 letters, digits, '_', '-' and '.', no mark at the ends")
    return text.lower()
