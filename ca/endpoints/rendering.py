"""Certificates and keys in the formats that clients choose: `pem`, `der` (base64) and `pem_bundle`."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ca.issuance import Issued, LeafKey
from ca.x509 import pem
from ca.x509.serials import format_serial
from chancery.kit.errors import BadInput

FORMATS = ("pem", "der", "pem_bundle")
ISSUED_FIELDS = (
    "authority_key_id",
    "ca_chain",
    "certificate",
    "expiration",
    "issuing_ca",
    "not_before",
    "serial_number",
)


@dataclass(frozen=True, slots=True)
class Format:
    """How an answer shows certificates and keys."""

    name: str = "pem"
    pkcs8: bool = False
    """Show the private key as PKCS#8."""

    @classmethod
    def parse(cls, name: str, private_key_format: str) -> "Format":
        """Read `format` and `private_key_format`. Raises BadInput for a format that does not exist."""
        if name not in FORMATS:
            raise BadInput('the "format" path parameter must be "pem", "der", or "pem_bundle"')
        if private_key_format not in {"", "der", "pem", "pkcs8"}:
            raise BadInput.of("private_key_format", "must be der, pem or pkcs8")
        return cls(name, private_key_format == "pkcs8")

    @property
    def is_der(self) -> bool:
        """Whether values are base64 of DER."""
        return self.name == "der"

    def certificate(self, der: bytes) -> str:
        """Render one certificate."""
        return text64(der) if self.is_der else pem.encode(pem.CERTIFICATE, der)

    def private_key(self, pkcs8: bytes) -> str:
        """Render a private key."""
        text = pem.encode_private_key(pkcs8, as_pkcs8=self.pkcs8)
        return "".join(text.split("\n")[1:-1]) if self.is_der else text

    def bundle(self, certificate: str, chain: Sequence[str], pkcs8: bytes) -> str:
        """Render what `certificate` holds: in a bundle the key comes first and the chain last."""
        if self.name != "pem_bundle":
            return certificate
        key = pem.encode_private_key(pkcs8) if pkcs8 else ""
        return pem.bundle([key, certificate, *chain])


def text64(der: bytes) -> str:
    """Return standard base64."""
    return base64.b64encode(der).decode("ascii")


def issued_data(issued: Issued, shown: Format, *, remove_roots: bool) -> dict[str, Any]:
    """Render a certificate that was just issued."""
    signer, new = issued.signer, issued.certificate
    certificate = shown.certificate(new.der)
    if shown.is_der:
        issuing_ca = text64(signer.certificate.der)
        chain = [text64(one.der) for one in signer.chain if not (remove_roots and one.is_self_issued)]
    else:
        issuing_ca = signer.certificate_pem
        chain = list(signer.rootless_chain_pem if remove_roots else signer.chain_pem)
    data: dict[str, Any] = {
        "certificate": certificate,
        "issuing_ca": issuing_ca,
        "serial_number": format_serial(new.serial),
        "expiration": int(new.not_after.timestamp()),
        "not_before": int(new.not_before.timestamp()),
        "authority_key_id": signer.authority_key_id,
    }
    if shown.name == "pem_bundle":
        data["certificate"] = shown.bundle(certificate, signer.chain_pem, issued.key.pkcs8 if issued.key else b"")
    if chain:
        data["ca_chain"] = chain
    if issued.key is not None:
        data |= key_data(issued.key, shown)
    return data


def key_data(key: LeafKey, shown: Format) -> dict[str, Any]:
    """Render a private key for the one answer that contains it."""
    return {"private_key": shown.private_key(key.pkcs8), "private_key_type": str(key.public.algorithm)}
