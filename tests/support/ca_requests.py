"""Certificate requests for tests, made with pyca rather than with our own encoders."""

from collections.abc import Sequence
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from ca.x509.request import ParsedRequest
from tests.support.x509_keys import private_key

USER_ID = ObjectIdentifier("0.9.2342.19200300.100.1.1")


@cache
def csr(
    common_name: str = "",
    names: Sequence[x509.GeneralName] = (),
    *,
    key: str = "p-256",
    serial_number: str = "",
    user_id: str = "",
    organization: str = "",
) -> str:
    """Return a PEM request."""
    values = {
        NameOID.ORGANIZATION_NAME: organization,
        NameOID.COMMON_NAME: common_name,
        NameOID.SERIAL_NUMBER: serial_number,
        USER_ID: user_id,
    }
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in values.items() if value])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    private = private_key(key)
    digest = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(private, digest).public_bytes(Encoding.PEM).decode()


def parsed_csr(
    common_name: str = "",
    names: Sequence[x509.GeneralName] = (),
    *,
    key: str = "p-256",
    serial_number: str = "",
    user_id: str = "",
) -> ParsedRequest:
    """Return a request that has been read and verified."""
    return ParsedRequest.parse(csr(common_name, names, key=key, serial_number=serial_number, user_id=user_id))


def dns(*names: str) -> tuple[x509.DNSName, ...]:
    """Return DNS names."""
    return tuple(map(x509.DNSName, names))
