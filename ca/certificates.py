"""The certificates of a mount, issued and revoked: one row each, searched with SQL, never scanned at start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, insert, select, update

from ca.tables import CERTIFICATES, CRLS
from ca.x509.certificate import ParsedCertificate
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.serials import format_serial
from chancery.kit.storage import Database

_ROW: Final = (
    CERTIFICATES.c.serial,
    CERTIFICATES.c.issuer_id,
    CERTIFICATES.c.role,
    CERTIFICATES.c.not_after,
    CERTIFICATES.c.revoked_at,
    CERTIFICATES.c.der,
)


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """What the store knows of one certificate."""

    serial: int
    issuer_id: str
    role: str
    not_after: datetime
    revoked_at: datetime | None
    der: bytes


@dataclass(frozen=True, slots=True)
class Revoked:
    """One entry of a CRL."""

    serial: int
    at: datetime
    reason: int


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """A certificate to be stored."""

    serial: int
    issuer_id: str
    role: str
    common_name: str
    sans: SubjectAlternativeNames
    not_before: datetime
    not_after: datetime
    der: bytes

    @classmethod
    def of(cls, parsed: ParsedCertificate, issuer_id: str, role: str = "") -> "NewCertificate":
        """Describe a certificate that was not made here."""
        return cls(
            serial=parsed.serial,
            issuer_id=issuer_id,
            role=role,
            common_name=parsed.subject.common_name,
            sans=parsed.extensions.sans,
            not_before=parsed.not_before,
            not_after=parsed.not_after,
            der=parsed.der,
        )


def serial_octets(serial: int) -> bytes:
    """Return the column value of a serial number."""
    return serial.to_bytes((serial.bit_length() + 7) // 8 or 1, "big")


def row_of(mount: str, certificate: NewCertificate, issued_at: datetime) -> dict[str, Any]:
    """Return the row that stores a certificate."""
    return {
        "mount": mount,
        "serial": serial_octets(certificate.serial),
        "issuer_id": certificate.issuer_id,
        "role": certificate.role,
        "common_name": certificate.common_name,
        "sans": _names_text(certificate.sans),
        "not_before": int(certificate.not_before.timestamp()),
        "not_after": int(certificate.not_after.timestamp()),
        "issued_at": int(issued_at.timestamp()),
        "revoked_at": None,
        "revocation_reason": None,
        "der": certificate.der,
    }


def _names_text(sans: SubjectAlternativeNames) -> str:
    if not (sans.emails or sans.ips or sans.uris or sans.other_names):
        return "\n".join(["DNS:" + name for name in sans.dns])
    kinds: Mapping[str, Sequence[object]] = {
        "DNS": sans.dns,
        "email": sans.emails,
        "IP": sans.ips,
        "URI": sans.uris,
        "other": [f"{oid}={value}" for oid, value in sans.other_names],
    }
    return "\n".join(f"{kind}:{name}" for kind, names in kinds.items() for name in names)


class Certificates:
    """Access to the rows of one mount."""

    def __init__(self, database: Database, mount: str) -> None:
        self._database = database
        self._mount = mount

    async def add(self, certificate: NewCertificate, issued_at: datetime) -> None:
        """Store a certificate; durable on return. Raises DuplicateRow when the serial number is taken."""
        await self._database.append(CERTIFICATES, row_of(self._mount, certificate, issued_at))

    async def find(self, serial: int) -> StoredCertificate | None:
        """Return the certificate with this serial number."""
        return await self._database.read(lambda connection: self._find(connection, serial))

    async def serials(self, *, after: int = 0, limit: int, revoked_only: bool = False) -> list[str]:
        """Return serial numbers as text, in the order of their octets, those behind `after` only."""
        wanted = select(CERTIFICATES.c.serial).where(CERTIFICATES.c.mount == self._mount)
        if revoked_only:
            wanted = wanted.where(CERTIFICATES.c.revoked_at.is_not(None))
        if after:
            wanted = wanted.where(CERTIFICATES.c.serial > serial_octets(after))
        page = wanted.order_by(CERTIFICATES.c.serial).limit(limit)
        return await self._database.read(
            lambda connection: [format_serial(int.from_bytes(serial, "big")) for serial in connection.scalars(page)]
        )

    async def revoke(self, certificate: NewCertificate, now: datetime) -> StoredCertificate:
        """Mark a certificate as revoked, and store it when it is not there yet; durable on return.

        A certificate that was revoked before keeps its first moment.
        """
        return await self._database.write(lambda connection: self._revoke(connection, certificate, now))

    async def erase(self) -> None:
        """Remove the mount's rows."""
        await self._database.write(self._erase)

    def revoked(self, connection: Connection, issuer_ids: Sequence[str]) -> list[Revoked]:
        """Return what the CRL of these issuers lists. Work for a `Database`."""
        columns = (CERTIFICATES.c.serial, CERTIFICATES.c.revoked_at, CERTIFICATES.c.revocation_reason)
        rows = connection.execute(
            select(*columns).where(
                CERTIFICATES.c.mount == self._mount,
                CERTIFICATES.c.issuer_id.in_(issuer_ids),
                CERTIFICATES.c.revoked_at.is_not(None),
            )
        )
        return [Revoked(int.from_bytes(serial, "big"), _moment(at), reason or 0) for serial, at, reason in rows]

    def _find(self, connection: Connection, serial: int) -> StoredCertificate | None:
        row = connection.execute(self._one(serial)).one_or_none()
        return None if row is None else _stored(row)

    def _one(self, serial: int) -> Select[Any]:
        return select(*_ROW).where(CERTIFICATES.c.mount == self._mount, CERTIFICATES.c.serial == serial_octets(serial))

    def _revoke(self, connection: Connection, certificate: NewCertificate, now: datetime) -> StoredCertificate:
        found = self._find(connection, certificate.serial)
        if found is None:
            row = row_of(self._mount, certificate, certificate.not_before)
            connection.execute(insert(CERTIFICATES).values(row))
        if found is None or found.revoked_at is None:
            connection.execute(
                update(CERTIFICATES)
                .where(
                    CERTIFICATES.c.mount == self._mount,
                    CERTIFICATES.c.serial == serial_octets(certificate.serial),
                )
                .values(revoked_at=int(now.timestamp()), revocation_reason=0)
            )
        return _stored(connection.execute(self._one(certificate.serial)).one())

    def _erase(self, connection: Connection) -> None:
        for table in (CERTIFICATES, CRLS):
            connection.execute(table.delete().where(table.c.mount == self._mount))


def _stored(row: Row[Any]) -> StoredCertificate:
    return StoredCertificate(
        serial=int.from_bytes(row.serial, "big"),
        issuer_id=row.issuer_id,
        role=row.role,
        not_after=_moment(row.not_after),
        revoked_at=None if row.revoked_at is None else _moment(row.revoked_at),
        der=row.der,
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
