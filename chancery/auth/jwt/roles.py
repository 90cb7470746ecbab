"""What a role is, what a write to one may say, how one is shown, and whom it lets in. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BeforeValidator, Field

from chancery.auth.jose.tokens import TokenRefused
from chancery.auth.jwt import claims as claim_rules
from chancery.auth.jwt.times import Leeways, demand_valid_at
from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import CommaList, Duration, KeyValue, LaxBool, Params, Text
from chancery.kit.request import Login
from chancery.kit.role_settings import RoleParams, RoleSettings, policies_of, render_role, role_changes
from chancery.kit.token_settings import demand_consistent, login_by

_RESERVED_METADATA: Final = frozenset({"role"})


def _json_map(value: object) -> object:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError("expected a map, or its JSON") from None
    return value


ClaimMap = Annotated[dict[str, Any], BeforeValidator(_json_map)]


class Role(RoleSettings):
    """A role as it is kept; the document's name is the role's, in lower case. Leeways as `Leeways` has them."""

    user_claim: str
    user_claim_json_pointer: bool = False
    bound_audiences: tuple[str, ...] = ()
    bound_subject: str = ""
    bound_claims: Mapping[str, Any] = {}
    bound_claims_type: Literal["string", "glob"] = "string"
    claim_mappings: Mapping[str, str] = {}
    groups_claim: str = ""
    clock_skew_leeway: int = 0
    expiration_leeway: int = 0
    not_before_leeway: int = 0
    max_age: int = 0
    allowed_redirect_uris: tuple[str, ...] = ()
    oidc_scopes: tuple[str, ...] = ()


class NamedRole(Params):
    """Names a role."""

    name: Text = Field(description="Name of the role; letters of either case are the same")


class WriteRole(RoleParams, NamedRole):
    """The body of a role. A field that is not sent stays as it is."""

    role_type: Text = Field("", description="jwt; the browser flow of oidc is not served")
    user_claim: Text = Field("", description="The claim that names the person or machine")
    user_claim_json_pointer: LaxBool = Field(False, description="user_claim is a JSON pointer")
    bound_audiences: CommaList = Field([], description="Tokens must be meant for one of these (aud)")
    bound_subject: Text = Field("", description="Tokens must be about this subject (sub)")
    bound_claims: ClaimMap = Field({}, description="Claims and the values, or lists of values, that they must have")
    bound_claims_type: Text = Field("string", description="string, or glob: * in values stands for any text")
    claim_mappings: KeyValue = Field({}, description="Claims that become metadata, and under which names")
    groups_claim: Text = Field("", description="The claim that lists the groups; a token must have it")
    clock_skew_leeway: Duration = Field(0, description="Tolerance of clocks; 60s when 0, none when negative")
    expiration_leeway: Duration = Field(
        0, description="Validity of tokens without exp; 150s when 0, none when negative"
    )
    not_before_leeway: Duration = Field(0, description="Tolerance without nbf; 150s when 0, none when negative")
    max_age: Duration = Field(0, description="Longest time since auth_time")
    allowed_redirect_uris: CommaList = Field(
        [], description="Kept for tools that send it; the browser flow is not served"
    )
    oidc_scopes: CommaList = Field([], description="Kept for tools that send it; the browser flow is not served")
    verbose_oidc_logging: LaxBool = Field(False, description="Not served: tokens are never logged")


def changed(known: Role | None, params: WriteRole) -> Role:
    """Return the role that a write makes of a known one, or a new one. Raises BadInput naming every wrong field."""
    changes = role_changes(known, params)
    for name in Role.model_fields:
        if name in WriteRole.model_fields and name not in RoleSettings.model_fields and params.submitted(name):
            value = getattr(params, name)
            changes[name] = tuple(value) if isinstance(value, list) else value
    problems = [*_problems(params), *_map_problems(params)]
    if known is None and not params.user_claim:
        problems.append(Problem("user_claim", "a user claim must be defined on the role"))
    if known is None and params.role_type != "jwt":
        problems.append(_browser_flow())
    if problems:
        raise BadInput(problems=problems)
    role = Role(**changes) if known is None else known.model_copy(update=changes)
    demand_consistent(role)
    if not (role.bound_audiences or role.bound_subject or role.bound_claims or role.token_bound_cidrs):
        raise BadInput("must have at least one bound constraint when creating/updating a role")
    return role


def _problems(params: WriteRole) -> list[Problem]:
    problems = []
    if params.role_type not in {"", "jwt"}:
        problems.append(_browser_flow())
    if params.submitted("user_claim") and not params.user_claim:
        problems.append(Problem("user_claim", "a user claim must be defined on the role"))
    if params.user_claim_json_pointer and params.user_claim and not params.user_claim.startswith("/"):
        problems.append(Problem("user_claim", "a JSON pointer begins with /"))
    if params.bound_claims_type not in {"string", "glob"}:
        problems.append(Problem("bound_claims_type", "expected string or glob"))
    if params.max_age < 0:
        problems.append(Problem("max_age", f"cannot be negative: {params.max_age}"))
    if params.verbose_oidc_logging:
        problems.append(Problem("verbose_oidc_logging", "is not served: tokens are never logged"))
    return problems


def _map_problems(params: WriteRole) -> list[Problem]:
    problems = []
    for name, wanted in params.bound_claims.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values or not all(isinstance(value, claim_rules.Scalar) for value in values):
            problems.append(Problem("bound_claims", f"{name}: expected text, number, boolean, or a list of them"))
        elif params.bound_claims_type == "glob" and not all(isinstance(value, str) for value in values):
            problems.append(Problem("bound_claims", f"{name}: claims of type glob are text"))
    targets = list(params.claim_mappings.values())
    problems += [
        Problem("claim_mappings", f'metadata key "{key}" is reserved')
        for key in sorted(_RESERVED_METADATA & {*targets})
    ]
    twice = sorted({key for key in targets if targets.count(key) > 1})
    problems += [Problem("claim_mappings", f'multiple keys are mapped to metadata key "{key}"') for key in twice]
    return problems


def _browser_flow() -> Problem:
    return Problem("role_type", "the browser flow of oidc is not served: set role_type to jwt")


def render(role: Role) -> dict[str, Any]:
    """Render a role as Vault does."""
    own = {name: getattr(role, name) for name in Role.model_fields if name not in RoleSettings.model_fields}
    shown = {
        name: (list(value) if value else None)
        if isinstance(value, tuple)
        else (value or None)
        if name in _MAPS
        else value
        for name, value in own.items()
    }
    return render_role(role) | shown | {"role_type": "jwt", "verbose_oidc_logging": False}


_MAPS: Final = frozenset({"bound_claims", "claim_mappings"})


def vouch(name: str, role: Role, claims: Mapping[str, Any], now: float) -> Login:
    """Return the login that verified claims earn in a role. Raises TokenRefused."""
    leeways = Leeways(role.clock_skew_leeway, role.expiration_leeway, role.not_before_leeway, role.max_age)
    demand_valid_at(claims, leeways, now)
    _demand_audience(claims, role)
    if role.bound_subject and claims.get("sub") != role.bound_subject:
        raise TokenRefused("its subject is another")
    claim_rules.demand_bound(claims, role.bound_claims, as_globs=role.bound_claims_type == "glob")
    if role.groups_claim:
        claim_rules.groups(claims, role.groups_claim)
    alias = claim_rules.point(claims, role.user_claim) if role.user_claim_json_pointer else claims.get(role.user_claim)
    if not isinstance(alias, str) or not alias:
        raise TokenRefused(f"the user claim {role.user_claim} is missing, or no text")
    metadata = claim_rules.copied(claims, role.claim_mappings)
    return login_by(
        role,
        alias=alias,
        display_name=alias,
        metadata={"role": name} | metadata,
        alias_metadata={**role.alias_metadata, "role": name, **metadata},
        renewal={"role": name, "alias": alias, "policies": policies_of(role)},
    )


def _demand_audience(claims: Mapping[str, Any], role: Role) -> None:
    value = claims.get("aud")
    audiences = [value] if isinstance(value, str) else value
    if audiences is None:
        audiences = []
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise TokenRefused("its aud is neither text nor a list of text")
    if role.bound_audiences:
        if not set(audiences).intersection(role.bound_audiences):
            raise TokenRefused("it is meant for another audience")
    elif audiences:
        raise TokenRefused("it names an audience, and the role has no bound_audiences")
