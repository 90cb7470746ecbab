"""What is asked of the contenders, and the proof that what they answer is a certificate, and a stored one."""

import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.contenders import ROLE, Contender
from bench.load import Load, LoadFailed

_SUBJECT = "test.example.com"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request, repeated. `concurrency` lists how many are in flight in turn."""

    name: str
    path: str
    body: str
    concurrency: tuple[int, ...]

    def load(self, contender: Contender) -> Load:
        """Return this request for one contender."""
        return Load(f"{contender.address}/v1/{self.path}", contender.token, self.body)

    def prove(self, contender: Contender) -> None:
        """Send the request once and check the answer.

        Raises LoadFailed or InvalidSignature unless it is a certificate of this CA, and a stored one.
        """
        with contender.client() as client:
            data = client.write(self.path, **json.loads(self.body)).data
            stored = client.read(f"pki/cert/{data['serial_number']}").data
        certificate = x509.load_pem_x509_certificate(data["certificate"].encode())
        certificate.verify_directly_issued_by(contender.authority)
        if stored["certificate"].strip() != data["certificate"].strip():
            raise LoadFailed(f"{contender.name} does not store what it issues")


def sign(concurrency: tuple[int, ...]) -> Scenario:
    """Sign one P-256 request again and again."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _SUBJECT)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_SUBJECT)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _scenario("sign", concurrency, csr=request.public_bytes(serialization.Encoding.PEM).decode())


def issue(concurrency: tuple[int, ...]) -> Scenario:
    """Issue a certificate with a new P-256 key each time."""
    return _scenario("issue", concurrency, common_name=_SUBJECT)


def _scenario(name: str, concurrency: tuple[int, ...], **body: Any) -> Scenario:
    return Scenario(name, f"pki/{name}/{ROLE}", json.dumps(body), concurrency)
