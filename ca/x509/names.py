"""Distinguished names (RFC 5280 4.1.2.4): the attributes that Vault knows, in the order in which it writes them."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Self

from ca.x509 import der
from ca.x509.der_reader import MALFORMED, all_of, children, dotted, only


class AttributeType(NamedTuple):
    """What RFC 5280 appendix A.1 and X.520 say of one attribute."""

    oid: str
    limit: int
    printable_only: bool = False
    exact: bool = False


ATTRIBUTES: Final[Mapping[str, AttributeType]] = {
    "country": AttributeType("2.5.4.6", 2, printable_only=True, exact=True),
    "province": AttributeType("2.5.4.8", 128),
    "locality": AttributeType("2.5.4.7", 128),
    "street_address": AttributeType("2.5.4.9", 128),
    "postal_code": AttributeType("2.5.4.17", 40),
    "organization": AttributeType("2.5.4.10", 64),
    "organizational_unit": AttributeType("2.5.4.11", 64),
    "common_name": AttributeType("2.5.4.3", 64),
    "serial_number": AttributeType("2.5.4.5", 64, printable_only=True),
    "user_ids": AttributeType("0.9.2342.19200300.100.1.1", 256),
}
"""Field of DistinguishedName -> attribute, in the order of the encoding (that of OpenBao 2.7, checked against it)."""

_FIELDS: Final = {attribute.oid: field for field, attribute in ATTRIBUTES.items()}
_SHARED: Final = tuple(field for field in ATTRIBUTES if field not in {"common_name", "serial_number", "user_ids"})
_OIDS: Final = {field: der.oid(attribute.oid) for field, attribute in ATTRIBUTES.items()}
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")
_CACHED_NAME: Final = 512
"""Longer names, in octets, are read each time, so that strangers cannot fill the memory."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class DistinguishedName(NamedTuple):
    """A subject as Vault describes it. Values of one type share one RDN, except user ids, which have one each."""

    common_name: str = ""
    serial_number: str = ""
    organization: tuple[str, ...] = ()
    organizational_unit: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    locality: tuple[str, ...] = ()
    province: tuple[str, ...] = ()
    street_address: tuple[str, ...] = ()
    postal_code: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()

    def relative_names(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Yield (field, values) for each RDN, in the order of the encoding."""
        yield from ((field, values) for field in _SHARED if (values := getattr(self, field)))
        if self.common_name:
            yield "common_name", (self.common_name,)
        if self.serial_number:
            yield "serial_number", (self.serial_number,)
        yield from (("user_ids", (one,)) for one in self.user_ids)

    def encode(self) -> bytes:
        """Return the DER Name. Raises ValueError that names the field whose value X.509 cannot hold."""
        return _encoded(self) if not self.user_ids and len(self.common_name) <= _CACHED_NAME else self._encode()

    def _encode(self) -> bytes:
        parts = [_shared_rdn(field, values) for field in _SHARED if (values := getattr(self, field))]
        if self.common_name:
            parts.append(der.tlv(der.SET, _attribute("common_name", self.common_name)))
        if self.serial_number:
            parts.append(der.tlv(der.SET, _attribute("serial_number", self.serial_number)))
        if self.user_ids:
            parts.extend(der.tlv(der.SET, _attribute("user_ids", one)) for one in self.user_ids)
        return der.tlv(der.SEQUENCE, b"".join(parts))

    @classmethod
    def parse(cls, name: bytes) -> "DistinguishedName":
        """Read a DER Name. Attributes of other types are left out; of several common names the last one counts.

        Raises ValueError for malformed DER. Lengths are not judged here but when the name is encoded again.
        """
        return _parsed(name) if len(name) <= _CACHED_NAME else cls._parse(name)

    @classmethod
    def _parse(cls, name: bytes) -> Self:
        found: dict[str, list[str]] = {}
        for rdn in relative_distinguished_names(name):
            for oid, value in rdn:
                if field := _FIELDS.get(oid):
                    found.setdefault(field, []).append(value)
        return cls(
            common_name=found.pop("common_name", [""])[-1],
            serial_number=found.pop("serial_number", [""])[-1],
            **{field: tuple(values) for field, values in found.items()},
        )

    def __str__(self) -> str:
        return render(self.encode())


@lru_cache(maxsize=4096)
def _parsed(name: bytes) -> DistinguishedName:
    """Read a name that may well come again: certificates are renewed under the same subject."""
    return DistinguishedName._parse(name)  # noqa: SLF001 - of this module


@lru_cache(maxsize=4096)
def _encoded(name: DistinguishedName) -> bytes:
    """Write a name that may well be written again; other attributes than the common name come from the role."""
    return name._encode()  # noqa: SLF001 - of this module


def checked_value(field: str, value: str) -> str:
    """Return the value unchanged if the field may hold it, or raise ValueError that names the field."""
    attribute = ATTRIBUTES[field]
    if not value:
        raise ValueError(f"{field}: must not contain an empty value")
    if attribute.exact and (len(value) != attribute.limit or not value.isalpha()):
        raise ValueError(f"{field}: must be a code of {attribute.limit} letters such as US")
    if len(value) > attribute.limit:
        raise ValueError(f"{field}: must not be longer than {attribute.limit} characters")
    if _CONTROL.search(value):
        raise ValueError(f"{field}: must not contain control characters")
    if attribute.printable_only and not is_printable(value):
        raise ValueError(f"{field}: may contain only letters, digits, spaces and '()+,-./:=?")
    return value


def is_printable(value: str) -> bool:
    """Tell whether a PrintableString can hold the value (X.680 41.4)."""
    return _PRINTABLE.fullmatch(value) is not None


def _attribute(field: str, value: str) -> bytes:
    checked_value(field, value)
    if is_printable(value):
        text = der.tlv(der.PRINTABLE_STRING, value.encode("ascii"))
    else:
        text = der.tlv(der.UTF8_STRING, encode_text(field, value))
    return der.tlv(der.SEQUENCE, _OIDS[field] + text)


def encode_text(field: str, value: str) -> bytes:
    """Return the UTF-8 of a value that came from JSON, where half of a surrogate pair is possible."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{field}: is not valid Unicode") from None


