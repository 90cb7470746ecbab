"""One certificate, described completely: what the rules decide and the encoders write."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from ca.x509.extensions import AuthorityUrls, Extension, NameConstraints
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.policies import CertificatePolicy
from ca.x509.serials import MAX_SERIAL
from ca.x509.usages import KeyUsage

NEVER_EXPIRES: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The notAfter of a certificate without a well-defined expiration date (RFC 5280 4.1.2.5)."""

NO_ALTERNATIVE_NAMES: Final = SubjectAlternativeNames()
NO_CONSTRAINTS: Final = NameConstraints()
NO_URLS: Final = AuthorityUrls()
_NO_OFFSET: Final = timedelta()


class IssuerIdentity(NamedTuple):
    """What a certificate or CRL says of its issuer: its Name exactly as encoded in its certificate, and its key."""

    name_der: bytes
    key_identifier: bytes | None = None


class Profile(NamedTuple):
    """What the certificates of one role have in common; a tuple because it is hashed for each certificate."""

    is_ca: bool
    path_length: int | None
    has_basic_constraints: bool
    key_usages: frozenset[KeyUsage]
    ext_key_usages: tuple[str, ...]
    policies: tuple[CertificatePolicy, ...]
    name_constraints: NameConstraints
    urls: AuthorityUrls

    @property
    def has_qualified_policies(self) -> bool:
        """Whether any policy says more than its identifier."""
        return any(policy.qualified for policy in self.policies)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSpec:
    """Everything that a certificate will say, except who signs it.

    `subject` may be a ready DER Name. `spki` is the DER SubjectPublicKeyInfo; `subject_key_identifier` replaces the one
    derived from it. Times are aware UTC; fractions of a second are dropped. Raises ValueError when the parts contradict
    each other.
    """

    serial: int
    subject: DistinguishedName | bytes
    spki: bytes
    not_before: datetime
    not_after: datetime
    sans: SubjectAlternativeNames = NO_ALTERNATIVE_NAMES
    is_ca: bool = False
    path_length: int | None = None
    key_usages: frozenset[KeyUsage] = frozenset()
    ext_key_usages: tuple[str, ...] = ()
    policies: tuple[CertificatePolicy, ...] = ()
    name_constraints: NameConstraints = NO_CONSTRAINTS
    urls: AuthorityUrls = NO_URLS
    basic_constraints_valid_for_non_ca: bool = False
    subject_key_identifier: bytes = b""
    extra_extensions: tuple[Extension, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.serial <= MAX_SERIAL:
            raise ValueError("serial number must be positive and at most 20 octets long")
        for moment in (self.not_before, self.not_after):
            if moment.tzinfo is not UTC and moment.utcoffset() != _NO_OFFSET:
                raise ValueError("not_before and not_after must be in UTC")
            if moment.year < 1950:
                raise ValueError("not_before and not_after must not be before 1950")
        if self.not_after < self.not_before:
            raise ValueError("not_after must not be before not_before")
        if self.path_length is not None and (not self.is_ca or not 0 <= self.path_length < 1 << 31):
            raise ValueError("path length must not be negative, and only a CA has one")
        if self.name_constraints and not self.is_ca:
            raise ValueError("only a CA has name constraints")

    def profile(self) -> Profile:
        """Return the part that is alike in all certificates of a role."""
        return Profile(
            self.is_ca,
            self.path_length,
            self.is_ca or self.basic_constraints_valid_for_non_ca,
            self.key_usages,
            self.ext_key_usages,
            self.policies,
            self.name_constraints,
            self.urls,
        )

    def subject_der(self) -> bytes:
        """Return the DER Name of the subject. Raises ValueError that names the attribute at fault."""
        return self.subject if isinstance(self.subject, bytes) else self.subject.encode()
