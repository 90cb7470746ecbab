"""What a client's certificate says of its holder. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

_STRING_TAGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x1A: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be"}


class CertificateRefused(Exception):
    """A certificate lets nobody in. The reason is for the server's log: those who log in are told nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Holder:
    """The names in a certificate."""

    certificate: x509.Certificate
    common_name: str
    organizations: tuple[str, ...]
    organizational_units: tuple[str, ...]
    dns_names: tuple[str, ...]
    emails: tuple[str, ...]
    uris: tuple[str, ...]
    addresses: tuple[str, ...]
    extensions: Mapping[str, str]
    """Extensions whose value is text, by OID."""

    @property
    def has_alternative_names(self) -> bool:
        """Tell whether any name stands beside the subject."""
        return bool(self.dns_names or self.emails or self.uris or self.addresses)

    def metadata(self) -> dict[str, str]:
        """Return what is shown on tokens and kept with the alias."""
        return {
            "common_name": self.common_name,
            "serial_number": str(self.certificate.serial_number),
            "subject_key_id": _colons(subject_key_id(self.certificate)),
            "authority_key_id": _colons(authority_key_id(self.certificate)),
        }


def read_certificate(der: bytes) -> x509.Certificate:
    """Parse a certificate. Raises CertificateRefused."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.extensions  # noqa: B018 - parsed at first use, and now is when errors are expected
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CertificateRefused("it cannot be read") from None
    return certificate


def holder_of(certificate: x509.Certificate) -> Holder:
    """Return the names in a client's certificate.

    Raises CertificateRefused for one without exactly one common name: it becomes the name of the alias, and two would
    leave open which.
    """
    try:
        subject = certificate.subject
        common_names = _texts(subject, NameOID.COMMON_NAME)
        organizations = _texts(subject, NameOID.ORGANIZATION_NAME)
        units = _texts(subject, NameOID.ORGANIZATIONAL_UNIT_NAME)
    except ValueError:
        raise CertificateRefused("its subject cannot be read") from None
    if len(common_names) != 1 or not common_names[0] or not common_names[0].isprintable():
        raise CertificateRefused("it does not have exactly one common name")
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Holder(
        certificate=certificate,
        common_name=common_names[0],
        organizations=organizations,
        organizational_units=units,
        dns_names=tuple(names.get_values_for_type(x509.DNSName)),
        emails=tuple(names.get_values_for_type(x509.RFC822Name)),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        addresses=tuple(map(str, names.get_values_for_type(x509.IPAddress))),
        extensions=_text_extensions(certificate),
    )


def serves_clients(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate may be used by a client of TLS: it says so, or says nothing of its usage."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def subject_key_id(certificate: x509.Certificate) -> bytes:
    """Return the subject key identifier, empty when there is none."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return b""


def authority_key_id(certificate: x509.Certificate) -> bytes:
    """Return the authority key identifier, empty when there is none."""
    try:
        return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    except x509.ExtensionNotFound:
        return b""


def _texts(name: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    values = tuple(attribute.value for attribute in name.get_attributes_for_oid(oid))
    return tuple(value for value in values if isinstance(value, str))


def _text_extensions(certificate: x509.Certificate) -> dict[str, str]:
    found = {}
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.UnrecognizedExtension) and extension.oid != ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
            text = _text(value.value)
            if text is not None:
                found[extension.oid.dotted_string] = text
    return found


def _text(der: bytes) -> str | None:
    """Decode one ASN.1 string that fills the bytes; None for anything else."""
    if len(der) < 2 or der[0] not in _STRING_TAGS:
        return None
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if len(der) != start + length:
        return None
    try:
        return der[start:].decode(_STRING_TAGS[der[0]])
    except UnicodeDecodeError:
        return None


def _colons(identifier: bytes) -> str:
    return identifier.hex(":")
