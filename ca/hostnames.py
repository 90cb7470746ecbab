"""Names that people ask for: host names, wildcards and e-mail addresses, told apart and normalised. Pure.

Host names follow RFC 1123 letters, digits and hyphens; a wildcard stands in the leftmost label alone (RFC 6125).
Internationalised names become A-labels (RFC 5891) before anything is compared or certified.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import idna

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME: Final = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_CERTIFIABLE: Final = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)*{_LABEL}")
_WILDCARD_LABEL: Final = re.compile(r"\*|(?!xn--)[A-Za-z0-9-]*\*[A-Za-z0-9-]*", re.IGNORECASE)
_MAX_HOSTNAME: Final = 253

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class AskedName:
    """One name as it was asked for, with the parts that rules look at."""

    text: str
    domain: str
    """What must lie within an allowed domain, lower case: the host name, what follows the wildcard label, or what
    follows the `@`."""
    is_email: bool = False
    is_wildcard: bool = False
    is_hostname: bool = True
    """Whether `domain` is a host name and the rest is well formed."""

    @classmethod
    def parse(cls, text: str) -> "AskedName | None":
        """Read a name. None when no rule could ever allow it: two `@`, or a wildcard where none may be."""
        return _parsed(text) if len(text) <= _MAX_HOSTNAME else cls._parse(text)

    @classmethod
    def _parse(cls, text: str) -> Self | None:
        local, at, domain = text.rpartition("@")
        if at:
            if not local or "@" in local or "*" in domain:
                return None
            return cls(text, domain.lower(), is_email=True, is_hostname=is_hostname(domain))
        if "*" not in text:
            return cls(text, text.lower(), is_hostname=is_hostname(text))
        label, dot, rest = text.partition(".")
        if "*" in rest or not _WILDCARD_LABEL.fullmatch(label):
            return None
        well_formed = is_hostname(rest) if dot else True
        return cls(text, rest.lower(), is_wildcard=True, is_hostname=well_formed)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> AskedName | None:
    """Read a name; one request asks for the same several times, as common name and as alternative name."""
    return AskedName._parse(text)  # noqa: SLF001 - of this module


def is_hostname(text: str) -> bool:
    """Tell whether the text is a host name without wildcard, in ASCII or to be internationalised."""
    if text.isascii():
        return len(text) <= _MAX_HOSTNAME and _HOSTNAME.fullmatch(text) is not None
    return to_ascii(text) is not None


def certifiable(text: str) -> str | None:
    """Return the name as a dNSName holds it, in A-labels, or None when it is no host name or `*.` host name."""
    return _certifiable(text) if len(text) <= _MAX_HOSTNAME else None


@lru_cache(maxsize=4096)
def _certifiable(text: str) -> str | None:
    name = text if text.isascii() else to_ascii(text)
    if name is None or len(name) > _MAX_HOSTNAME or not _CERTIFIABLE.fullmatch(name):
        return None
    return name if ip_address(name) is None else None


@lru_cache(maxsize=4096)
def to_ascii(text: str) -> str | None:
    """Return an internationalised host name in A-labels, or None when it is none. A leading `*.` is kept."""
    star = "*." if text.startswith("*.") else ""
    try:
        return star + idna.encode(text.removeprefix("*."), uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError:
        return None


def ip_address(text: str) -> IpAddress | None:
    """Return the IP address that the text spells, or None. A zone (`%eth0`) is no part of an address."""
    if text[-1:].isalpha() and ":" not in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, ipaddress.IPv6Address) and address.scope_id else address
