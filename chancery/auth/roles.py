"""Token roles: named limits for tokens that are created through `auth/token/create/{role_name}`."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from chancery.auth.lifetimes import Limits
from chancery.kit.errors import BadInput, Problem
from chancery.kit.networks import format_cidr, parse_cidr
from chancery.kit.params import CommaList, Duration, LaxBool, LaxInt, Params, Text
from chancery.kit.storage import Stored


class RoleTokenType(StrEnum):
    """The type of a role's tokens: fixed, or what the request gets when it names none."""

    SERVICE = "service"
    BATCH = "batch"
    DEFAULT_SERVICE = "default-service"
    DEFAULT_BATCH = "default-batch"


_NAME = re.compile(r"\w(?:[\w.-]*\w)?(?:@\w[\w.-]*)?")
_PATH_SUFFIX = re.compile(r"\w[\w.-]+\w")


class TokenRole(Stored):
    """A role as it is kept. Durations in seconds, 0 = none."""

    allowed_policies: tuple[str, ...] = ()
    allowed_policies_glob: tuple[str, ...] = ()
    disallowed_policies: tuple[str, ...] = ()
    disallowed_policies_glob: tuple[str, ...] = ()
    allowed_entity_aliases: tuple[str, ...] | None = None
    orphan: bool = False
    renewable: bool = True
    path_suffix: str = ""
    period: int = 0
    """`period`, `explicit_max_ttl` and `bound_cidrs` are the old names, shown as they were set."""
    explicit_max_ttl: int = 0
    bound_cidrs: tuple[str, ...] = ()
    token_period: int = 0
    token_explicit_max_ttl: int = 0
    token_bound_cidrs: tuple[str, ...] = ()
    token_no_default_policy: bool = False
    token_num_uses: int = 0
    token_type: RoleTokenType = RoleTokenType.DEFAULT_SERVICE

    @property
    def limits_policies(self) -> bool:
        """Tell whether the role has rules of its own for policies."""
        return bool(
            self.allowed_policies
            or self.allowed_policies_glob
            or self.disallowed_policies
            or self.disallowed_policies_glob
        )


class RoleName(Params):
    """Names a role."""

    role_name: Text = Field(description="Name of the role")


class WriteRole(RoleName):
    """The body of a role. A field that is not sent stays as it is."""

    allowed_policies: CommaList = Field([], description="Policies that tokens may have; empty allows the caller's own")
    allowed_policies_glob: CommaList = Field([], description="The same, with globs")
    disallowed_policies: CommaList = Field([], description="Policies that tokens may not have")
    disallowed_policies_glob: CommaList = Field([], description="The same, with globs")
    allowed_entity_aliases: CommaList = Field([], description="Entity aliases that tokens may be tied to")
    orphan: LaxBool = Field(False, description="Tokens have no parent")
    renewable: LaxBool = Field(True, description="Tokens can be renewed")
    path_suffix: Text = Field("", description="Appended to the path that tokens are recorded with")
    period: Duration = Field(0, description="Deprecated: use token_period")
    explicit_max_ttl: Duration = Field(0, description="Deprecated: use token_explicit_max_ttl")
    bound_cidrs: CommaList = Field([], description="Deprecated: use token_bound_cidrs")
    token_period: Duration = Field(0, description="Renewals extend tokens by this, again and again")
    token_explicit_max_ttl: Duration = Field(0, description="Longest life of tokens, renewals included")
    token_bound_cidrs: CommaList = Field([], description="Networks that tokens may be used from")
    token_no_default_policy: LaxBool = Field(False, description="Tokens do not get the default policy by themselves")
    token_num_uses: LaxInt = Field(0, description="How often a token can be used; 0 = without limit")
    token_type: Text = Field(
        RoleTokenType.DEFAULT_SERVICE.value, description="service, batch, default-service or default-batch"
    )


def demand_role_name(name: str) -> None:
    """Raise BadInput for a name that no role can have."""
    if len(name) > 256 or _NAME.fullmatch(name) is None:
        raise BadInput.of("role_name", "expected letters, digits, '_', '-', '.', beginning and ending with no mark")


