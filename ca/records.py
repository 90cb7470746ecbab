"""What a mount remembers besides its certificates: issuers, keys and settings, as sealed documents.

Identities are derived from what they identify: a key's from its public key, an issuer's from its certificate. So the
same key or certificate arriving twice is one entry, and a retry after a crash finds what the first attempt left.
"""

import hashlib
import uuid
from datetime import datetime
from enum import StrEnum
from typing import Final

from ca.validity import LeafNotAfter
from chancery.kit.storage import Stored
from managed_keys.keys import KeyAlgorithm, PublicKey


class IssuerUsage(StrEnum):
    """What an issuer may be used for."""

    READ_ONLY = "read-only"
    ISSUING_CERTIFICATES = "issuing-certificates"
    CRL_SIGNING = "crl-signing"
    OCSP_SIGNING = "ocsp-signing"


ALL_USAGES: Final = tuple(sorted(IssuerUsage))


class Urls(Stored):
    """Where relying parties find certificate, CRLs and OCSP responders; templates when `templated`."""

    issuing_certificates: tuple[str, ...] = ()
    crl_distribution_points: tuple[str, ...] = ()
    delta_crl_distribution_points: tuple[str, ...] = ()
    ocsp_servers: tuple[str, ...] = ()
    templated: bool = False

    def __bool__(self) -> bool:
        return bool(self.issuing_certificates or self.crl_distribution_points or self.ocsp_servers)


class KeyRecord(Stored):
    """A key. Software keys carry their sealed material, managed keys the UUID by which the registry knows them."""

    name: str = ""
    spki: bytes
    algorithm: KeyAlgorithm
    bits: int
    sealed: bytes = b""
    seal_context: str = ""
    managed_uuid: str = ""

    @property
    def public_key(self) -> PublicKey:
        """Return the public key."""
        return PublicKey(self.spki, self.algorithm, self.bits)


class IssuerRecord(Stored):
    """An issuer: a CA certificate, the key that signs for it if it is here, and how it may be used."""

    name: str = ""
    certificate: bytes
    """DER."""
    key_id: str = ""
    """Empty when the key is elsewhere."""
    authority: str
    """Which issuers share a CRL: those with the same name and key."""
    chain: tuple[str, ...]
    """Ids from this issuer up to its root, as far as they are known here."""
    manual_chain: tuple[str, ...] = ()
    usages: tuple[IssuerUsage, ...] = ALL_USAGES
    leaf_not_after_behavior: LeafNotAfter = LeafNotAfter.ERR
    revocation_signature_algorithm: str = ""
    """Name of a signature algorithm, or empty for the key's default."""
    urls: Urls = Urls()
    revoked_at: datetime | None = None
    disable_critical_extension_checks: bool = False
    disable_path_length_checks: bool = False
    disable_name_checks: bool = False
    disable_name_constraint_checks: bool = False
    enable_time_checks: bool = False


class Name(Stored):
    """To whom a name belongs. A document of its own, so that the store keeps names unique."""

    id: str


class IssuersConfig(Stored):
    """Which issuer is the default one."""

    default: str = ""
    default_follows_latest_issuer: bool = False


class KeysConfig(Stored):
    """Which key is the default one."""

    default: str = ""


class ClusterConfig(Stored):
    """Where this mount is reached, for URL templates."""

    path: str = ""
    aia_path: str = ""


class CrlConfig(Stored):
    """How CRLs are made. Durations as the client wrote them."""

    expiry: str = "72h"
    disable: bool = False
    ocsp_disable: bool = False
    ocsp_expiry: str = "12h"
    auto_rebuild: bool = False
    auto_rebuild_grace_period: str = "12h"
    enable_delta: bool = False
    delta_rebuild_interval: str = "15m"
    cross_cluster_revocation: bool = False
    unified_crl: bool = False
    unified_crl_on_existing_paths: bool = False
    max_crl_entries: int = 100_000
    allow_expired_cert_revocation: bool = False


def key_id(mount: str, spki: bytes) -> str:
    """Return the identity of a key within a mount."""
    return _identity(mount, b"key", spki)


def issuer_id(mount: str, certificate: bytes) -> str:
    """Return the identity of an issuer within a mount."""
    return _identity(mount, b"issuer", certificate)


def authority_id(mount: str, name_der: bytes, spki: bytes) -> str:
    """Return the identity of a name with a key within a mount: what signs one series of CRLs."""
    return _identity(mount, b"authority", hashlib.sha256(name_der).digest() + spki)


def _identity(mount: str, kind: bytes, value: bytes) -> str:
    return str(uuid.uuid5(uuid.UUID(mount), f"{kind.decode()}:{hashlib.sha256(value).hexdigest()}"))
