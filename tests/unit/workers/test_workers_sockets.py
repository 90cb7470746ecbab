"""Binding for several workers: one port, and no port that another server has."""

import socket

import pytest

from chancery.settings import Listener, SettingsError
from chancery.workers.sockets import bind, close


def _listener(address: str) -> Listener:
    return Listener(address=address, tls_disable=True)


def test_every_worker_has_a_socket_of_its_own_on_one_port() -> None:
    berths = bind([_listener("127.0.0.1:0"), _listener("[::1]:0")], 3)
    assert len(berths) == 3
    for address in ("127.0.0.1:0", "[::1]:0"):
        ports = {berth[address].getsockname()[1] for berth in berths}
        assert len(ports) == 1
        assert ports != {0}
    close(berths)


def test_a_taken_port_is_named_even_when_it_is_shared() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(SettingsError, match=f"cannot listen on {address}: Address already in use"):
            bind([_listener("127.0.0.1:0"), _listener(address)], 2)


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 192\.0\.2\.1:8200"):
        bind([_listener("192.0.2.1:8200")], 2)
