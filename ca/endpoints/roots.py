"""`root` and `issuers/generate/root`: roots made and everything removed."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from ca.endpoints.issuing import CommonFields
from ca.endpoints.rendering import Format
from ca.errors import RequestRefused
from ca.issuers import Issuers
from ca.key_making import KeySource, WantedKey
from ca.keys import Keys
from ca.roles import Role
from ca.roots import PERMISSIVE, NewRoot, RootRequest, Roots
from ca.x509.extensions import IPNetwork, NameConstraints, Subtrees
from ca.x509.serials import format_serial
from ca.x509.usages import CA_KEY_USAGES, parse_key_usages
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, Duration, LaxBool, LaxInt, NoParams, Text
from chancery.kit.request import Reply, Request
from chancery.kit.route import Route, endpoint

_FIELDS = (
    "certificate",
    "expiration",
    "issuer_id",
    "issuer_name",
    "issuing_ca",
    "key_id",
    "key_name",
    "private_key",
    "private_key_type",
    "serial_number",
)
_SUBJECT = ("ou", "organization", "country", "locality", "province", "street_address", "postal_code")


class GenerateRoot(CommonFields):
    """Parameters of `root/generate`."""

    exported: Text = Field(description="internal, exported, existing or kms")
    issuer_name: Text = Field("", description="Name for the new issuer")
    key_name: Text = Field("", description="Name for the new key")
    key_ref: Text = Field("default", description="For existing: the key's name or id")
    managed_key_name: Text = Field("", description="For kms: the managed key's name")
    managed_key_id: Text = Field("", description="For kms: the managed key's UUID")
    key_type: Text = Field("rsa", description="rsa, ec or ed25519")
    key_bits: LaxInt = Field(0, description="Size of the key; 0 = 2048 for rsa, 256 for ec")
    signature_bits: LaxInt = Field(0, description="Digest of the signature by an RSA key: 256, 384 or 512")
    use_pss: LaxBool = Field(False, description="Sign with RSASSA-PSS when the key is RSA")
    key_usage: CommaList = Field(default=["CertSign", "CRLSign"], description="Key usages; these two are always there")
    max_path_length: LaxInt = Field(-1, description="How many CAs may follow below; -1 = any number")
    not_before_duration: Duration = Field(30, description="How far the certificate is dated back")
    ou: CommaList = Field(default=[], description="Organizational units of the subject")
    organization: CommaList = Field(default=[], description="Organizations of the subject")
    country: CommaList = Field(default=[], description="Countries of the subject")
    locality: CommaList = Field(default=[], description="Localities of the subject")
    province: CommaList = Field(default=[], description="Provinces of the subject")
    street_address: CommaList = Field(default=[], description="Street addresses of the subject")
    postal_code: CommaList = Field(default=[], description="Postal codes of the subject")
    permitted_dns_domains: CommaList = Field(default=[], description="Name constraints: permitted DNS domains")
    excluded_dns_domains: CommaList = Field(default=[], description="Name constraints: excluded DNS domains")
    permitted_ip_ranges: CommaList = Field(default=[], description="Name constraints: permitted networks")
    excluded_ip_ranges: CommaList = Field(default=[], description="Name constraints: excluded networks")
    permitted_email_addresses: CommaList = Field(default=[], description="Name constraints: permitted e-mail")
    excluded_email_addresses: CommaList = Field(default=[], description="Name constraints: excluded e-mail")
    permitted_uri_domains: CommaList = Field(default=[], description="Name constraints: permitted URI hosts")
    excluded_uri_domains: CommaList = Field(default=[], description="Name constraints: excluded URI hosts")

    def wanted_key(self) -> WantedKey:
        """Return what is said about the key. Raises BadInput for an unknown source."""
        try:
            source = KeySource(self.exported)
        except ValueError:
            raise BadInput(
                'the "exported" path parameter must be "internal", "existing", "exported" or "kms"'
            ) from None
        return WantedKey(
            source=source,
            name=self.key_name.strip(),
            key_type=self.key_type,
            bits=self.key_bits,
            shape_given=self.submitted("key_type") or self.submitted("key_bits"),
            reference=self.key_ref,
            managed_name=self.managed_key_name,
            managed_id=self.managed_key_id,
        )

    def root_request(self) -> RootRequest:
        """Return the whole request. Raises BadInput."""
        if not self.common_name:
            raise BadInput.of("common_name", "is required: a CA certificate needs a subject")
        if self.max_path_length < -1:
            raise BadInput.of("max_path_length", "must be -1 for any number, or not negative")
        subject = Role(
            **PERMISSIVE,
            **{name: getattr(self, name) for name in _SUBJECT},
            not_before_duration=self.not_before_duration,
            signature_bits=self.signature_bits,
            use_pss=self.use_pss,
        )
        try:
            key_usages = parse_key_usages(self.key_usage)
        except ValueError as error:
            raise RequestRefused("key_usage", f"key_usage: {error}") from None
        return RootRequest(
            key=self.wanted_key(),
            asked=self.asked(),
            subject=subject,
            issuer_name=self.issuer_name.strip(),
            max_path_length=self.max_path_length,
            key_usages=key_usages | CA_KEY_USAGES,
            name_constraints=NameConstraints(self._subtrees("permitted"), self._subtrees("excluded")),
        )

    def _subtrees(self, side: str) -> Subtrees:
        return Subtrees(
            dns=tuple(getattr(self, f"{side}_dns_domains")),
            ips=_networks(f"{side}_ip_ranges", getattr(self, f"{side}_ip_ranges")),
            emails=tuple(getattr(self, f"{side}_email_addresses")),
            uris=tuple(getattr(self, f"{side}_uri_domains")),
        )


def _networks(field: str, texts: Sequence[str]) -> tuple[IPNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError:
        raise BadInput.of(field, "must be networks such as 10.0.0.0/8 or fd00::/8") from None


class RootEndpoints:
    """Serves the making and removing of roots of one mount."""

    def __init__(self, context: MountContext, roots: Roots, issuers: Issuers, keys: Keys) -> None:
        self._context = context
        self._roots = roots
        self._issuers = issuers
        self._keys = keys

    def routes(self) -> list[Route]:
        """Return the paths."""
        generate = endpoint(self.generate, GenerateRoot, responses=_FIELDS)
        return [
            Route(pattern="root/generate/{exported}", update=generate),
            Route(pattern="issuers/generate/root/{exported}", update=generate),
            Route(pattern="root", delete=endpoint(self.remove_everything), sudo=True),
        ]

    async def generate(self, request: Request, params: GenerateRoot) -> Reply:
        """Generate a root CA: its key, self-signed certificate and first CRL."""
        shown = params.shown()
        root = await self._roots.generate(params.root_request(), request.now)
        return Reply(_root_data(root, shown), warnings=root.warnings)

    async def remove_everything(self, _request: Request, _params: NoParams) -> Reply:
        """Delete all issuers and keys of the mount. Keys in an HSM or KMS stay there."""
        change = self._context.documents.change()
        await self._issuers.stage_removal(change, await self._issuers.records.all())
        for key in await self._keys.records.all():
            await self._keys.stage_removal(change, key)
        await change.commit()
        return Reply(
            warnings=[
                "DELETE /root deletes all keys and issuers; prefer the new DELETE /key/:key_ref and DELETE "
                "/issuer/:issuer_ref for finer granularity, unless removal of all keys and issuers is desired."
            ]
        )


def _root_data(root: NewRoot, shown: Format) -> dict[str, Any]:
    certificate = shown.certificate(root.certificate.der)
    data: dict[str, Any] = {
        "certificate": shown.bundle(certificate, (), root.key.pkcs8),
        "issuing_ca": certificate,
        "serial_number": format_serial(root.certificate.serial),
        "expiration": int(root.certificate.not_after.timestamp()),
        "issuer_id": root.issuer_id,
        "issuer_name": root.issuer_name,
        "key_id": root.key.identity,
        "key_name": root.key.record.name,
    }
    if root.key.pkcs8:
        data["private_key"] = shown.private_key(root.key.pkcs8)
        data["private_key_type"] = str(root.key.record.algorithm)
    return data