@lru_cache(maxsize=4096)
def _shared_rdn(field: str, values: tuple[str, ...]) -> bytes:
    """Encode one RDN. Cached because a role's organisation, country and so on recur in all its certificates."""
    return der.tlv(der.SET, b"".join(sorted({_attribute(field, value) for value in values})))


_DECODERS: Final[Mapping[int, Callable[[bytes], str]]] = {
    der.UTF8_STRING: bytes.decode,
    der.PRINTABLE_STRING: lambda octets: octets.decode("ascii"),
    der.IA5_STRING: lambda octets: octets.decode("ascii"),
    0x12: lambda octets: octets.decode("ascii"),  # NumericString
    0x1A: lambda octets: octets.decode("ascii"),  # VisibleString
    0x14: lambda octets: octets.decode("latin-1"),  # TeletexString, which in practice is Latin-1
    0x1E: lambda octets: octets.decode("utf-16-be"),  # BMPString
    0x1C: lambda octets: octets.decode("utf-32-be"),  # UniversalString
}


def relative_distinguished_names(name: bytes) -> list[list[tuple[str, str]]]:
    """Read a DER Name into its RDNs, each a list of (dotted type, value). Raises ValueError."""
    rdns = all_of(only(name, der.SEQUENCE), der.SET)
    return [[_read_attribute(pair) for pair in all_of(rdn, der.SEQUENCE)] for rdn in rdns]


def _read_attribute(pair: bytes) -> tuple[str, str]:
    match children(pair):
        case [(der.OBJECT_IDENTIFIER, oid), (tag, octets)]:
            return dotted(oid), _decode_value(tag, octets)
        case _:
            raise ValueError(f"{MALFORMED}: not an attribute of a name")


def _decode_value(tag: int, octets: bytes) -> str:
    decode = _DECODERS.get(tag)
    try:
        return decode(octets) if decode else "#" + der.tlv(tag, octets).hex()
    except UnicodeDecodeError:
        raise ValueError("a name contains text that is not in the character set it claims") from None


_SHORT_NAMES: Final[Mapping[str, str]] = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.17": "postalCode",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_ESCAPED: Final = re.compile(r'[\\",+;<>\x00-\x1f\x7f]|^[ #]| $')


def render(name: bytes) -> str:
    """Return a DER Name as text of RFC 4514, most specific attribute first: `CN=a.example.com,O=Example,C=US`."""
    return ",".join(
        "+".join(f"{_SHORT_NAMES.get(oid, oid)}={_escape(value)}" for oid, value in rdn)
        for rdn in reversed(relative_distinguished_names(name))
    )


def _escape(value: str) -> str:
    return _ESCAPED.sub(lambda found: _escape_character(found[0]), value)


def _escape_character(character: str) -> str:
    return f"\\{ord(character):02x}" if character < " " or character == "\x7f" else "\\" + character
