"""The shape that certificates, requests and CRLs share: what was signed, with which algorithm, the signature."""

from ca.x509 import der
from ca.x509.algorithms import algorithm_identifier
from managed_keys.keys import SignatureScheme


def assemble(to_be_signed: bytes, scheme: SignatureScheme, signature: bytes) -> bytes:
    """Return the DER SEQUENCE of all three; `signature` is the X.509 encoding that a managed key returns."""
    return der.tlv(der.SEQUENCE, to_be_signed + algorithm_identifier(scheme) + der.bit_string(signature))
