"""Subject alternative names (RFC 5280 4.2.1.6)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ca.x509 import der
from ca.x509.der_reader import MALFORMED, children, dotted, only
from ca.x509.names import encode_text

IPAddress = IPv4Address | IPv6Address

OTHER_NAME: Final = der.context(0)
EMAIL: Final = der.context(1, constructed=False)
DNS: Final = der.context(2, constructed=False)
URI: Final = der.context(6, constructed=False)
IP: Final = der.context(7, constructed=False)

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_MAX_NAME: Final = 2048


@dataclass(frozen=True, slots=True)
class SubjectAlternativeNames:
    """Names in their A-label (ASCII) form. `other_names` are pairs of a dotted type and a UTF-8 value."""

    dns: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    ips: tuple[IPAddress, ...] = ()
    uris: tuple[str, ...] = ()
    other_names: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.dns or self.ips or self.emails or self.uris or self.other_names)

    def encode(self) -> bytes:
        """Return the DER GeneralNames in Vault's order: other names, DNS, email, IP, URI.

        Raises ValueError that says which name cannot be encoded.
        """
        parts = [_other_name(oid, value) for oid, value in self.other_names]
        parts += [der.tlv(DNS, encode_ia5("dns name", name)) for name in self.dns]
        parts += [der.tlv(EMAIL, encode_ia5("email address", name)) for name in self.emails]
        parts += [der.tlv(IP, ip_octets(ip)) for ip in self.ips]
        parts += [der.tlv(URI, encode_ia5("uri", name)) for name in self.uris]
        return der.tlv(der.SEQUENCE, b"".join(parts))


def encode_ia5(kind: str, name: str) -> bytes:
    """Return the octets of a name that must be visible ASCII. Raises ValueError that names it."""
    if not _VISIBLE.fullmatch(name) or len(name) > _MAX_NAME:
        raise ValueError(
            f"{kind} {name[:80]!r} must be 1 to {_MAX_NAME} visible ASCII characters"
            " (write internationalised names as punycode)"
        )
    return name.encode("ascii")


def ip_octets(ip: IPAddress) -> bytes:
    """Return 4 or 16 octets; an IPv4 address that was written as an IPv6 one is an IPv4 address, as in Go."""
    if isinstance(ip, IPv6Address) and (mapped := ip.ipv4_mapped) is not None:
        return mapped.packed
    return ip.packed


def _other_name(oid: str, value: str) -> bytes:
    text = der.tlv(der.UTF8_STRING, encode_text("other name", value))
    return der.tlv(OTHER_NAME, der.oid(oid) + der.tlv(der.context(0), text))


_UNSUPPORTED: Final[Mapping[int, str]] = {
    der.context(3): "x400Address",
    der.context(4): "directoryName",
    der.context(5): "ediPartyName",
    der.context(8, constructed=False): "registeredID",
}


def parse_general_names(names: bytes) -> tuple[SubjectAlternativeNames, tuple[str, ...]]:
    """Read DER GeneralNames. The second value names the kinds found that SubjectAlternativeNames cannot express.

    Raises ValueError for malformed names.
    """
    texts: dict[int, list[str]] = {DNS: [], EMAIL: [], URI: []}
    ips: list[IPAddress] = []
    others: list[tuple[str, str]] = []
    unsupported: list[str] = []
    for tag, content in children(only(names, der.SEQUENCE)):
        if tag in texts:
            texts[tag].append(_decode_ia5(content))
        elif tag == IP:
            ips.append(_decode_ip(content))
        elif tag == OTHER_NAME:
            pair = _decode_other_name(content)
            others.append(pair) if pair else unsupported.append("otherName")
        else:
            unsupported.append(_UNSUPPORTED.get(tag, f"tag 0x{tag:02x}"))
    dns, emails, uris = map(tuple, texts.values())
    return SubjectAlternativeNames(dns, emails, tuple(ips), uris, tuple(others)), tuple(unsupported)


def _decode_ia5(content: bytes) -> str:
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError("an alternative name is not ASCII") from None
    if not text or len(text) > _MAX_NAME or "\x00" in text:
        raise ValueError("an alternative name is empty, too long or contains a zero octet")
    return text


def _decode_ip(content: bytes) -> IPAddress:
    makers: Mapping[int, Callable[[bytes], IPAddress]] = {4: IPv4Address, 16: IPv6Address}
    try:
        return makers[len(content)](content)
    except KeyError:
        raise ValueError("an alternative name of type IP address has neither 4 nor 16 octets") from None


def _decode_other_name(content: bytes) -> tuple[str, str] | None:
    """Return type and text, or None when the value is not a UTF8String."""
    match children(content):
        case [(der.OBJECT_IDENTIFIER, oid), (der.EXPLICIT_0, wrapped)]:
            pass
        case _:
            raise ValueError(f"{MALFORMED}: not an other name")
    match children(wrapped):
        case [(der.UTF8_STRING, octets)]:
            return dotted(oid), _decode_utf8(octets)
        case _:
            return None


def _decode_utf8(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise ValueError("an other name is not valid UTF-8") from None
