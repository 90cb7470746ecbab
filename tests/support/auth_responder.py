"""An OCSP responder for tests: it knows which certificates are good or revoked, and can be made to lie."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from tests.support.auth_pki import Authority, Holder

_UNSUCCESSFUL = ocsp.OCSPResponseBuilder.build_unsuccessful


@dataclass
class Responder:
    """Answers for one authority."""

    authority: Authority
    certificates: list[x509.Certificate] = field(default_factory=list)
    """Those it knows; all others are unknown."""
    revoked: set[int] = field(default_factory=set)
    signer: Holder | None = None
    """Who signs instead of the authority."""
    shows_signer: bool = True
    this_update: timedelta = timedelta(minutes=-1)
    next_update: timedelta | None = timedelta(hours=1)
    status: int = 200
    tries_later: bool = False
    swaps: x509.Certificate | None = None
    """Answer about this certificate, whichever was asked about."""
    asked: int = 0

    async def answer(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Serve one request over HTTP."""
        self.asked += 1
        assert request.headers["Content-Type"] == "application/ocsp-request"
        if self.status != 200:
            return web.Response(status=self.status)
        return web.Response(body=self.respond(body), content_type="application/ocsp-response")

    def respond(self, body: bytes) -> bytes:
        """Return the answer to a request."""
        if self.tries_later:
            return _UNSUCCESSFUL(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(serialization.Encoding.DER)
        asked = ocsp.load_der_ocsp_request(body)
        known = next((each for each in self.certificates if each.serial_number == asked.serial_number), None)
        certificate = self.swaps or known
        if certificate is None:
            return _UNSUCCESSFUL(ocsp.OCSPResponseStatus.UNAUTHORIZED).public_bytes(serialization.Encoding.DER)
        now = datetime.now(UTC).replace(tzinfo=None)
        is_revoked = certificate.serial_number in self.revoked
        signer = self.signer or self.authority
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=certificate,
                issuer=self.authority.certificate,
                algorithm=hashes.SHA1(),
                cert_status=ocsp.OCSPCertStatus.REVOKED if is_revoked else ocsp.OCSPCertStatus.GOOD,
                this_update=now + self.this_update,
                next_update=now + self.next_update if self.next_update is not None else None,
                revocation_time=now if is_revoked else None,
                revocation_reason=None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        )
        if self.signer is not None and self.shows_signer:
            builder = builder.certificates([signer.certificate])
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
