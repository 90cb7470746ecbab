"""`revoke`, and CRLs as they are published and rebuilt."""

from typing import Any, Final

from pydantic import Field

from ca.crls import Crls, StoredCrl
from ca.issuers import Issuers
from ca.references import DEFAULT
from ca.revocation import Revocations
from ca.x509 import pem
from chancery.kit.clock import rfc3339
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import NoParams, Params, Text
from chancery.kit.request import RawReply, Reply, Request
from chancery.kit.route import Route, endpoint

_DER: Final = "application/pkix-crl"
_PEM: Final = "application/x-pem-file"


class Revoke(Params):
    """Parameters of `revoke`."""

    serial_number: Text = Field("", description="Serial number of a stored certificate")
    certificate: Text = Field("", description="PEM certificate, stored or not")


class CrlReference(Params):
    """Parameters of reading an issuer's CRL."""

    issuer_ref: Text = Field(description="Name or id of the issuer, or `default`")


class RevokingEndpoints:
    """Serves revocation for one mount."""

    def __init__(self, issuers: Issuers, crls: Crls, revocations: Revocations) -> None:
        self._issuers = issuers
        self._crls = crls
        self._revocations = revocations

    def routes(self) -> list[Route]:
        """Return the paths."""
        times = ("revocation_time", "revocation_time_rfc3339", "state")
        return [
            Route(pattern="revoke", update=endpoint(self.revoke, Revoke, responses=times)),
            _public("crl", self.crl_der),
            _public("crl/pem", self.crl_pem),
            Route(pattern="crl/rotate", read=endpoint(self.rotate, responses=("success",))),
            _public("issuer/{issuer_ref}/crl", self.issuer_crl, CrlReference),
            _public("issuer/{issuer_ref}/crl/pem", self.issuer_crl_pem, CrlReference),
            _public("issuer/{issuer_ref}/crl/der", self.issuer_crl_der, CrlReference),
        ]

    async def revoke(self, request: Request, params: Revoke) -> Reply:
        """Revoke a certificate by its serial number, or by itself."""
        if params.serial_number and params.certificate:
            raise BadInput("Must provide either the certificate or the serial to revoke; not both.")
        if params.serial_number:
            done = await self._revocations.revoke_serial(params.serial_number, request.now)
        elif params.certificate:
            done = await self._revocations.revoke_certificate(params.certificate, request.now)
        else:
            raise BadInput("The serial number or certificate to revoke must be provided.")
        if done.at is None:
            return Reply(warnings=done.warnings)
        times = {"revocation_time": int(done.at.timestamp()), "revocation_time_rfc3339": rfc3339(done.at)}
        return Reply({**times, "state": "revoked"}, warnings=done.warnings)

    async def rotate(self, _request: Request, _params: NoParams) -> Reply:
        """Make new CRLs now."""
        return Reply({"success": True}, warnings=await self._crls.rebuild_all())

    async def crl_der(self, _request: Request, _params: NoParams) -> RawReply:
        """Read the default issuer's CRL as DER."""
        crl = await self._default_crl()
        return RawReply(crl.der if crl is not None else b"", _DER)

    async def crl_pem(self, _request: Request, _params: NoParams) -> RawReply:
        """Read the default issuer's CRL as PEM."""
        crl = await self._default_crl()
        return RawReply(pem.encode(pem.CRL, crl.der).encode() if crl is not None else b"", _PEM)

    async def issuer_crl(self, _request: Request, params: CrlReference) -> Reply:
        """Read an issuer's CRL."""
        return Reply({"crl": await self._issuer_pem(params)})

    async def issuer_crl_pem(self, _request: Request, params: CrlReference) -> RawReply:
        """Read an issuer's CRL as PEM."""
        return RawReply((await self._issuer_pem(params)).encode(), _PEM)

    async def issuer_crl_der(self, _request: Request, params: CrlReference) -> RawReply:
        """Read an issuer's CRL as DER."""
        issuer = await self._issuers.resolve(params.issuer_ref)
        return RawReply((await self._crls.current(issuer.value)).der, _DER)

    async def _issuer_pem(self, params: CrlReference) -> str:
        issuer = await self._issuers.resolve(params.issuer_ref)
        return pem.encode(pem.CRL, (await self._crls.current(issuer.value)).der) + "\n"

    async def _default_crl(self) -> StoredCrl | None:
        try:
            return await self._crls.current((await self._issuers.resolve(DEFAULT)).value)
        except NotFound:
            return None


def _public(pattern: str, handler: Any, params: type[Params] = NoParams) -> Route:
    return Route(pattern=pattern, read=endpoint(handler, params), unauthenticated=True)
