"""`issue`, `sign` and `sign-verbatim`: certificates for clients."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from pydantic import Field

from ca.authorize import AskedCertificate
from ca.endpoints.rendering import ISSUED_FIELDS, Format, issued_data
from ca.errors import RequestRefused
from ca.hostnames import IpAddress
from ca.issuance import Issuance, Issued, Judgement
from ca.key_parameters import new_key
from ca.role_store import Roles
from ca.roles import DEFAULT_KEY_USAGES, Role, split_other_san
from ca.roots import PERMISSIVE
from ca.rules import RoleRules
from ca.validity import Asked
from ca.x509.request import ParsedRequest
from ca.x509.serials import format_serial
from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, Duration, LaxBool, LaxInt, Params, Text
from chancery.kit.request import Lease, Reply, Request
from chancery.kit.route import Route, endpoint
from managed_keys.keys import NewKey


class CommonFields(Params):
    """What requests for certificates have in common, roots included."""

    common_name: Text = Field("", description="Common name of the subject")
    alt_names: Text = Field("", description="Host names and e-mail addresses, separated by commas")
    ip_sans: CommaList = Field(default=[], description="IP addresses")
    uri_sans: CommaList = Field(default=[], description="URIs")
    other_sans: CommaList = Field(default=[], description="Other names as `OID;utf8:value`")
    serial_number: Text = Field("", description="Serial number in the subject, not that of the certificate")
    ttl: Duration = Field(0, description="Life of the certificate")
    not_after: Text = Field("", description="End of validity, RFC 3339; instead of ttl")
    not_before: Text = Field("", description="Start of validity, RFC 3339")
    exclude_cn_from_sans: LaxBool = Field(False, description="Do not repeat the common name as an alternative name")
    format: Text = Field("pem", description="pem, der or pem_bundle")
    private_key_format: Text = Field("der", description="der for the key's own format, pkcs8 for PKCS#8")

    def asked(self, csr: ParsedRequest | None = None, user_ids: Iterable[str] = ()) -> AskedCertificate:
        """Return what is asked for. Raises RequestRefused when a name cannot be read."""
        return AskedCertificate(
            common_name=self.common_name,
            alt_names=tuple(name for part in self.alt_names.split(",") if (name := part.strip())),
            ips=_addresses(self.ip_sans) if self.ip_sans else (),
            uris=tuple(self.uri_sans),
            other_names=_other_names(self.other_sans) if self.other_sans else (),
            serial_number=self.serial_number,
            user_ids=tuple(user_ids),
            exclude_cn_from_sans=self.exclude_cn_from_sans,
            validity=Asked(self.ttl, self.not_after, self.not_before),
            csr=csr,
        )

    def shown(self) -> Format:
        """Return how the answer is to be rendered. Raises BadInput."""
        return Format.parse(self.format, self.private_key_format)


def _addresses(texts: list[str]) -> tuple[IpAddress, ...]:
    addresses = []
    for text in texts:
        try:
            addresses.append(ipaddress.ip_address(text))
        except ValueError:
            raise RequestRefused("ip_sans", f'the value "{text[:80]}" is not a valid IP address') from None
    return tuple(addresses)


def _other_names(texts: list[str]) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(split_other_san(text) for text in texts)
    except ValueError as error:
        raise RequestRefused("other_sans", f"could not parse requested other SAN: {error}") from None


class LeafFields(CommonFields):
    """What requests under a role have in common."""

    role: Text = Field("", description="Name of the role")
    issuer_ref: Text = Field("", description="Issuer in the path; the role's own otherwise")
    user_ids: CommaList = Field(default=[], description="User ids in the subject")
    remove_roots_from_chain: LaxBool = Field(False, description="Leave self-signed certificates out of ca_chain")
    cert_metadata: Text = Field("", description="Not kept here")


class IssueLeaf(LeafFields):
    """Parameters of `issue`."""

    key_type: Text = Field("", description="For roles of key_type any: rsa, ec or ed25519")
    key_bits: LaxInt = Field(0, description="For roles of key_type any: size of the key")


class SignLeaf(LeafFields):
    """Parameters of `sign`."""

    csr: Text = Field("", description="PEM certificate request")


class SignVerbatim(SignLeaf):
    """Parameters of `sign-verbatim`."""

    key_usage: CommaList = Field(default=list(DEFAULT_KEY_USAGES), description="Key usages")
    ext_key_usage: CommaList = Field(default=[], description="Extended key usages, by name")
    ext_key_usage_oids: CommaList = Field(default=[], description="Extended key usages, by OID")
    signature_bits: LaxInt = Field(0, description="Digest of signatures by RSA issuers")
    use_pss: LaxBool = Field(False, description="Sign with RSASSA-PSS when the issuer's key is RSA")
    basic_constraints_valid_for_non_ca: LaxBool = Field(False, description="State CA:FALSE in the certificate")


class IssuingEndpoints:
    """Serves certificates of one mount."""

    def __init__(self, roles: Roles, issuance: Issuance) -> None:
        self._roles = roles
        self._issuance = issuance

    def routes(self) -> list[Route]:
        """Return the paths."""
        with_key = (*ISSUED_FIELDS, "private_key", "private_key_type")
        issue = endpoint(self.issue, IssueLeaf, responses=with_key)
        sign = endpoint(self.sign, SignLeaf, responses=ISSUED_FIELDS)
        verbatim = endpoint(self.sign_verbatim, SignVerbatim, responses=ISSUED_FIELDS)
        return [
            Route(pattern=f"{prefix}{pattern}", update=served)
            for prefix in ("", "issuer/{issuer_ref}/")
            for pattern, served in (
                ("issue/{role}", issue),
                ("sign/{role}", sign),
                ("sign-verbatim", verbatim),
                ("sign-verbatim/{role}", verbatim),
            )
        ]

    async def issue(self, request: Request, params: IssueLeaf) -> Reply:
        """Make a key and a certificate for it."""
        shown = params.shown()
        judgement = await self._judgement(request, params)
        key, warnings = _leaf_key(judgement.rules.role, params)
        asked = params.asked(user_ids=params.user_ids)
        issued = await self._issuance.issue(judgement, asked, request.now, make=key)
        data = issued_data(issued, shown, remove_roots=params.remove_roots_from_chain)
        return Reply(data, warnings=(*issued.warnings, *warnings), lease=_lease(judgement, issued, request))

    async def sign(self, request: Request, params: SignLeaf) -> Reply:
        """Certify the key of a CSR under a role."""
        shown = params.shown()
        judgement = await self._judgement(request, params)
        asked = params.asked(_csr(params.csr), params.user_ids)
        issued = await self._issuance.issue(judgement, asked, request.now)
        data = issued_data(issued, shown, remove_roots=params.remove_roots_from_chain)
        return Reply(data, warnings=issued.warnings, lease=_lease(judgement, issued, request))

    async def sign_verbatim(self, request: Request, params: SignVerbatim) -> Reply:
        """Certify a CSR with the subject and names that it asks for."""
        shown = params.shown()
        csr = _csr(params.csr)
        role = (await self._roles.rules(params.role, request.caller)).role if params.role else None
        judgement = Judgement(
            role=params.role,
            rules=RoleRules.compile(_verbatim(params, role)),
            issuer_ref=_issuer_in_path(request, params) or (role.issuer_ref if role is not None else ""),
            raw_subject=csr.subject_der,
        )
        issued = await self._issuance.issue(judgement, params.asked(csr), request.now)
        data = issued_data(issued, shown, remove_roots=params.remove_roots_from_chain)
        return Reply(data, warnings=issued.warnings, lease=_lease(judgement, issued, request))

    async def _judgement(self, request: Request, params: LeafFields) -> Judgement:
        rules = await self._roles.rules(params.role, request.caller)
        return Judgement(params.role, rules, _issuer_in_path(request, params) or rules.role.issuer_ref)


def _lease(judgement: Judgement, issued: Issued, request: Request) -> Lease | None:
    """Return the lease of a certificate, if its role gives one: as long as the certificate is valid."""
    if not judgement.rules.role.generate_lease:
        return None
    new = issued.certificate
    left = max(1, int((new.not_after - request.now).total_seconds()))
    return Lease(left, {"serial_number": format_serial(new.serial)}, max_ttl=left)


def _issuer_in_path(request: Request, params: LeafFields) -> str:
    """Return the issuer that the path names, if any. A body cannot choose one: policies judge paths."""
    return params.issuer_ref if request.path.startswith("issuer/") else ""


def _csr(text: str) -> ParsedRequest:
    if not text:
        raise BadInput('"csr" is empty', problems=())
    try:
        return ParsedRequest.parse(text)
    except ValueError as error:
        raise RequestRefused("csr", str(error)) from None


def _leaf_key(role: Role, params: IssueLeaf) -> tuple[NewKey, tuple[str, ...]]:
    """Return which key to make: the role's, or the client's choice when the role leaves it open."""
    if role.key_type != "any":
        ignored = bool(params.key_type or params.key_bits)
        warning = "parameters key_type and key_bits ignored as role had specific values"
        return new_key(role.key_type, role.key_bits), (warning,) if ignored else ()
    if not params.key_type:
        raise BadInput(
            'role key type "any" not allowed for issuing certificates without providing key_type and/or key_bits '
            "request parameters"
        )
    return new_key(params.key_type, params.key_bits), ()


_KEPT_VERBATIM = ("ttl", "max_ttl", "not_before_duration", "no_store", "generate_lease", "signature_bits", "use_pss")


def _verbatim(params: SignVerbatim, role: Role | None) -> Role:
    """Return a role that lets a CSR pass as it is. Of a given role only TTLs, storage and leases count, as in Vault."""
    kept: dict[str, Any] = {}
    if role is not None:
        kept = {name: getattr(role, name) for name in _KEPT_VERBATIM}
    for name in ("signature_bits", "use_pss"):
        if params.submitted(name):
            kept[name] = getattr(params, name)
    return Role(
        **PERMISSIVE,
        **kept,
        server_flag=False,
        client_flag=False,
        key_usage=params.key_usage,
        ext_key_usage=params.ext_key_usage,
        ext_key_usage_oids=params.ext_key_usage_oids,
        basic_constraints_valid_for_non_ca=params.basic_constraints_valid_for_non_ca,
    )
