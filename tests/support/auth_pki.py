"""Authorities and certificates for tests of TLS: quick to make, valid unless a test says otherwise."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True)
class Holder:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """Return the certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        """Return the certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        """Return the private key as PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write `name.pem` and `name.key`; return their paths."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_text(self.pem)
        key.write_text(self.key_pem)
        return certificate, key


@dataclass(frozen=True)
class Authority(Holder):
    """A certificate with its key that issues others."""

    def issue(
        self,
        common_name: str,
        *,
        attributes: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
        names: Sequence[x509.GeneralName] = (),
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        extensions: Sequence[Extension] = (),
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Holder:
        """Issue a certificate for an end entity."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name, attributes), self.certificate.subject, key, start, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return Holder(builder.sign(self.key, hashes.SHA256()), key)

    def issue_server(self, *hosts: str) -> Holder:
        """Issue a certificate for a TLS server on these names and addresses."""
        return self.issue(
            hosts[0], names=[_general_name(host) for host in hosts], usages=(ExtendedKeyUsageOID.SERVER_AUTH,)
        )

    def issue_authority(
        self, common_name: str, *, path_length: int | None = None, extensions: Sequence[Extension] = ()
    ) -> "Authority":
        """Issue the certificate of an authority below this one."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _authority(_name(common_name), self.certificate.subject, key, self.key, path_length, extensions)
        return Authority(certificate, key)

    def crl(self, *serials: int, next_update: datetime | None = None, extensions: Sequence[Extension] = ()) -> bytes:
        """Return a CRL as PEM that names serial numbers."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - timedelta(days=2))
            .next_update(next_update or now + timedelta(days=1))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(days=2))
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def authority(common_name: str = "Test root", extensions: Sequence[Extension] = ()) -> Authority:
    """Make a self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    return Authority(_authority(name, name, key, key, None, extensions), key)


def self_signed(common_name: str, **validity: datetime) -> Holder:
    """Make a self-signed end-entity certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = _builder(name, name, key, validity.get("start"), validity.get("end"))
    return Holder(builder.sign(key, hashes.SHA256()), key)


def server_context(server: Holder, directory: Path) -> ssl.SSLContext:
    """Return the TLS context of a server that shows a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server.write(directory, f"server-{server.certificate.serial_number:x}"))
    return context


def _authority(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    path_length: int | None,
    extensions: Sequence[Extension],
) -> x509.Certificate:
    builder = _builder(subject, issuer, key, None, None)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(_usage(), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    start: datetime | None,
    end: datetime | None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start or now - timedelta(hours=1))
        .not_valid_after(end or now + timedelta(days=1))
    )


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str, attributes: Sequence[tuple[x509.ObjectIdentifier, str]] = ()) -> x509.Name:
    pairs = [(NameOID.COMMON_NAME, common_name), *attributes]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs if value])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
