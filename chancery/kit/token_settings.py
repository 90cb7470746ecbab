"""The `token_*` parameters that every auth method has on its roles or users: accepted, kept, rendered, granted.

A method inherits the pair: its body of a role from `TokenParams`, what it stores from `TokenSettings`::

    class WriteUser(TokenParams): ...
    class User(TokenSettings): ...

    user = known.model_copy(update=token_changes(params))
    demand_consistent(user)
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from chancery.kit.errors import BadInput, Problem
from chancery.kit.networks import canonical_cidrs
from chancery.kit.params import CommaList, Duration, LaxBool, LaxInt, Params, Text
from chancery.kit.request import Login, TokenKind
from chancery.kit.storage import Stored


class TokenSettings(Stored):
    """What tokens of a role or user shall be. Durations in seconds, 0 = the mount's."""

    token_ttl: int = 0
    token_max_ttl: int = 0
    token_explicit_max_ttl: int = 0
    token_period: int = 0
    token_policies: tuple[str, ...] = ()
    token_bound_cidrs: tuple[str, ...] = ()
    token_no_default_policy: bool = False
    token_num_uses: int = 0
    token_type: TokenKind = TokenKind.DEFAULT


class TokenParams(Params):
    """The parameters, as every auth method accepts them. A field that is not sent stays as it is."""

    token_ttl: Duration = Field(0, description="How long tokens live; the mount's default when 0")
    token_max_ttl: Duration = Field(0, description="How long tokens can be renewed; the mount's maximum when 0")
    token_explicit_max_ttl: Duration = Field(0, description="Longest life of tokens, periodic ones included")
    token_period: Duration = Field(0, description="Renewals extend tokens by this, again and again")
    token_policies: CommaList = Field([], description="Policies of tokens")
    token_bound_cidrs: CommaList = Field([], description="Networks that may log in, and use the token")
    token_no_default_policy: LaxBool = Field(False, description="Tokens do not get the default policy")
    token_num_uses: LaxInt = Field(0, description="How often a token can be used; 0 = without limit")
    token_type: Text = Field("default", description="service, batch, default, default-service or default-batch")


def token_changes(params: Params) -> dict[str, Any]:
    """Return what the client sent of `token_*`, ready to be stored. Raises BadInput that names every wrong field.

    `params` may have only some of the fields, as paths for a single one do.
    """
    problems: list[Problem] = []
    changes = {name: getattr(params, name) for name in TokenSettings.model_fields if params.submitted(name)}
    for name, value in changes.items():
        if isinstance(value, int) and value < 0:
            reason = f"'{name}' cannot be negative" if name == "token_num_uses" else f"cannot be negative: {value}"
            problems.append(Problem(name, reason))
    if "token_policies" in changes:
        changes["token_policies"] = policy_names(changes["token_policies"])
    try:
        if "token_bound_cidrs" in changes:
            changes["token_bound_cidrs"] = canonical_cidrs(changes["token_bound_cidrs"])
    except ValueError as error:
        problems.append(Problem("token_bound_cidrs", str(error)))
    try:
        if "token_type" in changes:
            changes["token_type"] = TokenKind(changes["token_type"] or "default")
    except ValueError:
        reason = f"invalid 'token_type' value \"{changes['token_type']}\"; use one of {', '.join(TokenKind)}"
        problems.append(Problem("token_type", reason))
    if problems:
        raise BadInput(problems=problems)
    return changes


def demand_consistent(settings: TokenSettings) -> None:
    """Raise BadInput when settings contradict each other."""
    problems: list[Problem] = []
    if settings.token_max_ttl and settings.token_ttl > settings.token_max_ttl:
        problems.append(Problem("token_ttl", "'token_ttl' cannot be greater than 'token_max_ttl'"))
    if settings.token_type in {TokenKind.BATCH, TokenKind.DEFAULT_BATCH}:
        for what, is_asked in (
            ("periodic tokens", settings.token_period),
            ("tokens with an explicit max TTL", settings.token_explicit_max_ttl),
            ("tokens with limited use count", settings.token_num_uses),
        ):
            if is_asked:
                reason = f"'token_type' cannot be 'batch' or 'default_batch' when set to generate {what}"
                problems.append(Problem("token_type", reason))
    if problems:
        raise BadInput(problems=problems)


def render_settings(settings: TokenSettings) -> dict[str, Any]:
    """Render the `token_*` fields as Vault does."""
    values = {name: getattr(settings, name) for name in TokenSettings.model_fields}
    return {
        name: value.value if isinstance(value, TokenKind) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def login_by(
    settings: TokenSettings,
    *,
    alias: str,
    display_name: str,
    metadata: Mapping[str, str],
    alias_metadata: Mapping[str, str],
    renewal: Mapping[str, str],
    bound_cidrs: tuple[str, ...] | None = None,
) -> Login:
    """Return the login that settings grant. `bound_cidrs` replaces the settings' own networks."""
    return Login(
        alias=alias,
        display_name=display_name,
        policies=settings.token_policies,
        metadata=metadata,
        alias_metadata=alias_metadata,
        ttl=settings.token_ttl,
        max_ttl=settings.token_max_ttl,
        explicit_max_ttl=settings.token_explicit_max_ttl,
        period=settings.token_period,
        num_uses=settings.token_num_uses,
        token_type=settings.token_type,
        no_default_policy=settings.token_no_default_policy,
        bound_cidrs=settings.token_bound_cidrs if bound_cidrs is None else bound_cidrs,
        renewal=renewal,
    )


def policy_names(names: list[str]) -> tuple[str, ...]:
    """Fold names of policies and drop repetitions, in order of first mention."""
    return tuple(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
