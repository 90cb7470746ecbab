"""Roles: what may be issued. One declaration of the fields serves the wire, the store and the documentation.

A role is checked when it is written, so that issuing under it cannot fail for a reason that was visible then.
"""

import ipaddress
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field

from ca.key_parameters import default_bits, key_problem, problem_field
from ca.x509 import der
from ca.x509.names import DistinguishedName
from ca.x509.policies import parse_policies
from ca.x509.usages import parse_ext_key_usages, parse_key_usages
from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import CommaList, Duration, LaxBool, LaxInt, Params, Text
from chancery.kit.storage import Stored

DEFAULT_KEY_USAGES: Final = ("DigitalSignature", "KeyAgreement", "KeyEncipherment")


def _policy_list(value: object) -> object:
    """Accept OIDs, and policies as JSON text, alone or in a list; a policy with details stays JSON text."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            parsed = json.loads(value)
        except ValueError:
            raise ValueError("expected OIDs, or JSON objects with oid, cps and notice") from None
        value = parsed if isinstance(parsed, list) else [parsed]
    elif isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return [json.dumps(item, separators=(",", ":")) if isinstance(item, dict) else item for item in value]
    return [] if value is None else value


PolicyList = Annotated[list[str], BeforeValidator(_policy_list)]


class RoleFields(BaseModel):
    """Every setting of a role, with Vault's names and defaults. Durations in seconds."""

    issuer_ref: Text = Field("default", description="Issuer that signs: its name, its id or `default`")
    ttl: Duration = Field(0, description="Life of a certificate when the request does not say; 0 = the mount's default")
    max_ttl: Duration = Field(0, description="Longest life that a request may ask for; 0 = the mount's maximum")
    allow_localhost: LaxBool = Field(True, description="Allow localhost and localdomain")
    allowed_domains: CommaList = Field(default=[], description="Domains that the other settings refer to")
    allowed_domains_template: LaxBool = Field(False, description="Treat allowed_domains as identity templates")
    allow_bare_domains: LaxBool = Field(False, description="Allow the allowed domains themselves")
    allow_subdomains: LaxBool = Field(False, description="Allow names below the allowed domains, wildcards included")
    allow_glob_domains: LaxBool = Field(False, description="Treat `*` in allowed_domains as any text")
    allow_wildcard_certificates: LaxBool = Field(True, description="Allow wildcard names")
    allow_any_name: LaxBool = Field(False, description="Allow every name")
    enforce_hostnames: LaxBool = Field(True, description="Require common name and DNS names to be host names")
    allow_ip_sans: LaxBool = Field(True, description="Allow IP addresses")
    allowed_ip_sans_cidr: CommaList = Field(
        default=[], description="Networks that IP addresses must lie in; none = any"
    )
    allowed_uri_sans: CommaList = Field(default=[], description="Globs of allowed URIs")
    allowed_uri_sans_template: LaxBool = Field(False, description="Treat allowed_uri_sans as identity templates")
    allowed_other_sans: CommaList = Field(default=[], description="Allowed `OID;utf8:glob`; a lone `*` allows all")
    allowed_serial_numbers: CommaList = Field(default=[], description="Globs of allowed subject serial numbers")
    allowed_user_ids: CommaList = Field(default=[], description="Globs of allowed subject user ids")
    server_flag: LaxBool = Field(True, description="Certify for TLS servers")
    client_flag: LaxBool = Field(True, description="Certify for TLS clients")
    code_signing_flag: LaxBool = Field(False, description="Certify for code signing")
    email_protection_flag: LaxBool = Field(False, description="Certify for e-mail protection")
    key_type: Literal["rsa", "ec", "ed25519", "any"] | Text = Field(
        "rsa", description="rsa, ec, ed25519, or any for CSRs"
    )
    key_bits: LaxInt = Field(0, description="Bits of the key, for CSRs the least; 0 = 2048 for rsa, 256 for ec")
    signature_bits: LaxInt = Field(0, description="Digest of signatures by RSA issuers: 256, 384 or 512; 0 = 256")
    use_pss: LaxBool = Field(False, description="Sign with RSASSA-PSS when the issuer's key is RSA")
    key_usage: CommaList = Field(default=list(DEFAULT_KEY_USAGES), description="Key usages")
    ext_key_usage: CommaList = Field(default=[], description="Further extended key usages, by name")
    ext_key_usage_oids: CommaList = Field(default=[], description="Further extended key usages, by OID")
    use_csr_common_name: LaxBool = Field(True, description="Take the common name from the CSR, not from the request")
    use_csr_sans: LaxBool = Field(True, description="Take the alternative names from the CSR, not from the request")
    ou: CommaList = Field(default=[], description="Organizational units of the subject")
    organization: CommaList = Field(default=[], description="Organizations of the subject")
    country: CommaList = Field(default=[], description="Countries of the subject")
    locality: CommaList = Field(default=[], description="Localities of the subject")
    province: CommaList = Field(default=[], description="Provinces of the subject")
    street_address: CommaList = Field(default=[], description="Street addresses of the subject")
    postal_code: CommaList = Field(default=[], description="Postal codes of the subject")
    generate_lease: LaxBool = Field(False, description="Answer with a lease: the certificate is revoked when it ends")
    no_store: LaxBool = Field(
        False, description="Do not store certificates: they cannot be listed or revoked by serial"
    )
    no_store_metadata: LaxBool = Field(False, description="Kept for compatibility: certificates have no metadata here")
    require_cn: LaxBool = Field(True, description="Require a common name")
    cn_validations: CommaList = Field(
        default=["email", "hostname"], description="What a common name may be: email, hostname; or disabled"
    )
    policy_identifiers: PolicyList = Field(default=[], description="Certificate policies: OIDs or JSON objects")
    basic_constraints_valid_for_non_ca: LaxBool = Field(False, description="State CA:FALSE in certificates")
    not_before_duration: Duration = Field(30, description="How far certificates are dated back, in seconds")
    not_before: Text = Field("", description="Fixed start of validity, RFC 3339")
    not_before_bound: Text = Field("permit", description="May a request set not_before: permit, duration or forbid")
    not_after: Text = Field("", description="Fixed end of validity, RFC 3339")
    not_after_bound: Text = Field(
        "permit", description="May a request set not_after: permit, ttl-limited, forbid, or a moment that caps it"
    )
    serial_number_source: Text = Field(
        "json-csr", description="Where the subject's serial number comes from: json-csr or json"
    )


