"""`issuers` and `issuer`: CA certificates and how they may be used."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ca.configuration import Configuration
from ca.crls import crl_scheme
from ca.endpoints.paging import Page
from ca.issuers import Issuers, parsed
from ca.keys import Keys
from ca.records import ALL_USAGES, IssuerRecord, IssuerUsage
from ca.urls import URL_FIELDS, UrlsIncomplete, check_urls, fill_in
from ca.validity import LeafNotAfter
from ca.x509 import pem
from ca.x509.algorithms import parse_scheme_name, scheme_name
from ca.x509.serials import format_serial
from chancery.kit.clock import rfc3339
from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, LaxBool, NoParams, Params, Text
from chancery.kit.request import RawReply, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import Document

_FLAGS = (
    "disable_critical_extension_checks",
    "disable_path_length_checks",
    "disable_name_checks",
    "disable_name_constraint_checks",
    "enable_time_checks",
)
_FIELDS = (
    *("ca_chain", "certificate", "issuer_id", "issuer_name", "key_id", "leaf_not_after_behavior", "manual_chain"),
    *("revocation_signature_algorithm", "revoked", "usage", "enable_aia_url_templating"),
    *URL_FIELDS,
    *_FLAGS,
)


class IssuerReference(Params):
    """Parameters of reading and deleting an issuer."""

    issuer_ref: Text = Field(description="Name or id of the issuer, or `default`")


class WriteIssuer(IssuerReference):
    """Parameters of writing and patching an issuer. A write sets what is not given back to its default."""

    issuer_name: Text = Field("", description="New name")
    leaf_not_after_behavior: Text = Field("err", description="err, truncate, permit or always_enforce_err")
    manual_chain: CommaList = Field(default=[], description="Chain to show instead of the one found; begins with self")
    usage: CommaList = Field(default=list(ALL_USAGES), description="What the issuer may be used for")
    revocation_signature_algorithm: Text = Field("", description="How CRLs are signed; empty = the key's default")
    issuing_certificates: CommaList = Field(default=[], description="Addresses of the issuer's certificate")
    crl_distribution_points: CommaList = Field(default=[], description="Addresses of the CRL")
    delta_crl_distribution_points: CommaList = Field(default=[], description="Addresses of the delta CRL")
    ocsp_servers: CommaList = Field(default=[], description="Addresses of OCSP responders")
    enable_aia_url_templating: LaxBool = Field(False, description="Treat addresses as templates")
    disable_critical_extension_checks: LaxBool = Field(False, description="Kept for compatibility")
    disable_path_length_checks: LaxBool = Field(False, description="Kept for compatibility")
    disable_name_checks: LaxBool = Field(False, description="Kept for compatibility")
    disable_name_constraint_checks: LaxBool = Field(False, description="Kept for compatibility")
    enable_time_checks: LaxBool = Field(False, description="Kept for compatibility")


class SetDefaultIssuer(Params):
    """Parameters of `config/issuers`."""

    default: Text = Field("", description="Name or id of the issuer")
    default_follows_latest_issuer: LaxBool = Field(False, description="Make each new issuer the default one")


class IssuerEndpoints:
    """Serves the issuers of one mount."""

    def __init__(self, issuers: Issuers, keys: Keys, configuration: Configuration) -> None:
        self._issuers = issuers
        self._keys = keys
        self._configuration = configuration

    def routes(self) -> list[Route]:
        """Return the paths."""
        config_fields = ("default", "default_follows_latest_issuer")
        return [
            Route(
                pattern="issuers",
                list=endpoint(self.listing, Page, responses=("keys", "key_info")),
                unauthenticated=True,
            ),
            Route(
                pattern="issuer/{issuer_ref}",
                read=endpoint(self.read, IssuerReference, responses=_FIELDS),
                update=endpoint(self.write, WriteIssuer, responses=_FIELDS),
                patch=endpoint(self.patch, WriteIssuer, responses=_FIELDS),
                delete=endpoint(self.delete, IssuerReference),
            ),
            self._public("json", self.read_json),
            self._public("pem", self.read_pem),
            self._public("der", self.read_der),
            Route(
                pattern="config/issuers",
                read=endpoint(self.read_default, responses=config_fields),
                update=endpoint(self.set_default, SetDefaultIssuer, responses=config_fields),
            ),
        ]

    def _public(self, kind: str, handler: Any) -> Route:
        read = endpoint(handler, IssuerReference)
        return Route(pattern=f"issuer/{{issuer_ref}}/{kind}", read=read, unauthenticated=True)

    async def listing(self, _request: Request, params: Page) -> Reply:
        """List the issuers."""
        default = (await self._issuers.default()).default
        names = await self._issuers.records.names(after=params.after, limit=params.length)
        documents = [await self._issuers.records.get(name) for name in names]
        info = {
            document.name: {
                "issuer_name": document.value.name,
                "is_default": document.name == default,
                "key_id": document.value.key_id,
                "serial_number": format_serial(parsed(document.value.certificate).serial),
            }
            for document in documents
            if document is not None
        }
        return listing(list(info), info)

    async def read(self, _request: Request, params: IssuerReference) -> Reply:
        """Read an issuer."""
        return Reply(await self._shown(await self._issuers.resolve(params.issuer_ref)))

    async def write(self, _request: Request, params: WriteIssuer) -> Reply:
        """Change how an issuer may be used; what is not given gets its default."""
        return await self._update(params, complete=True)

    async def patch(self, _request: Request, params: WriteIssuer) -> Reply:
        """Change some fields of an issuer."""
        return await self._update(params, complete=False)

    async def delete(self, _request: Request, params: IssuerReference) -> Reply:
        """Delete an issuer. Its certificates stay, and so does its key."""
        was_default = await self._issuers.delete(params.issuer_ref)
        warning = "Deleted issuer was the default one: choose another at config/issuers"
        return Reply(warnings=[warning] if was_default else [])

    async def read_json(self, _request: Request, params: IssuerReference) -> Reply:
        """Read an issuer's certificate and chain."""
        document = await self._issuers.resolve(params.issuer_ref)
        shown = await self._shown(document)
        return Reply({name: shown[name] for name in ("ca_chain", "certificate", "issuer_id", "issuer_name")})

    async def read_pem(self, _request: Request, params: IssuerReference) -> RawReply:
        """Read an issuer's certificate as PEM."""
        record = (await self._issuers.resolve(params.issuer_ref)).value
        return RawReply(_pem(record.certificate).encode(), "application/pem-certificate-chain")

    async def read_der(self, _request: Request, params: IssuerReference) -> RawReply:
        """Read an issuer's certificate as DER."""
        record = (await self._issuers.resolve(params.issuer_ref)).value
        return RawReply(record.certificate, "application/pkix-cert")

    async def read_default(self, _request: Request, _params: NoParams) -> Reply:
        """Read which issuer is the default one."""
        return Reply(dict(await self._issuers.default()))

    async def set_default(self, _request: Request, params: SetDefaultIssuer) -> Reply:
        """Choose the default issuer."""
        given = params.submitted("default_follows_latest_issuer")
        follows = params.default_follows_latest_issuer if given else None
        return Reply(dict(await self._issuers.set_default(params.default, follows)))

    async def _update(self, params: WriteIssuer, *, complete: bool) -> Reply:
        document = await self._issuers.resolve(params.issuer_ref)
        record = await self._changed(document, params, complete=complete)
        key = await self._keys.records.get(record.key_id) if record.key_id else None
        if key is not None:
            crl_scheme(record, key.value.public_key)
        warnings = []
        try:
            fill_in(record.urls, await self._configuration.cluster(), document.name)
        except UrlsIncomplete as error:
            warnings.append(f"issuance may fail: {error.message}")
        after = await self._issuers.replace(document, record)
        return Reply(await self._shown(after), warnings=warnings)

    async def _changed(self, document: Document[IssuerRecord], params: WriteIssuer, *, complete: bool) -> IssuerRecord:
        def given(name: str) -> bool:
            return complete or params.submitted(name)

        record = document.value
        changes: dict[str, Any] = {name: getattr(params, name) for name in _FLAGS if given(name)}
        if given("issuer_name"):
            changes["name"] = params.issuer_name.strip()
        if given("leaf_not_after_behavior"):
            changes["leaf_not_after_behavior"] = _behavior(params.leaf_not_after_behavior or "err")
        if given("usage"):
            changes["usages"] = _usages(params.usage)
        if given("revocation_signature_algorithm"):
            changes["revocation_signature_algorithm"] = _algorithm(params.revocation_signature_algorithm)
        if given("manual_chain"):
            changes["manual_chain"] = await self._issuers.manual_chain(document.name, params.manual_chain)
        urls: dict[str, Any] = {name: tuple(getattr(params, name)) for name in URL_FIELDS if given(name)}
        if given("enable_aia_url_templating"):
            urls["templated"] = params.enable_aia_url_templating
        changes["urls"] = record.urls.model_copy(update=urls)
        check_urls(changes["urls"])
        return record.model_copy(update=changes)

    async def _shown(self, document: Document[IssuerRecord]) -> Mapping[str, Any]:
        record = document.value
        shown: dict[str, Any] = {
            "issuer_id": document.name,
            "issuer_name": record.name,
            "key_id": record.key_id,
            "certificate": _pem(record.certificate),
            "ca_chain": [_pem(certificate.der) for certificate in await self._issuers.chain(record)],
            "manual_chain": list(record.manual_chain) or None,
            "leaf_not_after_behavior": str(record.leaf_not_after_behavior),
            "usage": ",".join(sorted(record.usages)),
            "revocation_signature_algorithm": record.revocation_signature_algorithm,
            "revoked": record.revoked_at is not None,
            "enable_aia_url_templating": record.urls.templated,
        }
        shown |= {name: list(getattr(record.urls, name)) for name in URL_FIELDS}
        shown |= {name: getattr(record, name) for name in _FLAGS}
        if record.revoked_at is not None:
            shown["revocation_time"] = int(record.revoked_at.timestamp())
            shown["revocation_time_rfc3339"] = rfc3339(record.revoked_at)
        return shown


def _pem(der: bytes) -> str:
    return pem.encode(pem.CERTIFICATE, der) + "\n"


def _behavior(text: str) -> LeafNotAfter:
    try:
        return LeafNotAfter(text)
    except ValueError:
        raise BadInput.of("leaf_not_after_behavior", f"must be one of {', '.join(LeafNotAfter)}") from None


def _usages(texts: list[str]) -> tuple[IssuerUsage, ...]:
    try:
        return tuple(sorted({IssuerUsage(text) for text in texts} | {IssuerUsage.READ_ONLY}))
    except ValueError:
        reason = (
            f"Unable to parse specified usages: [{' '.join(texts)[:255]}] - valid values are {','.join(ALL_USAGES)}"
        )
        raise BadInput(reason) from None


def _algorithm(text: str) -> str:
    if not text:
        return ""
    try:
        return scheme_name(parse_scheme_name(text))
    except ValueError as error:
        raise BadInput.of("revocation_signature_algorithm", str(error)) from None