def merged(known: TokenRole, params: WriteRole, limits: Limits) -> tuple[TokenRole, list[str]]:
    """Return the role that a write makes of a known one, and warnings. Raises BadInput that names every problem."""
    problems: list[Problem] = []
    warnings: list[str] = []
    sent = {name: _frozen(getattr(params, name)) for name in TokenRole.model_fields if params.submitted(name)}
    for name in ("bound_cidrs", "token_bound_cidrs"):
        if name in sent:
            sent[name] = _cidrs(name, sent[name], problems)
    if "token_type" in sent:
        sent["token_type"] = _token_type(sent["token_type"], known.token_type, problems)
    if sent.get("allowed_entity_aliases"):
        sent["allowed_entity_aliases"] = tuple(alias.lower() for alias in sent["allowed_entity_aliases"])
    _settle_old_names(sent, warnings)
    role = known.model_copy(update=sent)
    problems.extend(_problems(role))
    if problems:
        raise BadInput(problems=problems)
    if role.token_explicit_max_ttl > limits.max_ttl:
        warnings.append(
            f"token_explicit_max_ttl of {role.token_explicit_max_ttl} seconds is greater than the system's max TTL "
            f"of {limits.max_ttl} seconds, which is what tokens will get"
        )
    return role, warnings


def render(name: str, role: TokenRole) -> dict[str, Any]:
    """Render a role as Vault does: bound networks and counted uses only when there are any."""
    rendered: dict[str, Any] = {"name": name}
    for key, value in role.model_dump().items():
        if value or key not in {"bound_cidrs", "token_bound_cidrs", "token_num_uses"}:
            rendered[key] = list(value) if isinstance(value, tuple) else value
    return rendered


def _settle_old_names(sent: dict[str, Any], warnings: list[str]) -> None:
    """Let each old name set its new one, unless that was sent as well; a new name makes the old one void."""
    for old, new in (
        ("period", "token_period"),
        ("explicit_max_ttl", "token_explicit_max_ttl"),
        ("bound_cidrs", "token_bound_cidrs"),
    ):
        if new in sent:
            if old in sent:
                warnings.append(f"Both '{new}' and deprecated '{old}' value supplied, ignoring the deprecated value")
            sent[old] = () if old == "bound_cidrs" else 0
        elif old in sent:
            sent[new] = sent[old]


def _problems(role: TokenRole) -> list[Problem]:
    problems = [
        Problem(name, f"cannot provide negative value '{value}'")
        for name, value in _durations(role).items()
        if value < 0
    ]
    if role.token_num_uses < 0:
        problems.append(Problem("token_num_uses", "'token_num_uses' cannot be negative"))
    if role.path_suffix and _PATH_SUFFIX.fullmatch(role.path_suffix) is None:
        reason = f"given role path suffix contains invalid characters; must match {_PATH_SUFFIX.pattern}"
        problems.append(Problem("path_suffix", reason))
    if role.token_type is RoleTokenType.BATCH:
        problems.extend(Problem("token_type", f"'token_type' cannot be 'batch' when {why}") for why in _unbatched(role))
    elif role.token_type is RoleTokenType.DEFAULT_BATCH and role.token_period:
        reason = "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens"
        problems.append(Problem("token_type", reason))
    return problems


def _durations(role: TokenRole) -> Mapping[str, int]:
    return {"token_period": role.token_period, "token_explicit_max_ttl": role.token_explicit_max_ttl}


def _unbatched(role: TokenRole) -> list[str]:
    """Return what a role demands that batch tokens cannot do."""
    demands = {
        "role is set to generate non-orphan tokens": not role.orphan,
        "role is set to generate periodic tokens": role.token_period,
        "role is set to generate renewable tokens": role.renewable,
        "role is set to generate tokens with an explicit max TTL": role.token_explicit_max_ttl,
        "role is set to generate tokens with limited uses": role.token_num_uses,
    }
    return [demand for demand, made in demands.items() if made]


def _cidrs(name: str, cidrs: tuple[str, ...], problems: list[Problem]) -> tuple[str, ...]:
    networks: list[str] = []
    for cidr in cidrs:
        try:
            networks.append(format_cidr(parse_cidr(cidr)))
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    return tuple(networks)


def _token_type(value: str, fallback: RoleTokenType, problems: list[Problem]) -> RoleTokenType:
    try:
        return RoleTokenType(value)
    except ValueError:
        reason = f"invalid 'token_type' value \"{value}\"; use one of {', '.join(RoleTokenType)}"
        problems.append(Problem("token_type", reason))
        return fallback


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
