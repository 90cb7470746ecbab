"""Budgets of requests, one for each client: a token bucket that fills evenly. Time comes in as an argument."""

import math
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

_MOST_CLIENTS = 50_000
"""Clients remembered for one limit; beyond it those that have their whole budget go first, then the oldest."""


class Buckets:
    """The budgets under one limit. `take` costs about a microsecond."""

    __slots__ = ("_block", "_blocked", "_budgets", "_capacity", "_fill")

    def __init__(self, rate: float, interval: float, block_interval: float) -> None:
        self._capacity = max(1.0, rate)
        self._fill = rate / interval
        self._block = block_interval
        self._budgets: dict[str, tuple[float, float]] = {}
        self._blocked: dict[str, float] = {}

    def take(self, client: str, now: float) -> int:
        """Spend one request of a client. Returns 0, or the whole seconds after which it may try again."""
        until = self._blocked.get(client)
        if until is not None:
            if now < until:
                return math.ceil(until - now)
            del self._blocked[client]
            self._budgets.pop(client, None)
        left, since = self._budgets.get(client) or self._new(client, now)
        now = max(now, since)
        left = min(self._capacity, left + (now - since) * self._fill)
        if left >= 1.0:
            self._budgets[client] = (left - 1.0, now)
            return 0
        self._budgets[client] = (left, now)
        if self._block:
            self._blocked[client] = now + self._block
            return math.ceil(self._block)
        return max(1, math.ceil((1.0 - left) / self._fill))

    def _new(self, client: str, now: float) -> tuple[float, float]:
        if len(self._budgets) >= _MOST_CLIENTS:
            self._make_room(now)
        self._budgets[client] = (self._capacity, now)
        return self._capacity, now

    def _make_room(self, now: float) -> None:
        self._blocked = {client: until for client, until in self._blocked.items() if now < until}
        full_again = self._capacity / self._fill
        budgets = {
            client: (left, since)
            for client, (left, since) in self._budgets.items()
            if client in self._blocked or now - since < full_again
        }
        for client in list(budgets)[: max(0, len(budgets) - _MOST_CLIENTS // 2)]:
            del budgets[client]
        self._budgets = budgets
        if len(self._blocked) > _MOST_CLIENTS:
            self._blocked.clear()


@lru_cache(maxsize=4096)
def client_of(remote_address: str) -> str:
    """Return who counts as one client: an IPv4 address, or the /64 that one holder of IPv6 addresses has."""
    if ":" not in remote_address:
        return remote_address
    try:
        address = ip_address(remote_address)
    except ValueError:
        return remote_address
    if not isinstance(address, IPv6Address):
        return remote_address
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False).network_address)
