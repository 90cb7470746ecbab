"""Networks that a token, a secret or a login may be used from: CIDR notation in, Vault's rendering out. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


@lru_cache(maxsize=1024)
def parse_cidr(text: str) -> Network:
    """Read an address or a network in CIDR notation. Raises ValueError."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f'"{text}" is neither an IP address nor a network such as 10.0.0.0/8') from None


def format_cidr(network: Network) -> str:
    """Write a network as Vault does: a single address has no mask."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def canonical_cidrs(texts: Iterable[str]) -> tuple[str, ...]:
    """Write every network as Vault does. Raises ValueError for the first that is none."""
    return tuple(format_cidr(parse_cidr(text)) for text in texts)


def is_within(remote_address: str, cidrs: Sequence[str]) -> bool:
    """Tell whether an address lies in any of the networks. Without networks: always."""
    if not cidrs:
        return True
    try:
        address: IPv4Address | IPv6Address = ip_address(remote_address)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in parse_cidr(cidr) for cidr in cidrs)


def are_subnets(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Tell whether each network lies within one of others. No outer networks limit nothing."""
    return not outer or all(any(_holds(parse_cidr(wide), parse_cidr(narrow)) for wide in outer) for narrow in inner)


def _holds(wide: Network, narrow: Network) -> bool:
    if isinstance(wide, IPv4Network):
        return isinstance(narrow, IPv4Network) and narrow.subnet_of(wide)
    return isinstance(narrow, IPv6Network) and narrow.subnet_of(wide)
