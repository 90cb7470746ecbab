"""An answer whose octets are all known, written to the socket in one piece.

aiohttp's Response prepares headers, a writer and a body in steps that serve streaming, compression and cookies. Nothing
here needs them, and they cost a tenth of a request. What aiohttp's connection asks of a response is kept: `prepare`,
`write_eof`, `keep_alive`.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from time import time
from wsgiref.handlers import format_date_time

from aiohttp import web


class WholeAnswer:
    """Status, headers and body of one answer."""

    __slots__ = ("_body", "_headers", "_status", "keep_alive")

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._status, self._body, self._headers = status, body, headers
        self.keep_alive = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write everything. Raises ConnectionResetError when the client is gone."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client closed the connection")
        self.keep_alive = request.keep_alive
        head = self._head(request)
        transport.write(head if request.method == "HEAD" else head + self._body)
        await request._payload_writer.drain()  # noqa: SLF001 - aiohttp's flow control has no other door

    async def write_eof(self) -> None:
        """Nothing is left to write."""

    def _head(self, request: web.BaseRequest) -> bytes:
        lines = [_status_line(self._status), *_lines(self._headers), "Date: ", _date(int(time())), "\r\n"]
        if self._body or self._status != 204:
            lines.append(f"Content-Length: {len(self._body)}\r\n")
        if not self.keep_alive:
            lines.append("Connection: close\r\n")
        elif request.version < (1, 1):
            lines.append("Connection: keep-alive\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")


def _lines(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"the header {name} would contain a line break or another control character")
        yield f"{name}: {value}\r\n"


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return format_date_time(second)
