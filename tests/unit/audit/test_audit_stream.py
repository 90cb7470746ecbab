"""Socket and syslog devices against real sockets."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chancery.audit.chain import read_line
from chancery.audit.devices import stream
from chancery.audit.devices.stream import SOCKET, SYSLOG
from chancery.audit.permits import ListedPermits
from chancery.audit.verify import Verifier
from chancery.kit.errors import BadInput
from tests.support.audit_devices import context, record


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


def address_of(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def received(server: socket.socket, count: int, *, reset: bool = False) -> list[bytes]:
    """Accept a connection and read lines; `reset` breaks it off, so that the next line cannot be sent."""
    connection, _ = server.accept()
    connection.settimeout(5)
    with connection, connection.makefile("rb") as stream:
        lines = [next(stream) for _ in range(count)]
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return lines


def test_lines_over_tcp_are_a_chain(tcp: socket.socket) -> None:
    device = SOCKET.open(context({"address": address_of(tcp)}, prefix=b"> "))
    device.write([record("a")])
    device.write([record("b")])
    lines = received(tcp, 3)
    verifier = Verifier()
    verifier.read("tcp", lines)
    assert verifier.finish() == []
    assert all(line.startswith(b"> {") for line in lines)
    device.close()


def test_a_lost_connection_is_made_anew(tcp: socket.socket) -> None:
    device = SOCKET.open(context({"address": address_of(tcp)}))
    device.write([record("a")])
    assert len(received(tcp, 2, reset=True)) == 2
    device.write([record("b")])
    device.write([record("c")])
    lines = received(tcp, 1)
    line = read_line(lines[0])
    assert line is not None
    assert line.document["request"]["id"] in {"b", "c"}
    device.close()


def test_nobody_listens(tcp: socket.socket) -> None:
    device = SOCKET.open(context({"address": address_of(tcp), "write_timeout": "1s"}))
    tcp.close()
    with pytest.raises(ConnectionRefusedError):
        device.write([])


def test_a_collector_that_does_not_read_runs_into_the_timeout(tcp: socket.socket) -> None:
    device = SOCKET.open(context({"address": address_of(tcp), "write_timeout": "1"}))
    with pytest.raises(TimeoutError):
        device.write([record("x" * 30_000_000)])


def test_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        device = SOCKET.open(context({"address": address_of(server), "socket_type": "udp"}))
        device.write([record("a")])
        lines = [server.recv(65536) for _ in range(2)]
        assert b'"begin"' in lines[0]
        assert b'"a"' in lines[1]
        with pytest.raises(OSError, match="too long"):
            device.write([record("x" * 100_000)])
        device.close()


def test_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        device = SOCKET.open(context({"address": str(tmp_path / "s"), "socket_type": "unix"}))
        device.write([record("a")])
        assert len(received(server, 2)) == 2
        device.close()


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(5)
        monkeypatch.setattr(stream, "_LOCAL_LOGS", (str(tmp_path / "none"), str(tmp_path / "log")))
        yield server


def test_syslog(daemon: socket.socket) -> None:
    device = SYSLOG.open(context({"facility": "local3", "tag": "ca-1"}))
    device.write([record("a")])
    lines = [daemon.recv(65536) for _ in range(2)]
    assert re.fullmatch(rb"<158>Mar  1 12:00:00 ca-1\[\d+\]: \{.*\}", lines[1])
    verifier = Verifier()
    verifier.read("syslog", lines)
    assert verifier.finish() == []
    device.close()


def test_no_syslog_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stream, "_LOCAL_LOGS", (str(tmp_path / "none"),))
    with pytest.raises(OSError, match="no syslog daemon"):
        SYSLOG.open(context()).write([])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "address is required"),
        ({"address": "localhost"}, "HOST:PORT"),
        ({"address": "localhost:x"}, "HOST:PORT"),
        ({"address": "localhost:1", "socket_type": "sctp"}, "socket_type"),
        ({"address": "localhost:1", "write_timeout": "0"}, "write_timeout"),
    ],
)
def test_wrong_socket_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SOCKET.open(context(options))


def test_unlisted_addresses_are_refused() -> None:
    with pytest.raises(BadInput, match=r"audit\.addresses lists logs:514"):
        SOCKET.open(context({"address": "127.0.0.1:80"}, permits=ListedPermits([], ["logs:514"])))


@pytest.mark.parametrize("options", [{"facility": "LOCAL9"}, {"tag": "a b"}, {"tag": ""}, {"tag": "x" * 33}])
def test_wrong_syslog_options(options: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=next(iter(options))):
        SYSLOG.open(context(options))
