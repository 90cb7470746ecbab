"""What a role (Vault: a "cert") is, what a write to one may say, how one is shown, and which names it lets in. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field

from chancery.auth.cert.chains import Anchors
from chancery.auth.cert.identity import CertificateRefused, Holder, serves_clients
from chancery.auth.cert.ocsp_rules import OcspSettings
from chancery.auth.globs import glob_matches
from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import CommaList, Duration, LaxBool, LaxInt, Params, Text
from chancery.kit.request import Login
from chancery.kit.role_settings import RoleParams, RoleSettings, render_role, role_changes
from chancery.kit.token_settings import demand_consistent, login_by

_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38})){1,30}")
_MAX_RETRIES: Final = 10


class Role(RoleSettings):
    """A role as it is kept; the document's name is the role's, in lower case."""

    certificate: str
    display_name: str = ""
    allowed_names: tuple[str, ...] = ()
    allowed_common_names: tuple[str, ...] = ()
    allowed_dns_sans: tuple[str, ...] = ()
    allowed_email_sans: tuple[str, ...] = ()
    allowed_uri_sans: tuple[str, ...] = ()
    allowed_organizations: tuple[str, ...] = ()
    allowed_organizational_units: tuple[str, ...] = ()
    required_extensions: tuple[str, ...] = ()
    allowed_metadata_extensions: tuple[str, ...] = ()
    ocsp_enabled: bool = False
    ocsp_ca_certificates: str = ""
    ocsp_servers_override: tuple[str, ...] = ()
    ocsp_fail_open: bool = False
    ocsp_query_all_servers: bool = False
    ocsp_this_update_max_age: int = 0
    ocsp_max_retries: int = 4


class NamedRole(Params):
    """Names a role."""

    name: Text = Field(description="Name of the role; letters of either case are the same")


class WriteRole(RoleParams, NamedRole):
    """The body of a role. A field that is not sent stays as it is."""

    certificate: Text = Field("", description="PEM: authorities that are trusted, or clients' own certificates")
    display_name: Text = Field("", description="Shown on tokens; the role's name when empty")
    allowed_names: CommaList = Field(
        [], description="One must be the common name, or a DNS or email name; * is any text"
    )
    allowed_common_names: CommaList = Field([], description="One must be the common name; * is any text")
    allowed_dns_sans: CommaList = Field([], description="One must be among the DNS names; * is any text")
    allowed_email_sans: CommaList = Field([], description="One must be among the email names; * is any text")
    allowed_uri_sans: CommaList = Field([], description="One must be among the URIs; * is any text")
    allowed_organizations: CommaList = Field([], description="One must be among the organizations; * is any text")
    allowed_organizational_units: CommaList = Field([], description="One must be among the units; * is any text")
    required_extensions: CommaList = Field(
        [], description="OID:TEXT of extensions that must all be there; * is any text"
    )
    allowed_metadata_extensions: CommaList = Field([], description="OIDs of extensions that become metadata")
    ocsp_enabled: LaxBool = Field(False, description="Ask whether the certificate is revoked")
    ocsp_ca_certificates: Text = Field("", description="PEM: who else may vouch for an OCSP responder")
    ocsp_servers_override: CommaList = Field([], description="Responders to ask instead of those in the certificate")
    ocsp_fail_open: LaxBool = Field(False, description="Let in when nobody answers")
    ocsp_query_all_servers: LaxBool = Field(False, description="Ask every responder, and demand that all agree")
    ocsp_this_update_max_age: Duration = Field(0, description="Oldest answer that is believed; 0 = as it says itself")
    ocsp_max_retries: LaxInt = Field(4, description="How often a responder is asked again when it does not answer")


def changed(known: Role | None, params: WriteRole) -> Role:
    """Return the role that a write makes of a known one, or a new one. Raises BadInput naming every wrong field."""
    changes = role_changes(known, params)
    for name in Role.model_fields:
        if name in WriteRole.model_fields and name not in RoleSettings.model_fields and params.submitted(name):
            value = getattr(params, name)
            changes[name] = tuple(value) if isinstance(value, list) else value
    problems = [*_certificate_problems(params, is_new=known is None), *_problems(params)]
    if problems:
        raise BadInput(problems=problems)
    role = Role(**changes) if known is None else known.model_copy(update=changes)
    demand_consistent(role)
    return role


def _certificate_problems(params: WriteRole, *, is_new: bool) -> list[Problem]:
    problems = []
    if params.submitted("certificate") or is_new:
        try:
            anchors = Anchors.parse(params.certificate)
            if any(each not in anchors.authorities and not serves_clients(each) for each in anchors.certificates):
                reason = "nonCA certificates should have TLS client authentication set as an extended key usage"
                problems.append(Problem("certificate", reason))
        except ValueError as error:
            problems.append(Problem("certificate", str(error)))
    if params.ocsp_ca_certificates:
        try:
            Anchors.parse(params.ocsp_ca_certificates)
        except ValueError as error:
            problems.append(Problem("ocsp_ca_certificates", str(error)))
    return problems


def _problems(params: WriteRole) -> list[Problem]:
    problems = []
    for text in params.required_extensions:
        oid, colon, _ = text.partition(":")
        if not colon or not _OID.fullmatch(oid):
            problems.append(Problem("required_extensions", "expected OID:TEXT, such as 1.3.6.1.4.1.99999.1:web*"))
            break
    if not all(map(_OID.fullmatch, params.allowed_metadata_extensions)):
        problems.append(Problem("allowed_metadata_extensions", "expected OIDs, such as 1.3.6.1.4.1.99999.1"))
    if params.ocsp_this_update_max_age < 0:
        problems.append(Problem("ocsp_this_update_max_age", "cannot be negative"))
    if not 0 <= params.ocsp_max_retries <= _MAX_RETRIES:
        problems.append(Problem("ocsp_max_retries", f"expected 0 to {_MAX_RETRIES}"))
    if not all(url.startswith(("https://", "http://")) for url in params.ocsp_servers_override):
        problems.append(Problem("ocsp_servers_override", "expected URLs"))
    return problems


def render(name: str, role: Role) -> dict[str, Any]:
    """Render a role as Vault does."""
    own = {field: getattr(role, field) for field in Role.model_fields if field not in RoleSettings.model_fields}
    shown = {key: (list(value) or None) if isinstance(value, tuple) else value for key, value in own.items()}
    return render_role(role) | shown | {"display_name": role.display_name or name}


@dataclass(frozen=True, slots=True)
class Rules:
    """A role made ready for judging."""

    name: str
    role: Role
    anchors: Anchors
    ocsp: OcspSettings | None

    @classmethod
    def compile(cls, name: str, role: Role) -> "Rules":
        """Parse the role's certificates."""
        ocsp = None
        if role.ocsp_enabled:
            extra = Anchors.parse(role.ocsp_ca_certificates).certificates if role.ocsp_ca_certificates else ()
            ocsp = OcspSettings(
                servers=role.ocsp_servers_override,
                authorities=extra,
                fail_open=role.ocsp_fail_open,
                query_all=role.ocsp_query_all_servers,
                max_age=role.ocsp_this_update_max_age,
                retries=role.ocsp_max_retries,
            )
        return cls(name, role, Anchors.parse(role.certificate), ocsp)

    def demand_names(self, holder: Holder) -> None:
        """Raise CertificateRefused unless the names are those that the role lets in."""
        role = self.role
        demands: Sequence[tuple[str, tuple[str, ...], Iterable[str]]] = (
            ("name", role.allowed_names, (holder.common_name, *holder.dns_names, *holder.emails)),
            ("common name", role.allowed_common_names, (holder.common_name,)),
            ("DNS name", role.allowed_dns_sans, holder.dns_names),
            ("email name", role.allowed_email_sans, holder.emails),
            ("URI", role.allowed_uri_sans, holder.uris),
            ("organization", role.allowed_organizations, holder.organizations),
            ("organizational unit", role.allowed_organizational_units, holder.organizational_units),
        )
        for what, patterns, names in demands:
            if patterns and not any(glob_matches(pattern, name) for pattern in patterns for name in names):
                raise CertificateRefused(f"it has no {what} that the role allows")
        for required in role.required_extensions:
            oid, _, pattern = required.partition(":")
            text = holder.extensions.get(oid)
            if text is None or not glob_matches(pattern, text):
                raise CertificateRefused(f"its extension {oid} is missing or another than the role requires")

    def login(self, holder: Holder, renewal: Mapping[str, str], *, with_alias_metadata: bool) -> Login:
        """Return the login that the holder earns."""
        metadata = {"cert_name": self.name} | holder.metadata()
        for oid in self.role.allowed_metadata_extensions:
            if oid in holder.extensions:
                metadata[oid.replace(".", "-")] = holder.extensions[oid]
        return login_by(
            self.role,
            alias=holder.common_name,
            display_name=self.role.display_name or self.name,
            metadata=metadata,
            alias_metadata={**self.role.alias_metadata, **(metadata if with_alias_metadata else {})},
            renewal=renewal,
        )
