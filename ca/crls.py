"""CRLs: one series for each authority (a name with a key), numbered without gaps or repetition.

A CRL is built from what is committed at that moment and replaces its predecessor only if that is still the newest, so
processes that build at the same time cannot hide a revocation from each other.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from ca.certificates import Certificates, Revoked
from ca.configuration import Configuration
from ca.issuers import Issuers, parsed
from ca.keys import Keys
from ca.records import CrlConfig, IssuerRecord, IssuerUsage
from ca.signers import scheme_for
from ca.tables import CRLS
from ca.x509.algorithms import parse_scheme_name
from ca.x509.certificate import ParsedCertificate
from ca.x509.crl import RevocationReason, RevokedEntry, build_crl_tbs
from ca.x509.signed import assemble
from ca.x509.usages import KeyUsage
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput, ChanceryError, Conflict, NotFound
from chancery.kit.params import parse_duration
from chancery.kit.storage import Document
from managed_keys.keys import ManagedKey, PublicKey, SignatureScheme

_log = logging.getLogger(__name__)

_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class StoredCrl:
    """A CRL as it is kept."""

    number: int
    this_update: datetime
    next_update: datetime
    der: bytes


def crl_scheme(record: IssuerRecord, key: PublicKey) -> SignatureScheme:
    """Return how an issuer signs CRLs. Raises BadInput when the key cannot do what the issuer says."""
    if not record.revocation_signature_algorithm:
        return scheme_for(key, 0, pss=False)
    scheme = parse_scheme_name(record.revocation_signature_algorithm)
    if scheme.value.partition("-")[0].replace("ecdsa", "ec") != key.algorithm:
        raise BadInput(
            f"unable to use issuer with a key of type {key.algorithm} to sign with "
            f"{record.revocation_signature_algorithm}; change revocation_signature_algorithm"
        )
    return scheme


async def sign_crl(
    issuer: ParsedCertificate,
    key: ManagedKey,
    scheme: SignatureScheme,
    *,
    number: int,
    now: datetime,
    config: CrlConfig,
    revoked: Sequence[Revoked] = (),
) -> StoredCrl:
    """Build and sign one CRL. A disabled CRL is empty. Raises Unavailable or BackendRefused."""
    this_update = now.replace(microsecond=0)
    next_update = this_update + timedelta(seconds=max(1, parse_duration(config.expiry)))
    entries = (
        [] if config.disable else [RevokedEntry(one.serial, one.at, RevocationReason(one.reason)) for one in revoked]
    )

    def build() -> bytes:
        return build_crl_tbs(
            issuer.identity(), scheme, number=number, this_update=this_update, next_update=next_update, revoked=entries
        )

    to_be_signed = await asyncio.to_thread(build) if len(entries) > 1000 else build()
    signature = await key.sign(to_be_signed, scheme)
    return StoredCrl(number, this_update, next_update, assemble(to_be_signed, scheme, signature))


def crl_row(mount: str, authority: str, crl: StoredCrl) -> dict[str, Any]:
    """Return the row that stores a CRL."""
    return {
        "mount": mount,
        "authority": authority,
        "number": crl.number,
        "this_update": int(crl.this_update.timestamp()),
        "next_update": int(crl.next_update.timestamp()),
        "der": crl.der,
    }


class Crls:
    """The CRLs of one mount."""

    def __init__(
        self,
        context: MountContext,
        issuers: Issuers,
        keys: Keys,
        certificates: Certificates,
        configuration: Configuration,
    ) -> None:
        self._database = context.database
        self._mount = context.mount().uuid
        self._clock = context.clock
        self._issuers = issuers
        self._keys = keys
        self._certificates = certificates
        self._configuration = configuration
        self._running: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, asyncio.Task[None]] = {}

    async def current(self, issuer: IssuerRecord) -> StoredCrl:
        """Return the CRL to publish: a new one when the last is due, the last one when no new one can be made.

        Raises NotFound when there has never been one.
        """
        crl = await self.stored(issuer.authority)
        config = (await self._configuration.crl()).value
        if crl is not None and self._clock.now() < _due(crl, config):
            return crl
        try:
            await self.rebuild(issuer.authority)
        except ChanceryError as error:
            if crl is None:
                raise
            _log.warning("the CRL of %s is due but cannot be made: %s", issuer.authority, error.message)
            return crl
        newest = await self.stored(issuer.authority)
        if newest is None:
            raise NotFound("no CRL was made for this issuer yet")
        return newest

    async def stored(self, authority: str) -> StoredCrl | None:
        """Return the newest CRL of an authority."""
        return await self._database.read(lambda connection: self._stored(connection, authority))

    async def is_any_due(self, now: datetime) -> bool:
        """Tell whether a CRL of a mount that rebuilds by itself is due; cheap."""
        return bool(await self._due_authorities(now))

    async def rebuild_due(self, now: datetime) -> None:
        """Make new CRLs in time for mounts that rebuild by themselves. What cannot be made is logged, and due again."""
        for authority in await self._due_authorities(now):
            warning = await self.try_rebuild(authority)
            if warning:
                _log.warning("authority %s: %s", authority, warning)

    async def _due_authorities(self, now: datetime) -> list[str]:
        config = (await self._configuration.crl()).value
        if not config.auto_rebuild:
            return []
        latest = int(now.timestamp()) + parse_duration(config.auto_rebuild_grace_period)
        due = select(CRLS.c.authority).where(CRLS.c.mount == self._mount, CRLS.c.next_update <= latest)
        return await self._database.read(lambda connection: list(connection.scalars(due)))

    async def rebuild_all(self) -> list[str]:
        """Make new CRLs for every authority. Returns a warning for each that could not be made."""
        authorities = dict.fromkeys(document.value.authority for document in await self._issuers.records.all())
        return [warning for authority in authorities if (warning := await self.try_rebuild(authority))]

    async def try_rebuild(self, authority: str) -> str:
        """Make a new CRL; returns a warning when that is not possible now, else the empty string."""
        try:
            await self.rebuild(authority)
        except ChanceryError as error:
            return f"the CRL was not rebuilt and will be when it is next asked for: {error.message}"
        return ""

    async def rebuild(self, authority: str) -> None:
        """Make a CRL that has every revocation committed before this call. Requests in the meantime share the next one.

        Raises BadInput when no issuer may sign it, Unavailable or BackendRefused when its key cannot.
        """
        running = self._running.get(authority)
        if running is None:
            await asyncio.shield(self._start(authority))
            return
        queued = self._next.get(authority)
        if queued is None:
            queued = self._next[authority] = asyncio.create_task(self._after(running, authority))
        await asyncio.shield(queued)

    async def finish(self) -> None:
        """Wait for what is being built. Called when the mount closes."""
        tasks = [*self._running.values(), *self._next.values()]
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, authority: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._build(authority))
        self._running[authority] = task
        task.add_done_callback(lambda done: self._ended(authority, done))
        return task

    def _ended(self, authority: str, task: asyncio.Task[None]) -> None:
        if self._running.get(authority) is task:
            del self._running[authority]
        if not task.cancelled():
            task.exception()  # whoever asked has it too, unless they went away

    async def _after(self, running: asyncio.Task[None], authority: str) -> None:
        await asyncio.wait([running])
        self._next.pop(authority, None)
        await self._start(authority)

    async def _build(self, authority: str) -> None:
        members = [one for one in await self._issuers.records.all() if one.value.authority == authority]
        issuer, public_key = await self._signing_member(members)
        config = (await self._configuration.crl()).value
        scheme = crl_scheme(issuer.value, public_key)
        key = await self._keys.open((await self._keys.resolve(issuer.value.key_id)).value)
        ids = [member.name for member in members]
        for _ in range(_ATTEMPTS):
            before, revoked = await self._database.read(
                lambda connection: (self._stored(connection, authority), self._certificates.revoked(connection, ids))
            )
            if 0 < config.max_crl_entries < len(revoked):
                raise BadInput(f"{len(revoked)} revoked certificates exceed max_crl_entries ({config.max_crl_entries})")
            crl = await sign_crl(
                parsed(issuer.value.certificate),
                key,
                scheme,
                number=before.number + 1 if before is not None else 1,
                now=self._clock.now(),
                config=config,
                revoked=revoked,
            )
            row = crl_row(self._mount, authority, crl)
            if await self._database.write(lambda connection, row=row: _replace(connection, row)):  # type: ignore[misc]  # the default binds the loop's row
                return
        raise Conflict("other processes kept replacing the CRL; try again")

    async def _signing_member(
        self, members: Sequence[Document[IssuerRecord]]
    ) -> tuple[Document[IssuerRecord], PublicKey]:
        for member in members:
            record = member.value
            usages = parsed(record.certificate).extensions.key_usages
            if IssuerUsage.CRL_SIGNING not in record.usages or (usages and KeyUsage.CRL_SIGN not in usages):
                continue
            key = await self._keys.records.get(record.key_id) if record.key_id else None
            if key is not None:
                return member, key.value.public_key
        names = ", ".join(member.value.name or member.name for member in members)
        raise BadInput(f"no issuer of this group may sign CRLs with a key that is here: {names}")

    def _stored(self, connection: Connection, authority: str) -> StoredCrl | None:
        row = connection.execute(
            select(CRLS).where(CRLS.c.mount == self._mount, CRLS.c.authority == authority)
        ).one_or_none()
        if row is None:
            return None
        return StoredCrl(
            row.number,
            datetime.fromtimestamp(row.this_update, UTC),
            datetime.fromtimestamp(row.next_update, UTC),
            row.der,
        )


def _replace(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Put a CRL in the place of its predecessor; False when that is not the newest any more."""
    if row["number"] == 1:
        taken = select(CRLS.c.number).where(CRLS.c.mount == row["mount"], CRLS.c.authority == row["authority"])
        if connection.execute(taken).first() is not None:
            return False
        connection.execute(insert(CRLS).values(row))
        return True
    replaced = connection.execute(
        update(CRLS)
        .where(
            CRLS.c.mount == row["mount"],
            CRLS.c.authority == row["authority"],
            CRLS.c.number == row["number"] - 1,
        )
        .values(row)
    )
    return replaced.rowcount == 1


def _due(crl: StoredCrl, config: CrlConfig) -> datetime:
    grace = parse_duration(config.auto_rebuild_grace_period) if config.auto_rebuild else 0
    return crl.next_update - timedelta(seconds=grace)
