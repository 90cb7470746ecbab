"""Certification requests (PKCS#10, RFC 2986): read and verified from strangers, and built for intermediates."""

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from ca.x509 import der, extensions, oids, pem
from ca.x509.der_reader import MALFORMED, Value, all_of, children, dotted, only
from ca.x509.extensions import Extension
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.parsed_extensions import ParsedExtensions
from ca.x509.public_keys import describe_unchecked
from ca.x509.signed import assemble as assemble_request
from ca.x509.spec import NO_ALTERNATIVE_NAMES
from ca.x509.usages import KeyUsage
from managed_keys.keys import KeyAlgorithm, PublicKey

__all__ = ["MAX_REQUEST", "ParsedRequest", "RequestSpec", "assemble_request", "build_request_tbs"]

MAX_REQUEST: Final = 1 << 16
_MAX_ATTRIBUTES: Final = 16
_BROKEN_DIGESTS: Final = {"1.2.840.113549.1.1.2", "1.2.840.113549.1.1.4"}  # RSA with MD2 and with MD5


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request whose signature has been verified under the key that it contains.

    `subject` has the attributes that Vault knows, `subject_der` all of them; `extensions` is what was asked for.
    """

    der: bytes = field(repr=False)
    subject: DistinguishedName
    subject_der: bytes
    public_key: PublicKey
    extensions: ParsedExtensions
    challenge: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, pem_or_der: str | bytes) -> Self:
        """Read and verify a request. Raises ValueError that begins with `csr: ` and says what was wrong.

        Refuses weak keys before it computes with them.
        """
        try:
            return cls._read(_octets(pem_or_der))
        except ValueError as error:
            raise ValueError(f"csr: {error}") from None

    @classmethod
    def _read(cls, encoded: bytes) -> Self:
        loaded = _load(encoded)
        match children(only(loaded.tbs_certrequest_bytes, der.SEQUENCE)):
            case [(der.INTEGER, _), (_, name), (_, key), *rest]:
                subject_der, spki = der.tlv(der.SEQUENCE, name), der.tlv(der.SEQUENCE, key)
            case _:
                raise ValueError("is not a certification request of version 1")
        public_key = describe_unchecked(spki)
        _verify(loaded)
        attributes = _read_attributes(rest)
        return cls(
            der=encoded,
            subject=DistinguishedName.parse(subject_der),
            subject_der=subject_der,
            public_key=public_key,
            extensions=_requested_extensions(attributes),
            challenge=_challenge(attributes),
        )

    @property
    def spki(self) -> bytes:
        """The DER SubjectPublicKeyInfo."""
        return self.public_key.spki

    @property
    def key_algorithm(self) -> KeyAlgorithm:
        """What kind of key it is."""
        return self.public_key.algorithm

    @property
    def key_bits(self) -> int:
        """Its size as PublicKey counts it."""
        return self.public_key.bits

    @property
    def sans(self) -> SubjectAlternativeNames:
        """The alternative names asked for."""
        return self.extensions.sans

    @property
    def key_usages(self) -> frozenset[KeyUsage]:
        """The key usages asked for."""
        return self.extensions.key_usages

    @property
    def ext_key_usages(self) -> tuple[str, ...]:
        """The extended key usages asked for, as object identifiers."""
        return self.extensions.ext_key_usages

    @property
    def is_ca(self) -> bool:
        """Whether it asks for the certificate of a CA."""
        return self.extensions.is_ca


def _octets(pem_or_der: str | bytes) -> bytes:
    if len(pem_or_der) > MAX_REQUEST:
        raise ValueError(f"must not be larger than {MAX_REQUEST} octets")
    if isinstance(pem_or_der, bytes) and pem_or_der.startswith(b"\x30"):
        return pem_or_der
    return pem.decode_one(pem_or_der, pem.REQUEST, pem.NEW_REQUEST)


def _load(encoded: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(encoded)
    except (ValueError, x509.InvalidVersion):
        raise ValueError("is not a DER certification request of version 1") from None


def _verify(loaded: x509.CertificateSigningRequest) -> None:
    if loaded.signature_algorithm_oid.dotted_string in _BROKEN_DIGESTS:
        raise ValueError("signature algorithm is broken; sign the request with SHA-256")
    try:
        valid = loaded.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("signature algorithm is not supported, or the key is not valid for it") from None
    if not valid:
        raise ValueError("signature is not by the key in the request")


def _read_attributes(rest: list[Value]) -> dict[str, bytes]:
    """Return attribute type -> contents of its SET of values. `rest` is what follows the key, at most [0]."""
    found: dict[str, bytes] = {}
    for attribute in all_of(rest[0][1], der.SEQUENCE) if rest else ():
        match children(attribute):
            case [(der.OBJECT_IDENTIFIER, oid), (der.SET, values)]:
                found[dotted(oid)] = values
            case _:
                raise ValueError(f"{MALFORMED}: not an attribute")
        if len(found) > _MAX_ATTRIBUTES:
            raise ValueError(f"there are more than {_MAX_ATTRIBUTES} attributes")
    return found


def _requested_extensions(attributes: dict[str, bytes]) -> ParsedExtensions:
    values = attributes.get(oids.EXTENSION_REQUEST)
    return ParsedExtensions() if values is None else ParsedExtensions.parse(only(values, der.SEQUENCE))


def _challenge(attributes: dict[str, bytes]) -> str | None:
    match children(attributes.get(oids.CHALLENGE, b"")):
        case [(_, octets), *_]:
            return octets.decode("latin-1")
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """What a request of ours will ask for. `ask_for_ca` adds the basic constraints of a CA."""

    subject: DistinguishedName
    spki: bytes
    sans: SubjectAlternativeNames = NO_ALTERNATIVE_NAMES
    key_usages: frozenset[KeyUsage] = frozenset()
    ask_for_ca: bool = False
    path_length: int | None = None
    extra_extensions: tuple[Extension, ...] = ()


def build_request_tbs(spec: RequestSpec) -> bytes:
    """Return the DER CertificationRequestInfo; sign it and call `assemble_request`. Raises ValueError."""
    requested = b"".join(_requested(spec))
    attributes = b""
    if requested:
        values = der.tlv(der.SET, der.tlv(der.SEQUENCE, requested))
        attributes = der.sequence(der.oid(oids.EXTENSION_REQUEST), values)
    return der.sequence(der.integer(0), spec.subject.encode(), spec.spki, der.tlv(der.EXPLICIT_0, attributes))


def _requested(spec: RequestSpec) -> list[bytes]:
    """Return the extensions asked for, in Vault's order."""
    found = []
    if spec.sans:
        found.append(der.extension(oids.SUBJECT_ALT_NAME, spec.subject.encode() == b"\x30\x00", spec.sans.encode()))
    if spec.key_usages:
        found.append(extensions.key_usage(spec.key_usages).encode())
    if spec.ask_for_ca:
        found.append(extensions.basic_constraints(True, spec.path_length).encode())
    return found + [one.encode() for one in spec.extra_extensions]