class Role(RoleFields, Stored):
    """A role as it is stored: complete and checked."""


class WriteRole(RoleFields, Params):
    """Parameters of creating, replacing and patching a role."""

    name: Text = Field(description="Name of the role")
    backend: Text = Field("", description="Ignored")


def complete(params: WriteRole) -> Role:
    """Turn parameters into a whole role; what was not sent has its default. Raises BadInput with every wrong field."""
    return _checked({name: getattr(params, name) for name in Role.model_fields})


def patched(role: Role, params: WriteRole) -> Role:
    """Return the role with the submitted fields changed. Raises BadInput with every wrong field."""
    changes = {name: getattr(params, name) for name in Role.model_fields if params.submitted(name)}
    return _checked({**dict(role), **changes})


def _checked(values: dict[str, Any]) -> Role:
    for name, default in (("issuer_ref", "default"), ("not_before_bound", "permit"), ("not_after_bound", "permit")):
        values[name] = values[name] or default
    values["cn_validations"] = [text.lower() for text in values["cn_validations"]] or ["email", "hostname"]
    values["key_bits"] = values["key_bits"] or default_bits(values["key_type"])
    if values["no_store"]:
        values["generate_lease"] = False
    role = Role.model_construct(**values)
    problems = list(_problems(role))
    if problems:
        raise BadInput("; ".join(problem.reason for problem in problems), problems=problems)
    return role


