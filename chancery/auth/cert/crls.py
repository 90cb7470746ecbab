"""Revocation lists of a mount: which certificates of a chain they name, and when they cannot be relied on. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chancery.auth.cert.chains import is_issued_by
from chancery.auth.cert.identity import CertificateRefused, authority_key_id, subject_key_id
from chancery.kit.params import decode_base64
from chancery.kit.storage import Stored

MAX_CRL: Final = 10 * 1024 * 1024
"""Bytes of a list."""


class StoredCrl(Stored):
    """A list as it is kept; the document's name is what the API calls it."""

    der: bytes
    url: str = ""
    """Where it is fetched again; empty when it was uploaded."""
    this_update: int = 0
    next_update: int = 0
    """Seconds since 1970; 0 = the list does not say."""

    @classmethod
    def of(cls, crl: x509.CertificateRevocationList, url: str) -> "StoredCrl":
        """Make ready for keeping."""
        end = crl.next_update_utc
        return cls(
            der=crl.public_bytes(Encoding.DER),
            url=url,
            this_update=int(crl.last_update_utc.timestamp()),
            next_update=int(end.timestamp()) if end is not None else 0,
        )

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is to be fetched again: half of its life is over, or it has no end."""
        return bool(self.url) and now.timestamp() > (self.this_update + self.next_update) / 2


def read_crl(data: bytes) -> x509.CertificateRevocationList:
    """Parse a list in PEM, DER or the base64 of DER. Raises ValueError."""
    if len(data) > MAX_CRL:
        raise ValueError(f"the CRL is larger than {MAX_CRL} bytes")
    try:
        if b"-----BEGIN" in data[:4096]:
            crl = x509.load_pem_x509_crl(data)
        else:
            crl = x509.load_der_x509_crl(data if data[:1] == b"\x30" else decode_base64(data.decode("ascii").strip()))
        _demand_whole(crl)
    except (ValueError, UnicodeDecodeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        reason = str(error) if isinstance(error, _Partial) else "it is neither PEM nor DER"
        raise ValueError(f"failed to parse CRL: {reason}") from None
    return crl


class _Partial(ValueError):
    """A list that tells only part of the truth."""


def _demand_whole(crl: x509.CertificateRevocationList) -> None:
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.DeltaCRLIndicator):
            raise _Partial("delta CRLs are not served: give the complete one")
        if isinstance(value, x509.IssuingDistributionPoint) and (value.indirect_crl or value.only_some_reasons):
            raise _Partial("indirect CRLs and those for some reasons only are not served")
        if extension.critical and isinstance(value, x509.UnrecognizedExtension):
            raise _Partial(f"its critical extension {extension.oid.dotted_string} is not known here")


@dataclass(slots=True)
class RevocationList:
    """A list made ready for looking up."""

    name: str
    crl: x509.CertificateRevocationList
    serials: frozenset[int]
    """A set: looking through the list itself takes 14 ms at 100,000 entries."""
    is_fetched: bool
    _signers: dict[bytes, bool] = field(default_factory=dict)
    """Whether a key has signed it, by the key: looked at once for each."""

    @classmethod
    def of(cls, name: str, stored: StoredCrl) -> "RevocationList":
        """Parse a stored list. Takes a second at 400,000 entries: not for the event loop."""
        crl = x509.load_der_x509_crl(stored.der)
        return cls(name, crl, frozenset(revoked.serial_number for revoked in crl), bool(stored.url))

    def is_of(self, certificate: x509.Certificate, issuer: x509.Certificate | None) -> bool:
        """Tell whether this is a list of a certificate's issuer; two keys of one name have two lists."""
        if self.crl.issuer != certificate.issuer:
            return False
        try:
            wanted = self.crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        except x509.ExtensionNotFound:
            return True
        actual = subject_key_id(issuer) if issuer is not None else authority_key_id(certificate)
        return not wanted or not actual or wanted == actual

    def demand_not_listed(self, certificate: x509.Certificate) -> None:
        """Raise CertificateRefused for a certificate on the list."""
        if certificate.serial_number in self.serials:
            raise CertificateRefused(f"it, or an authority above it, is revoked by the CRL {self.name}")

    def demand_reliable(self, issuer: x509.Certificate | None, now: datetime) -> None:
        """Raise CertificateRefused when the list's silence about a certificate of the issuer means nothing.

        As in Vault, an uploaded list never expires. Whoever uploads one for a certificate whose issuer is not known
        vouches for it; nobody vouches for one that was fetched.
        """
        if issuer is not None and not self._is_signed_by(issuer):
            raise CertificateRefused(f"the CRL {self.name} has the issuer's name but not its signature")
        if self.is_fetched and issuer is None:
            raise CertificateRefused(f"nobody can tell whether the CRL {self.name} is the issuer's")
        if self.is_fetched and self.crl.next_update_utc is not None and self.crl.next_update_utc < now:
            raise CertificateRefused(f"the CRL {self.name} is out of date")

    def _is_signed_by(self, issuer: x509.Certificate) -> bool:
        key = issuer.public_key()
        name = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        known = self._signers.get(name)
        if known is None:
            try:
                known = self.crl.is_signature_valid(key)  # type: ignore[arg-type]  # kinds that cannot sign: TypeError
            except (TypeError, ValueError):
                known = False
            self._signers[name] = known
        return known


def demand_unrevoked(
    chain: Sequence[x509.Certificate], sent: Iterable[x509.Certificate], lists: Sequence[RevocationList], now: datetime
) -> None:
    """Raise CertificateRefused when any list names any certificate of a chain, or should tell but cannot.

    The authority that a role trusts is trusted by itself: only a list that names it takes that away.
    """
    if not lists:
        return
    for position, certificate in enumerate(chain):
        above = chain[position + 1 :] or (certificate, *sent)
        issuer = next((each for each in above if is_issued_by(certificate, each)), None)
        for each in lists:
            if each.is_of(certificate, issuer):
                each.demand_not_listed(certificate)
                if position == 0 or position < len(chain) - 1:
                    each.demand_reliable(issuer, now)
