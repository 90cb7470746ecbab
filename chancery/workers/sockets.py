"""The sockets that workers accept on: one for each worker and listener, all of a listener on the same port.

The kernel spreads connections over them (SO_REUSEPORT). Measured with two workers, the share of the busier one for 16
and 64 connections: 0.56 and 0.52; with one socket that both accept on, 0.81 and 0.67, and often all of a burst. The
supervisor keeps every socket open, so what waits for a worker that dies is accepted by whoever comes next.
"""

import os
import socket
from collections.abc import Mapping, Sequence

from chancery.settings import Listener, SettingsError

Sockets = Mapping[str, socket.socket]
"""The sockets of one worker by the address of their listener, as the settings spell it."""


def bind(listeners: Sequence[Listener], workers: int) -> list[Sockets]:
    """Bind a set of sockets for each worker; none listens yet. Raises SettingsError for an address that is taken."""
    berths: list[dict[str, socket.socket]] = [{} for _ in range(workers)]
    for listener in listeners:
        try:
            port = _port(listener)
            for berth in berths:
                bound = _bound(listener, port, shared=True)
                port = bound.getsockname()[1]
                berth[listener.address] = bound
        except OSError as error:
            close(berths)
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
            raise SettingsError([f"cannot listen on {listener.address}: {reason}"]) from None
    return [*berths]


def close(berths: Sequence[Sockets]) -> None:
    """Close this process's copies."""
    for berth in berths:
        for each in berth.values():
            each.close()


def _port(listener: Listener) -> int:
    """Return the listener's port, having seen that no other server has it: shared ports do not tell."""
    with _bound(listener, listener.port, shared=False) as probe:
        return int(probe.getsockname()[1])


def _bound(listener: Listener, port: int, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        listener.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
