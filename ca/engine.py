"""The PKI engine: puts the parts of a mount together and lists its paths. Mount type `pki`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from ca.certificates import Certificates
from ca.configuration import Configuration
from ca.crls import Crls
from ca.endpoints.certificates import CertificateEndpoints
from ca.endpoints.issuers import IssuerEndpoints
from ca.endpoints.issuing import IssuingEndpoints
from ca.endpoints.keys import KeyEndpoints
from ca.endpoints.revoking import RevokingEndpoints
from ca.endpoints.roles import RoleEndpoints
from ca.endpoints.roots import RootEndpoints
from ca.endpoints.settings import SettingsEndpoints
from ca.issuance import Issuance
from ca.issuers import Issuers
from ca.key_making import KeyMaking
from ca.keys import Keys
from ca.revocation import Revocations
from ca.role_store import Roles
from ca.roots import Roots
from ca.signers import Signers
from ca.tables import SCHEMA
from chancery.kit.engine import Job, MountContext
from chancery.kit.route import Route
from chancery.kit.storage import Schema

_CRL_PERIOD = 60


class PkiEngine:
    """One PKI mount."""

    def __init__(self, context: MountContext) -> None:
        mount = context.mount().uuid
        self.configuration = Configuration(context.documents)
        self.keys = Keys(context)
        self.issuers = Issuers(context, self.keys)
        self.roles = Roles(context.documents)
        self.certificates = Certificates(context.database, mount)
        self.crls = Crls(context, self.issuers, self.keys, self.certificates, self.configuration)
        self.making = KeyMaking(context, self.keys)
        self.roots = Roots(context, self.issuers, self.making, self.crls, self.configuration)
        self.signers = Signers(self.issuers, self.keys, self.configuration)
        self.issuance = Issuance(context, self.signers, self.certificates)
        self.revocations = Revocations(self.issuers, self.certificates, self.crls, self.configuration)
        self._context = context

    def routes(self) -> Sequence[Route]:
        """Return the paths below the mount."""
        return [
            *RootEndpoints(self._context, self.roots, self.issuers, self.keys).routes(),
            *IssuerEndpoints(self.issuers, self.keys, self.configuration).routes(),
            *KeyEndpoints(self.keys, self.issuers, self.making).routes(),
            *RoleEndpoints(self.roles, self.issuers).routes(),
            *IssuingEndpoints(self.roles, self.issuance).routes(),
            *CertificateEndpoints(self.issuers, self.certificates, self.crls).routes(),
            *RevokingEndpoints(self.issuers, self.crls, self.revocations).routes(),
            *SettingsEndpoints(self.configuration, self.crls).routes(),
        ]

    def jobs(self) -> Sequence[Job]:
        """Return the periodic work of the mount."""
        return [Job("crl", _CRL_PERIOD, self.crls.rebuild_due, self.crls.is_any_due)]

    async def revoke_lease(self, revocation: Mapping[str, str], now: datetime) -> None:
        """Revoke the certificate that a lease stands for."""
        await self.revocations.revoke_leased(revocation["serial_number"], now)

    async def start(self) -> None:
        """Nothing is read ahead: everything is found when it is first asked for."""

    async def stop(self) -> None:
        """Let CRLs that are being built come to an end."""
        await self.crls.finish()

    async def erase(self) -> None:
        """Remove the mount's certificates and CRLs."""
        await self.certificates.erase()


class PkiEngineType:
    """What `type=pki` mounts."""

    name = "pki"
    description = "Issues X.509 certificates with keys in HSMs, in KMSs or sealed in this server's storage"
    schema: Schema | None = SCHEMA
    audit_clear = frozenset(
        {"certificate", "common_name", "alt_names", "ip_sans", "uri_sans", "serial_number", "issuer_id", "issuer_name"}
        | {"issuer_ref", "not_after", "role"}
    )
    """What a certificate says of itself, and who issued it by which rules, is public: audit lines show it."""

    def open(self, context: MountContext) -> PkiEngine:
        """Build the engine for one mount."""
        return PkiEngine(context)


PKI = PkiEngineType()
