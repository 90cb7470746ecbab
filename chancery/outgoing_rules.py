"""Which requests the server may send at all: the operator's rules about addresses and plain HTTP. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from chancery.kit.networks import Network, parse_cidr

METADATA_NETWORKS: Final = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")
"""Where clouds keep their instances' credentials; denied unless the operator's own list says otherwise."""

Address = IPv4Address | IPv6Address


class PlainHttp(StrEnum):
    """When a request may go over plain HTTP."""

    NEVER = "never"
    SIGNED = "signed"
    """Where the answer is itself signed: OCSP and CRLs."""
    LOOPBACK = "loopback"
    """As `signed`, and to this machine itself."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses may be connected to. Global ones are open; others only if allowed; what is denied stays so."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = tuple(parse_cidr(text) for text in METADATA_NETWORKS)

    @classmethod
    def of(cls, allow: Sequence[str], deny: Sequence[str]) -> "AddressPolicy":
        """Read networks in CIDR notation. Raises ValueError."""
        return cls(tuple(map(parse_cidr, allow)), tuple(map(parse_cidr, deny)))

    def permits(self, address: Address) -> bool:
        """Tell whether a connection may be made. IPv4 within IPv6 is judged as IPv4, and as what it is written in."""
        spellings = [address, *_embedded(address)]
        if any(spelling in network for spelling in spellings for network in self.deny):
            return False
        return all(
            (spelling.is_global and not spelling.is_multicast) or any(spelling in network for network in self.allow)
            for spelling in (spellings[1:] or spellings)
        )


def _embedded(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo and NAT64."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address] = [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
    if address.teredo is not None:
        found.extend(address.teredo)
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found


_NAT64 = parse_cidr("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class OutgoingRules:
    """The operator's settings."""

    addresses: AddressPolicy = AddressPolicy()
    plain_http: PlainHttp = PlainHttp.NEVER
    timeout: float = 10.0
    """Seconds for one request with everything that belongs to it."""
