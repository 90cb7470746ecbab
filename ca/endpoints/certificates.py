"""`ca`, `ca_chain`, `cert` and `certs`: certificates as they are published, and lists of them."""

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from ca.certificates import Certificates
from ca.crls import Crls
from ca.endpoints.paging import Page
from ca.issuers import Issuers, parsed
from ca.records import IssuerRecord
from ca.references import DEFAULT
from ca.x509 import pem
from ca.x509.certificate import ParsedCertificate
from ca.x509.serials import parse_serial
from chancery.kit.clock import rfc3339
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import NoParams, Params, Text
from chancery.kit.request import RawReply, Reply, Request
from chancery.kit.route import Route, endpoint

_DER: Final = "application/pkix-cert"
_PEM: Final = "application/pem-certificate-chain"
_FIELDS: Final = (
    "authority_key_id",
    "ca_chain",
    "certificate",
    "issuer_id",
    "revocation_time",
    "revocation_time_rfc3339",
)
_MAX_PAGE: Final = 100_000


class SerialReference(Params):
    """Parameters of reading one certificate."""

    serial: Text = Field(description="Serial number with colons or hyphens; or `ca`")


class CertificateEndpoints:
    """Serves what one mount has issued."""

    def __init__(self, issuers: Issuers, certificates: Certificates, crls: Crls) -> None:
        self._issuers = issuers
        self._certificates = certificates
        self._crls = crls

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            _public("ca", self.ca_der),
            _public("ca/pem", self.ca_pem),
            _public("ca_chain", self.ca_chain),
            _public("cert/ca", self.read_ca),
            _public("cert/ca_chain", self.read_ca_chain),
            _public("cert/crl", self.read_crl),
            _public("cert/{serial}", self.read, SerialReference),
            _public("cert/{serial}/raw", self.read_der, SerialReference),
            _public("cert/{serial}/raw/pem", self.read_pem, SerialReference),
            Route(pattern="certs", list=endpoint(self.serials, Page, responses=("keys",))),
            Route(pattern="certs/revoked", list=endpoint(self.revoked_serials, Page, responses=("keys",))),
        ]

    async def ca_der(self, _request: Request, _params: NoParams) -> RawReply:
        """Read the default issuer's certificate as DER."""
        record = await self._default()
        return RawReply(record.certificate if record is not None else b"", _DER)

    async def ca_pem(self, _request: Request, _params: NoParams) -> RawReply:
        """Read the default issuer's certificate as PEM."""
        record = await self._default()
        return RawReply(_pem_octets(record.certificate) if record is not None else b"", _PEM)

    async def ca_chain(self, _request: Request, _params: NoParams) -> RawReply:
        """Read the default issuer's chain as PEM."""
        record = await self._default()
        return RawReply(b"" if record is None else (await self._chain_text(record)).encode(), _DER)

    async def read_ca(self, _request: Request, _params: NoParams) -> Reply:
        """Read the default issuer's certificate."""
        record = await self._required_default()
        return Reply(_shown(parsed(record.certificate)))

    async def read_ca_chain(self, _request: Request, _params: NoParams) -> Reply:
        """Read the default issuer's chain."""
        record = await self._required_default()
        chain = await self._chain_text(record)
        return Reply({**_shown(parsed(record.certificate)), "certificate": chain, "ca_chain": chain})

    async def read_crl(self, _request: Request, _params: NoParams) -> Reply:
        """Read the default issuer's CRL."""
        crl = await self._crls.current(await self._required_default())
        return Reply({"certificate": pem.encode(pem.CRL, crl.der), **_not_revoked()})

    async def read(self, _request: Request, params: SerialReference) -> Reply:
        """Read a certificate by its serial number."""
        try:
            stored = await self._certificates.find(parse_serial(params.serial))
        except ValueError as error:
            raise NotFound(str(error)) from None
        if stored is None:
            raise NotFound
        data = _shown(ParsedCertificate.parse(stored.der), stored.revoked_at)
        if stored.issuer_id:
            data["issuer_id"] = stored.issuer_id
        return Reply(data)

    async def read_der(self, _request: Request, params: SerialReference) -> RawReply:
        """Read a certificate as DER."""
        return RawReply(await self._octets(params.serial), _DER)

    async def read_pem(self, _request: Request, params: SerialReference) -> RawReply:
        """Read a certificate as PEM."""
        octets = await self._octets(params.serial)
        return RawReply(_pem_octets(octets) if octets else b"", _PEM)

    async def serials(self, _request: Request, params: Page) -> Reply:
        """List the serial numbers of stored certificates."""
        return await self._list(params, revoked_only=False)

    async def revoked_serials(self, _request: Request, params: Page) -> Reply:
        """List the serial numbers of revoked certificates."""
        return await self._list(params, revoked_only=True)

    async def _list(self, params: Page, *, revoked_only: bool) -> Reply:
        try:
            after = parse_serial(params.after) if params.after else 0
        except ValueError as error:
            raise BadInput.of("after", str(error)) from None
        wanted = min(params.length or _MAX_PAGE, _MAX_PAGE)
        keys = await self._certificates.serials(after=after, limit=wanted + 1, revoked_only=revoked_only)
        if not keys:
            raise NotFound
        if len(keys) > _MAX_PAGE:
            warning = f"only the first {_MAX_PAGE} are listed; ask for the next with after={keys[wanted - 1]}"
            return Reply({"keys": keys[:wanted]}, warnings=[warning])
        return Reply({"keys": keys[:wanted]})

    async def _octets(self, serial: str) -> bytes:
        """Return a certificate's DER, or nothing when there is none."""
        if serial == "ca":
            record = await self._default()
            return record.certificate if record is not None else b""
        try:
            stored = await self._certificates.find(parse_serial(serial))
        except ValueError as error:
            raise NotFound(str(error)) from None
        return stored.der if stored is not None else b""

    async def _default(self) -> IssuerRecord | None:
        try:
            return (await self._issuers.resolve(DEFAULT)).value
        except NotFound:
            return None

    async def _required_default(self) -> IssuerRecord:
        try:
            return (await self._issuers.resolve(DEFAULT)).value
        except NotFound as error:
            raise BadInput(error.message) from None

    async def _chain_text(self, record: IssuerRecord) -> str:
        chain = await self._issuers.chain(record)
        return pem.bundle(pem.encode(pem.CERTIFICATE, certificate.der) for certificate in chain)


def _public(pattern: str, handler: Any, params: type[Params] = NoParams) -> Route:
    return Route(pattern=pattern, read=endpoint(handler, params, responses=_FIELDS), unauthenticated=True)


def _pem_octets(der: bytes) -> bytes:
    return pem.encode(pem.CERTIFICATE, der).encode()


def _not_revoked() -> dict[str, Any]:
    return {"revocation_time": 0, "revocation_time_rfc3339": ""}


def _shown(certificate: ParsedCertificate, revoked_at: datetime | None = None) -> dict[str, Any]:
    data = {"certificate": pem.encode(pem.CERTIFICATE, certificate.der), **_not_revoked()}
    if certificate.extensions.authority_key_identifier:
        data["authority_key_id"] = certificate.extensions.authority_key_identifier.hex(":")
    if revoked_at is not None:
        data |= {"revocation_time": int(revoked_at.timestamp()), "revocation_time_rfc3339": rfc3339(revoked_at)}
    return data
