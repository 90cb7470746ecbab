"""A listener on a thread that answers each connection with prepared bytes: HTTP, half of it, or nothing at all."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

TLS_HANDSHAKE = 22
"""First byte of what a TLS client sends."""


@dataclass
class Listener:
    """Where it listens, and what it was sent."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)


def reply(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Return an HTTP answer; header names have underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@contextmanager
def listening(
    *replies: bytes | None, context: ssl.SSLContext | None = None, path: str | None = None
) -> Iterator[Listener]:
    """Listen on loopback, or on a Unix socket's path. Each connection gets the next reply; None keeps it waiting."""
    family = socket.AF_UNIX if path else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(path or ("127.0.0.1", 0))
        server.listen()
        listener = Listener(0 if path else server.getsockname()[1])
        if context is not None:
            context.sni_callback = _remember(listener)
        done = threading.Event()
        thread = threading.Thread(target=_serve, args=(server, listener, replies, context, done), daemon=True)
        thread.start()
        yield listener
        done.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _remember(listener: Listener) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    def remember(_tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        listener.server_names.append(name)

    return remember


def _serve(
    server: socket.socket,
    listener: Listener,
    replies: tuple[bytes | None, ...],
    context: ssl.SSLContext | None,
    done: threading.Event,
) -> None:
    for prepared in replies:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with suppress(OSError), connection:
            stream = context.wrap_socket(connection, server_side=True) if context else connection
            listener.requests.append(_read_request(stream))
            if prepared is None:
                done.wait(5)
            else:
                stream.sendall(prepared)
            if context:
                stream.close()
    server.close()  # whoever connects now is refused instead of waiting for ever


def _read_request(stream: socket.socket) -> bytes:
    """Return the head of a request and as much of a body as it announces."""
    request = b""
    while b"\r\n\r\n" not in request:
        received = stream.recv(65536)
        request += received
        if not received or request[0] == TLS_HANDSHAKE:
            return request
    head, _, body = request.partition(b"\r\n\r\n")
    announced = re.search(rb"(?i)content-length: (\d+)", head)
    while announced and len(body) < int(announced[1]):
        body += stream.recv(65536)
    return head + b"\r\n\r\n" + body
