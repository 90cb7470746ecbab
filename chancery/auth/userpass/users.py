"""What a user is, what a write to one may say, and how one is shown. Pure; the hash comes from outside."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from chancery.kit.errors import BadInput, Problem
from chancery.kit.networks import canonical_cidrs
from chancery.kit.params import CommaList, Duration, KeyValue, Params, Text
from chancery.kit.request import Login
from chancery.kit.token_settings import (
    TokenParams,
    TokenSettings,
    demand_consistent,
    login_by,
    policy_names,
    render_settings,
    token_changes,
)

_NAME = re.compile(r"\w(?:[\w.@+-]{0,254}\w)?")
_OLD_NAMES = {
    "ttl": "token_ttl",
    "max_ttl": "token_max_ttl",
    "policies": "token_policies",
    "bound_cidrs": "token_bound_cidrs",
}


class User(TokenSettings):
    """A user as it is kept; the document's name is the user's, in lower case."""

    password_hash: str
    alias_metadata: Mapping[str, str] = {}
    shows_old: tuple[str, ...] = ()
    """The old names of fields that were used to set them: Vault shows those too."""


class UserName(Params):
    """Names a user."""

    username: Text = Field(description="Name of the user; letters of either case are the same")


class PasswordParams(UserName):
    """A password, in clear or hashed already."""

    password: Text = Field("", description="The password")
    password_hash: Text = Field("", description="Instead of the password: its bcrypt or argon2id hash")


class PolicyParams(UserName):
    """Policies of a user."""

    token_policies: CommaList = Field([], description="Policies of the user's tokens")
    policies: CommaList = Field([], description="Deprecated: use token_policies")


class WriteUser(TokenParams, PasswordParams):
    """The body of a user. A field that is not sent stays as it is."""

    ttl: Duration = Field(0, description="Deprecated: use token_ttl")
    max_ttl: Duration = Field(0, description="Deprecated: use token_max_ttl")
    policies: CommaList = Field([], description="Deprecated: use token_policies")
    bound_cidrs: CommaList = Field([], description="Deprecated: use token_bound_cidrs")
    alias_metadata: KeyValue = Field({}, description="Kept with the user's alias, for policy templates")


class LogIn(UserName):
    """A user who wants in."""

    password: Text = Field("", description="The password")


def user_name(text: str) -> str:
    """Return a name as it is stored and compared. Raises BadInput for what cannot be one."""
    if _NAME.fullmatch(text) is None:
        raise BadInput.of(
            "username", "expected up to 256 letters, digits, '_', '-', '.', '+', '@', no mark at the ends"
        )
    return text.lower()


def changed(known: User | None, params: WriteUser, password_hash: str | None) -> User:
    """Return the user that a write makes of a known one, or a new one. Raises BadInput for what cannot be."""
    changes: dict[str, Any] = token_changes(params)
    shown = set(known.shows_old if known is not None else ())
    for old, new in _OLD_NAMES.items():
        if new in changes:
            shown.discard(old)
        elif params.submitted(old):
            changes[new] = _old_value(old, getattr(params, old))
            shown.add(old)
    changes["shows_old"] = tuple(sorted(shown))
    if params.submitted("alias_metadata"):
        changes["alias_metadata"] = params.alias_metadata
    if password_hash is not None:
        changes["password_hash"] = password_hash
    elif known is None:
        raise BadInput("must provide either password or password_hash")
    user = User(**changes) if known is None else known.model_copy(update=changes)
    demand_consistent(user)
    return user


def with_policies(user: User, params: PolicyParams) -> User:
    """Return a user with other policies."""
    is_new = params.submitted("token_policies")
    policies = policy_names(params.token_policies if is_new else params.policies)
    shown = set(user.shows_old) - {"policies"} if is_new else {*user.shows_old, "policies"}
    return user.model_copy(update={"token_policies": policies, "shows_old": tuple(sorted(shown))})


def render(user: User) -> dict[str, Any]:
    """Render a user as Vault does, without the password."""
    shown = render_settings(user)
    shown |= {old: shown[_OLD_NAMES[old]] for old in user.shows_old}
    return shown | ({"alias_metadata": dict(user.alias_metadata)} if user.alias_metadata else {})


def login_of(name: str, user: User) -> Login:
    """Return what the method vouches for."""
    return login_by(
        user,
        alias=name,
        display_name=name,
        metadata={"username": name},
        alias_metadata=user.alias_metadata,
        renewal={"username": name, "policies": ",".join(sorted(user.token_policies))},
    )


def _old_value(name: str, value: Any) -> Any:
    if name == "policies":
        return policy_names(value)
    if name == "bound_cidrs":
        try:
            return canonical_cidrs(value)
        except ValueError as error:
            raise BadInput(problems=[Problem(name, str(error))]) from None
    if value < 0:
        raise BadInput.of(name, f"cannot be negative: {value}")
    return value
