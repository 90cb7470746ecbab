"""Generating a root: one key, one self-signed certificate, one CRL, stored together or not at all.

The key may be made in an HSM, where the registry sees to it that a retry after a crash finds it again. Everything else
happens in one transaction at the end, so there is never half an issuer.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ca.authorize import AskedCertificate, IssuancePlan, authorize
from ca.certificates import NewCertificate, row_of
from ca.configuration import Configuration
from ca.crls import Crls, crl_row, sign_crl
from ca.errors import RequestRefused
from ca.issuers import Issuers
from ca.key_making import KeyMaking, MadeKey, WantedKey
from ca.records import IssuerRecord
from ca.references import check_name
from ca.roles import Role
from ca.rules import RoleRules
from ca.signers import scheme_for
from ca.tables import CERTIFICATES, CRLS
from ca.urls import UrlsIncomplete, fill_in
from ca.validity import Limits
from ca.x509.algorithms import scheme_name
from ca.x509.certificate import ParsedCertificate
from ca.x509.extensions import AuthorityUrls, NameConstraints
from ca.x509.public_keys import ski
from ca.x509.serials import new_serial
from ca.x509.signed import assemble
from ca.x509.spec import CertificateSpec, IssuerIdentity
from ca.x509.tbs import build
from ca.x509.usages import CA_KEY_USAGES, KeyUsage
from chancery.kit.engine import MountContext
from chancery.kit.errors import Conflict
from chancery.kit.storage import DocumentMoved, DuplicateRow
from managed_keys.keys import SignatureScheme

_ATTEMPTS: Final = 8
_PATH_UNLIMITED: Final = -1

PERMISSIVE: Final = {
    "require_cn": False,
    "allow_any_name": True,
    "enforce_hostnames": False,
    "cn_validations": ["disabled"],
    "allow_ip_sans": True,
    "allowed_uri_sans": ["*"],
    "allowed_other_sans": ["*"],
    "allowed_serial_numbers": ["*"],
    "allowed_user_ids": ["*"],
    "key_type": "any",
}
"""Settings of a role that allows every name: for whoever may configure the mount itself."""


@dataclass(frozen=True, slots=True)
class RootRequest:
    """What a client wants of a root."""

    key: WantedKey
    asked: AskedCertificate
    subject: Role
    """Permissive role that carries subject attributes, backdating, signature_bits and use_pss."""
    issuer_name: str = ""
    max_path_length: int = _PATH_UNLIMITED
    key_usages: frozenset[KeyUsage] = CA_KEY_USAGES
    name_constraints: NameConstraints = field(default_factory=NameConstraints)


@dataclass(frozen=True, slots=True)
class NewRoot:
    """A root, just generated and stored."""

    issuer_id: str
    issuer_name: str
    certificate: ParsedCertificate
    key: MadeKey
    warnings: tuple[str, ...]


class Roots:
    """Generates the roots of one mount."""

    def __init__(
        self, context: MountContext, issuers: Issuers, key_making: KeyMaking, crls: Crls, configuration: Configuration
    ) -> None:
        self._context = context
        self._issuers = issuers
        self._key_making = key_making
        self._crls = crls
        self._configuration = configuration

    async def generate(self, request: RootRequest, now: datetime) -> NewRoot:
        """Generate a root. Raises BadInput, RequestRefused, Unavailable or BackendRefused, with nothing stored."""
        check_name(request.issuer_name, "issuer")
        await self._issuers.require_free(request.issuer_name)
        rules = RoleRules.compile(request.subject)
        limits = Limits(self._context.effective_default_ttl, self._context.effective_max_ttl)
        plan = authorize(rules, request.asked, limits, now)
        made = await self._key_making.obtain(request.key)
        scheme = scheme_for(made.record.public_key, rules.role.signature_bits, rules.role.use_pss)
        urls, warnings = await self._urls(plan)
        to_be_signed = _to_be_signed(request, plan, made, scheme, urls)
        certificate = ParsedCertificate.parse(assemble(to_be_signed, scheme, await made.key.sign(to_be_signed, scheme)))
        identity, record = self._issuers.describe(request.issuer_name, certificate, made.identity)
        record = record.model_copy(update={"revocation_signature_algorithm": scheme_name(scheme)})
        made = await self._store(made, identity, record, certificate, scheme, now)
        return NewRoot(identity, record.name, certificate, made, (*warnings, *_advice(request, urls)))

    async def _urls(self, plan: IssuancePlan) -> tuple[AuthorityUrls, tuple[str, ...]]:
        configured = await self._configuration.urls()
        try:
            return fill_in(configured, await self._configuration.cluster(), ""), plan.warnings
        except UrlsIncomplete as error:
            return AuthorityUrls(), (*plan.warnings, f"the certificate has no AIA or CRL addresses: {error.message}")

    async def _store(
        self,
        made: MadeKey,
        identity: str,
        record: IssuerRecord,
        certificate: ParsedCertificate,
        scheme: SignatureScheme,
        now: datetime,
    ) -> MadeKey:
        """Store key, issuer, certificate and first CRL in one transaction, deciding anew when others came first."""
        mount = self._context.mount().uuid
        row = row_of(mount, NewCertificate.of(certificate, identity), now)
        config = (await self._configuration.crl()).value
        first = await sign_crl(certificate, made.key, scheme, number=1, now=now, config=config)
        for _ in range(_ATTEMPTS):
            await self._issuers.require_free(record.name)
            change = self._context.documents.change()
            staged = await self._key_making.stage(change, made)
            await self._issuers.stage(change, {identity: record})
            change.insert(CERTIFICATES, row)
            is_first = await self._crls.stored(record.authority) is None
            if is_first:
                change.insert(CRLS, crl_row(mount, record.authority, first))
            try:
                await change.commit()
            except (DocumentMoved, DuplicateRow):
                continue
            if not is_first:
                await self._crls.try_rebuild(record.authority)
            return staged
        raise Conflict("other requests kept changing the issuers of this mount; try again")


def _to_be_signed(
    request: RootRequest, plan: IssuancePlan, made: MadeKey, scheme: SignatureScheme, urls: AuthorityUrls
) -> bytes:
    spki = made.record.spki
    try:
        spec = CertificateSpec(
            serial=new_serial(),
            subject=plan.subject,
            spki=spki,
            not_before=plan.validity.not_before,
            not_after=plan.validity.not_after,
            sans=plan.sans,
            is_ca=True,
            path_length=None if request.max_path_length == _PATH_UNLIMITED else request.max_path_length,
            key_usages=request.key_usages | CA_KEY_USAGES,
            name_constraints=request.name_constraints,
            urls=urls,
        )
        return build(spec, IssuerIdentity(spec.subject_der(), ski(spki)), scheme)
    except ValueError as error:
        raise RequestRefused("", str(error)) from None


def _advice(request: RootRequest, urls: AuthorityUrls) -> tuple[str, ...]:
    advice = []
    if request.max_path_length == 0:
        advice.append(
            "Max path length of the generated certificate is zero. This certificate cannot be used to issue "
            "intermediate CA certificates."
        )
    if not (urls.issuing_certificates or urls.crl_distribution_points or urls.ocsp_servers):
        advice.append(
            "This mount hasn't configured any authority information access (AIA) fields; this may make it harder for "
            "systems to find missing certificates in the chain or to validate revocation status of certificates. "
            "Consider updating /config/urls or the newly generated issuer with this information."
        )
    return tuple(advice)
