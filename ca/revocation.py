"""Revoking a certificate: the moment is durable first, the CRL follows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ca.certificates import Certificates, NewCertificate, StoredCertificate
from ca.configuration import Configuration
from ca.crls import Crls
from ca.issuers import Issuers, parsed
from ca.records import IssuerRecord
from ca.x509.certificate import ParsedCertificate, verifies
from ca.x509.serials import format_serial, parse_serial
from chancery.kit.errors import BadInput
from chancery.kit.storage import Document

_ABOUT_TO_EXPIRE = timedelta(seconds=2)
"""Leases end on whole seconds, a little before their certificates: those need no place in a CRL."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """What became of a request to revoke. `at` None: nothing was done, for the reason in the warnings."""

    at: datetime | None
    warnings: tuple[str, ...] = ()


class Revocations:
    """Revokes the certificates of one mount."""

    def __init__(self, issuers: Issuers, certificates: Certificates, crls: Crls, configuration: Configuration) -> None:
        self._issuers = issuers
        self._certificates = certificates
        self._crls = crls
        self._configuration = configuration

    async def revoke_serial(self, text: str, now: datetime) -> Revocation:
        """Revoke a stored certificate by its serial number. Raises BadInput when there is none."""
        try:
            stored = await self._certificates.find(parse_serial(text))
        except ValueError:
            stored = None
        if stored is None:
            raise BadInput(f"certificate with serial {text[:80]} not found.")
        return await self._revoke(ParsedCertificate.parse(stored.der), stored, now)

    async def revoke_leased(self, text: str, now: datetime) -> None:
        """Revoke what a lease stands for, unless it ends by itself. Idempotent; an absent certificate is fine."""
        stored = await self._certificates.find(parse_serial(text))
        if stored is None:
            return
        certificate = ParsedCertificate.parse(stored.der)
        if certificate.not_after > now + _ABOUT_TO_EXPIRE:
            await self._revoke(certificate, stored, now)

    async def revoke_certificate(self, pem_text: str, now: datetime) -> Revocation:
        """Revoke a certificate that the client shows, stored or not. Raises BadInput unless it was issued here."""
        try:
            shown = ParsedCertificate.parse_pem(pem_text)
        except ValueError as error:
            raise BadInput.of("certificate", str(error).removeprefix("certificate: ")) from None
        stored = await self._certificates.find(shown.serial)
        if stored is not None and stored.der != shown.der:
            raise BadInput("another certificate with this serial number is stored here; revoke it by serial_number")
        return await self._revoke(shown, stored, now)

    async def _revoke(
        self, certificate: ParsedCertificate, stored: StoredCertificate | None, now: datetime
    ) -> Revocation:
        if stored is not None and stored.revoked_at is not None:
            return Revocation(stored.revoked_at)
        issuers = await self._issuers.records.all()
        own = next((one for one in issuers if one.value.certificate == certificate.der), None)
        if own is not None and verifies(certificate.der, certificate):
            raise BadInput(f"adding issuer (id: {own.name}) to its own CRL is not allowed")
        issuer = self._issuer_of(certificate, stored, issuers)
        config = (await self._configuration.crl()).value
        if certificate.not_after < now and not config.allow_expired_cert_revocation:
            return Revocation(None, (_already_expired(certificate),))
        if own is not None and own.value.revoked_at is None:
            await self._issuers.revoke(own, now)
        role = stored.role if stored is not None else ""
        done = await self._certificates.revoke(NewCertificate.of(certificate, issuer.name, role), now)
        warning = "" if config.auto_rebuild else await self._crls.try_rebuild(issuer.value.authority)
        return Revocation(done.revoked_at, (warning,) if warning else ())

    def _issuer_of(
        self,
        certificate: ParsedCertificate,
        stored: StoredCertificate | None,
        issuers: list[Document[IssuerRecord]],
    ) -> Document[IssuerRecord]:
        for issuer in issuers:
            if stored is not None and stored.issuer_id == issuer.name:
                return issuer
        for issuer in issuers:
            if verifies(certificate.der, parsed(issuer.value.certificate)):
                return issuer
        raise BadInput(
            "unable to verify signature on presented cert from any present issuer in this mount; certificates from "
            "previous CAs will need to have their issuing CA and key re-imported if revocation is necessary"
        )


def _already_expired(certificate: ParsedCertificate) -> str:
    return (
        f"certificate with serial {format_serial(certificate.serial)} already expired; refusing to add to CRL. "
        "Enable 'allow_expired_cert_revocation' to allow revoking expired certificates."
    )
