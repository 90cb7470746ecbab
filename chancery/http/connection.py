"""One client connection: aiohttp's, taught Vault's method LIST and Vault's shape of errors.

aiohttp's parser knows only registered methods and refuses LIST, which hvac sends. A request line that begins with it
is given to the parser as GET, and the parsed message gets its method back. Only a request line may be touched: octets
of a body that begin alike are counted by Content-Length, and a changed count would tear the next request apart.

A head that does not come in time ends the connection; aiohttp would wait for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from chancery.http.client_certificates import Presented, presented_by
from chancery.http.errors import failure
from chancery.kit.errors import BadInput

_LIST = b"LIST "

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """A connection of `VaultServer`."""

    __slots__ = ("_head_is_partial", "_head_timer", "_is_listing", "_payload", "presented")

    _head_is_partial: bool
    _head_timer: asyncio.TimerHandle | None
    _is_listing: bool
    _payload: StreamReader
    """Of the last request that was parsed; what comes belongs to it until it is complete."""
    presented: Presented
    """The client's certificates, looked at once: TLS does not change them within a connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._head_is_partial = self._is_listing = False
        self._payload = EMPTY_PAYLOAD
        self._head_timer = None
        self._await_head()
        self.presented = presented_by(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if data.startswith(_LIST) and self._awaits_request_line():
            self._is_listing = True
            data = b"GET " + data[len(_LIST) :]
        super().data_received(data)
        if not self._messages:
            self._head_is_partial = self._is_listing or (bool(data) and self._is_idle())
            if self._head_is_partial and self._head_timer is None:
                self._await_head()
            return
        self._head_is_partial = False
        self._payload = self._messages[-1][1]
        if self._head_timer is not None:
            self._head_came()
        if self._is_listing:
            self._is_listing = False
            message, payload = self._messages[0]
            if hasattr(message, "_replace"):  # not so when the rest of the head was malformed
                self._messages[0] = (message._replace(method="LIST"), payload)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on after a pause. Whoever reads a body asks for this each time, paused or not."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - the signature is aiohttp's
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or too large a head, in the shape of every other error."""
        if status >= 500 and isinstance(exc, Exception):
            rendered = failure(exc, "unknown")
        else:
            rendered = failure(
                BadInput(f"malformed HTTP request: {(message or 'unreadable').splitlines()[0][:200]}"), ""
            )
        response = web.Response(status=status, body=rendered.body, content_type="application/json")
        response.force_close()
        return response

    def _is_idle(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _awaits_request_line(self) -> bool:
        if self._head_is_partial or self._messages or not self._payload.is_eof():
            return False
        return self._is_idle() or self._current_request is None

    def _await_head(self) -> None:
        assert isinstance(self._manager, VaultServer)
        self._head_timer = self._loop.call_later(self._manager.head_timeout, self.force_close)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class VaultServer(web.Server):
    """aiohttp's low-level server with our connections."""

    def __init__(self, handler: Handler, *, head_timeout: float, **options: Any) -> None:
        """`head_timeout`: seconds in which a new connection, or one that began a request, must complete its head."""
        super().__init__(handler, **options)
        self.head_timeout = head_timeout

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)
