"""What a role is, what a write to one may say, how one is shown, and which service accounts it lets in. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from chancery.auth.globs import glob_matches
from chancery.auth.kubernetes.accounts import ServiceAccount
from chancery.auth.kubernetes.selectors import parse_selector
from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import CommaList, Params, Text
from chancery.kit.request import Login
from chancery.kit.role_settings import RoleParams, RoleSettings, policies_of, render_role, role_changes
from chancery.kit.token_settings import demand_consistent, login_by


class Role(RoleSettings):
    """A role as it is kept; the document's name is the role's, in lower case."""

    bound_service_account_names: tuple[str, ...] = ()
    bound_service_account_namespaces: tuple[str, ...] = ()
    bound_service_account_namespace_selector: str = ""
    audience: str = ""
    alias_name_source: Literal["serviceaccount_uid", "serviceaccount_name"] = "serviceaccount_uid"

    def admits_name(self, name: str) -> bool:
        """Tell whether service accounts of a name may log in."""
        return any(glob_matches(pattern, name) for pattern in self.bound_service_account_names)

    def admits_namespace(self, namespace: str) -> bool:
        """Tell whether those of a namespace may, by the namespace's name."""
        return any(glob_matches(pattern, namespace) for pattern in self.bound_service_account_namespaces)

    def admits_labels(self, labels: Mapping[str, str]) -> bool:
        """Tell whether those of a namespace may, by the namespace's labels."""
        text = self.bound_service_account_namespace_selector
        return bool(text) and all(requirement.is_met(labels) for requirement in parse_selector(text))


class NamedRole(Params):
    """Names a role."""

    name: Text = Field(description="Name of the role; letters of either case are the same")


class WriteRole(RoleParams, NamedRole):
    """The body of a role. A field that is not sent stays as it is."""

    bound_service_account_names: CommaList = Field([], description="Service accounts that may log in; * for any text")
    bound_service_account_namespaces: CommaList = Field([], description="Their namespaces; * for any text")
    bound_service_account_namespace_selector: Text = Field(
        "", description="A label selector for namespaces, JSON or YAML; one of the two must fit"
    )
    audience: Text = Field("", description="The audience that tokens must be meant for")
    alias_name_source: Text = Field("serviceaccount_uid", description="serviceaccount_uid or serviceaccount_name")


def changed(known: Role | None, params: WriteRole) -> Role:
    """Return the role that a write makes of a known one, or a new one. Raises BadInput naming every wrong field."""
    changes = role_changes(known, params)
    for name in Role.model_fields:
        if name in WriteRole.model_fields and name not in RoleSettings.model_fields and params.submitted(name):
            value = getattr(params, name)
            changes[name] = tuple(value) if isinstance(value, list) else value
    problems = []
    if params.alias_name_source not in {"serviceaccount_uid", "serviceaccount_name"}:
        problems.append(Problem("alias_name_source", "expected serviceaccount_uid or serviceaccount_name"))
    try:
        if params.bound_service_account_namespace_selector:
            parse_selector(params.bound_service_account_namespace_selector)
    except ValueError as error:
        problems.append(Problem("bound_service_account_namespace_selector", str(error)))
    if problems:
        raise BadInput(problems=problems)
    role = Role(**changes) if known is None else known.model_copy(update=changes)
    demand_consistent(role)
    if not role.bound_service_account_names:
        raise BadInput('"bound_service_account_names" can not be empty')
    if not role.bound_service_account_namespaces and not role.bound_service_account_namespace_selector:
        raise BadInput(
            '"bound_service_account_namespaces" can not be empty if '
            '"bound_service_account_namespace_selector" is not set'
        )
    return role


def render(role: Role) -> dict[str, Any]:
    """Render a role as Vault does."""
    own = {name: getattr(role, name) for name in Role.model_fields if name not in RoleSettings.model_fields}
    return render_role(role) | {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}


def login_of(name: str, role: Role, account: ServiceAccount, annotations: Mapping[str, str]) -> Login:
    """Return the login that a service account earns in a role."""
    by_uid = role.alias_name_source == "serviceaccount_uid"
    metadata = {
        "role": name,
        "service_account_name": account.name,
        "service_account_namespace": account.namespace,
        "service_account_secret_name": account.secret_name,
        "service_account_uid": account.uid,
    }
    alias = account.uid if by_uid else f"{account.namespace}/{account.name}"
    display_name = f"{account.namespace}-{account.name}"
    return login_by(
        role,
        alias=alias,
        display_name=display_name,
        metadata=metadata,
        alias_metadata={**annotations, **role.alias_metadata, **metadata},
        renewal={"role": name, "alias": alias, "display_name": display_name, "policies": policies_of(role)},
    )
