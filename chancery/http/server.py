"""Listening sockets and the one handler behind them.

aiohttp's low-level server is used without its application, router and middlewares: every path is Vault's, the routing
is ours, and the hot path pays for nothing else.
"""

import asyncio
import itertools
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from aiohttp import web

from chancery.exchange import Message
from chancery.http.answer import WholeAnswer
from chancery.http.connection import Connection, VaultServer
from chancery.http.deadlines import Deadlines
from chancery.http.envelope import render
from chancery.http.errors import failure
from chancery.http.message import read_message
from chancery.http.tls import context_for, load_files
from chancery.kit.errors import NotFound
from chancery.kit.metrics import Unmetered
from chancery.kit.request import RawReply
from chancery.pipeline import Served
from chancery.settings import Limits, Listener, SettingsError
from chancery.telemetry.visits import Visits

_BACKLOG = 1024
_ABANDONED = 499
"""What is counted when the client left before there was an answer."""
_JSON_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_TLS_HEADERS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


Serve = Callable[[Message], Awaitable[Served]]


class HttpServer:
    """Serves messages over HTTP until closed."""

    def __init__(self, serve: Serve, limits: Limits, visits: Visits | None = None) -> None:
        """`visits` keeps the requests that are being served."""
        self._serve = serve
        self._visits = visits or Visits(Unmetered())
        self._limits = limits
        self._server = VaultServer(
            self._handle,
            access_log=None,
            head_timeout=float(limits.max_header_duration),
            keepalive_timeout=float(limits.keepalive_timeout),
            max_line_size=limits.max_header_size,
            max_field_size=limits.max_header_size,
        )
        self._ids = RequestIds()
        self._deadlines = Deadlines(float(limits.max_request_duration))
        self._sockets: dict[socket.socket | None, list[asyncio.Server]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def listen(self, listener: Listener, bound: socket.socket | None = None) -> int:
        """Open a listener, on a socket that is bound already if one is given, and return its port.

        Raises SettingsError when the address or the files are unusable.
        """
        context = self._contexts.get(listener.address) or context_for(listener)
        loop = asyncio.get_running_loop()
        try:
            if bound is not None:
                server = await loop.create_server(self._server, sock=bound.dup(), ssl=context, backlog=_BACKLOG)
            else:
                server = await loop.create_server(
                    self._server, listener.host, listener.port, ssl=context, backlog=_BACKLOG, reuse_address=True
                )
        except OSError as error:
            raise SettingsError([f"cannot listen on {listener.address}: {error.strerror or error}"]) from None
        self._sockets.setdefault(bound, []).append(server)
        if context is not None:
            self._contexts[listener.address] = context
        port: int = server.sockets[0].getsockname()[1]
        return port

    def release(self, bound: socket.socket) -> None:
        """Stop accepting on one socket; what came over it is served on."""
        for server in self._sockets.pop(bound, []):
            server.close()

    def reload_tls(self, listeners: Sequence[Listener]) -> None:
        """Load the TLS files of open listeners again. Raises SettingsError naming the listener at fault."""
        for listener in listeners:
            context = self._contexts.get(listener.address)
            if context is not None and not listener.tls_disable:
                load_files(context, listener)

    async def close(self) -> None:
        """Stop accepting, let running requests finish within the configured time, then close."""
        for server in [server for servers in self._sockets.values() for server in servers]:
            server.close()
        self._server.pre_shutdown()
        await self._server.shutdown(float(self._limits.shutdown_timeout))
        self._deadlines.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = self._ids.next()
        visit = self._visits.begin(request_id, request)
        status = _ABANDONED
        headers = {**_JSON_HEADERS, **_TLS_HEADERS} if request.secure else dict(_JSON_HEADERS)
        try:
            self._deadlines.begin(request.task)
            status, body = await self._answer(request, request_id, headers)
        except asyncio.CancelledError:
            status, body = _failed(self._deadlines.missed(request.task), request_id, headers)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happens, the client gets an answer
            status, body = _failed(error, request_id, headers)
        finally:
            self._deadlines.end(request.task)
            self._visits.end(visit, status)
        if not body:
            headers.pop("Content-Type", None)
        return cast(web.StreamResponse, WholeAnswer(status, body, headers))

    async def _answer(self, request: web.BaseRequest, request_id: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if not request.raw_path.startswith("/v1/"):
            raise NotFound("the API is served below /v1/")
        connection = request.protocol
        assert isinstance(connection, Connection), "VaultServer makes no others"
        message = await read_message(request, request_id, self._limits.max_request_size, connection.presented)
        served = await self._serve(message)
        status, body, content_type = render(served.answer, request_id, served.mount_type)
        if isinstance(served.answer, RawReply):
            headers.update(served.answer.headers)
        if content_type:
            headers["Content-Type"] = content_type
        return status, body


def _failed(error: Exception, request_id: str, headers: dict[str, str]) -> tuple[int, bytes]:
    rendered = failure(error, request_id)
    headers.update(rendered.headers)
    return rendered.status, rendered.body


class RequestIds:
    """Unique identifiers in the shape of a UUID: random for the process, counted within it."""

    def __init__(self) -> None:
        digits = os.urandom(10).hex()
        self._prefix = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-"
        self._count = itertools.count(1)

    def next(self) -> str:
        """Return the next identifier."""
        return f"{self._prefix}{next(self._count):012x}"