def _problems(role: Role) -> Iterator[Problem]:
    for name in ("ttl", "max_ttl", "not_before_duration"):
        if getattr(role, name) < 0:
            yield Problem(name, f"{name} cannot be negative")
    if 0 < role.max_ttl < role.ttl:
        yield Problem("ttl", '"ttl" value must be less than "max_ttl" value')
    reason = key_problem(role.key_type, role.key_bits, allow_any=True)
    if reason:
        yield Problem(problem_field(reason), reason)
    if role.signature_bits not in {0, 256, 384, 512}:
        yield Problem("signature_bits", f"unsupported hash signature algorithm: {role.signature_bits}")
    yield from _common_name_problems(role)
    yield from _moment_problems(role)
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("key_usage", lambda: parse_key_usages(role.key_usage)),
        ("ext_key_usage", lambda: parse_ext_key_usages(role.ext_key_usage)),
        ("ext_key_usage_oids", lambda: parse_ext_key_usages(role.ext_key_usage_oids)),
        ("policy_identifiers", lambda: parse_policies(role.policy_identifiers)),
        ("allowed_other_sans", lambda: [split_other_san(text) for text in role.allowed_other_sans if text != "*"]),
        ("subject", lambda: subject_of(role).encode()),
        ("allowed_ip_sans_cidr", lambda: [ipaddress.ip_network(text) for text in role.allowed_ip_sans_cidr]),
    )
    for name, check in checks:
        try:
            check()
        except ValueError as error:
            yield Problem(name, str(error) if name == "subject" else f"{name}: {error}")


def subject_of(role: Role, common_name: str = "", serial_number: str = "") -> DistinguishedName:
    """Return the subject that a role prescribes, without user ids."""
    return DistinguishedName(
        common_name=common_name,
        serial_number=serial_number,
        organization=tuple(role.organization),
        organizational_unit=tuple(role.ou),
        country=tuple(role.country),
        locality=tuple(role.locality),
        province=tuple(role.province),
        street_address=tuple(role.street_address),
        postal_code=tuple(role.postal_code),
    )


def _common_name_problems(role: Role) -> Iterator[Problem]:
    validations = role.cn_validations
    for text in validations:
        if text not in {"email", "hostname", "disabled"}:
            yield Problem("cn_validations", f"cn_validations value incorrect: unknown type: `{text}`")
    if "disabled" in validations and len(validations) > 1:
        yield Problem("cn_validations", "cannot specify `disabled` along with `email` or `hostname` in cn_validations")
    if role.serial_number_source not in {"json-csr", "json"}:
        yield Problem("serial_number_source", "serial_number_source must be json-csr or json")


def _moment_problems(role: Role) -> Iterator[Problem]:
    if role.not_before_bound not in {"permit", "duration", "forbid"}:
        yield Problem("not_before_bound", "not_before_bound must be permit, duration or forbid")
    moments = {"not_before": role.not_before, "not_after": role.not_after}
    if role.not_after_bound not in {"permit", "ttl-limited", "forbid"}:
        moments["not_after_bound"] = role.not_after_bound
    for name, text in moments.items():
        if text and not _is_moment(text):
            choices = "permit, ttl-limited, forbid or " if name == "not_after_bound" else ""
            yield Problem(name, f"{name} must be {choices}a time such as 2030-01-31T00:00:00Z")


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def split_other_san(text: str) -> tuple[str, str]:
    """Read `OID;UTF8:value` into OID and value. Raises ValueError in Vault's words."""
    oid, semicolon, rest = text.partition(";")
    if not semicolon:
        raise ValueError(f'expected a semicolon in other SAN "{text[:80]}"')
    kind, colon, value = rest.partition(":")
    if not colon:
        raise ValueError(f'expected a colon in other SAN "{text[:80]}"')
    if kind.lower() not in {"utf8", "utf-8"}:
        raise ValueError(f'only utf8 other SANs are supported; found non-supported type in other SAN "{text[:80]}"')
    der.oid(oid.strip())
    return oid.strip(), value
