"""The connection between two workers: questions and answers, in frames, over an inherited socket pair.

Such a pair has no name that anybody else could connect to. Who holds the other end is verified all the same: the
kernel says which process sent the first byte, and that must be the one the supervisor announced.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import cast

from chancery.kit.errors import ChanceryError, Unavailable

_HEADER = struct.Struct(">IBBI")
"""Length of the body, kind, topic, number of the question."""
_ASK, _ANSWER, _FAILURE = range(3)
_CREDENTIALS = struct.Struct("3i")
_HELLO = b"\x01"
HELLO_DEADLINE = 5.0


class Topic(IntEnum):
    """What workers ask each other."""

    ROOT_KEY = 1
    """The root key, if the asked one is unsealed; otherwise nothing."""
    INITIALIZED = 2
    """Learn that the server was initialized."""
    UNSEAL = 3
    """Unseal with this root key."""
    SEAL = 4
    SERVE = 5
    """Serve this request, which only one worker may serve."""
    IN_FLIGHT = 6
    """The requests that are being served."""
    SAMPLE = 7
    """Bring those metrics up to date that are not kept so."""


Answering = Callable[[Topic, bytes], Awaitable[bytes]]


class SiblingGone(Exception):
    """The other worker ended before it answered."""


class Link(asyncio.Protocol):
    """One end."""

    def __init__(self, answering: Answering, gone: Callable[[], None]) -> None:
        self._answering, self._gone = answering, gone
        self._received = bytearray()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._count = 0
        self._transport: asyncio.Transport | None = None
        self._working: set[asyncio.Task[None]] = set()

    @classmethod
    async def over(cls, end: socket.socket, pid: int, answering: Answering, gone: Callable[[], None]) -> "Link":
        """Verify that process `pid` holds the other end, and begin. Raises SiblingGone when it does not."""
        loop = asyncio.get_running_loop()
        try:
            await verify(end, pid)
            link = cls(answering, gone)
            await loop.create_unix_connection(lambda: link, sock=end)
        except (OSError, TimeoutError) as error:
            end.close()
            raise SiblingGone(f"worker process {pid} cannot be reached: {error}") from error
        return link

    async def ask(self, topic: Topic, body: bytes, deadline: float) -> bytes:
        """Ask and wait for the answer. Raises SiblingGone, TimeoutError, and Unavailable with the other's words."""
        if self._transport is None or self._transport.is_closing():
            raise SiblingGone("the connection to the worker is closed")
        self._count = (self._count + 1) & 0xFFFFFFFF
        number = self._count
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._transport.write(_HEADER.pack(len(body), _ASK, topic, number) + body)
        try:
            async with asyncio.timeout(deadline):
                return await answer
        finally:
            del self._asked[number]

    def close(self) -> None:
        """Close this end."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no class of asyncio

    def data_received(self, data: bytes) -> None:
        """Take frames out of what came."""
        received = self._received
        received += data
        while len(received) >= _HEADER.size:
            length, kind, topic, number = _HEADER.unpack_from(received)
            end = _HEADER.size + length
            if len(received) < end:
                return
            body = bytes(received[_HEADER.size : end])
            received[:end] = bytes(end)  # what passed here may have been a key
            del received[:end]
            self._take(kind, topic, number, body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """Tell everybody who waits."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(SiblingGone("the worker ended"))
        self._gone()

    def _take(self, kind: int, topic: int, number: int, body: bytes) -> None:
        if kind == _ASK:
            task = asyncio.ensure_future(self._answer(topic, number, body))
            self._working.add(task)
            task.add_done_callback(self._working.discard)
            return
        answer = self._asked.get(number)
        if answer is None or answer.done():
            return
        if kind == _ANSWER:
            answer.set_result(body)
        else:
            answer.set_exception(Unavailable(body.decode(), retry_after=1))

    async def _answer(self, topic: int, number: int, body: bytes) -> None:
        kind = _ANSWER
        try:
            answer = await self._answering(Topic(topic), body)
        except ChanceryError as error:
            kind, answer = _FAILURE, error.message.encode()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_HEADER.pack(len(answer), kind, topic, number) + answer)


def pair() -> tuple[socket.socket, socket.socket]:
    """Make both ends of a link, ready to be inherited or sent to a worker."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ends


async def verify(end: socket.socket, pid: int) -> None:
    """Exchange a byte and see who sent it. Raises OSError for another process or user, TimeoutError for silence."""
    loop = asyncio.get_running_loop()
    end.send(_HELLO)
    readable = loop.create_future()
    loop.add_reader(end.fileno(), _resolve, readable)
    try:
        async with asyncio.timeout(HELLO_DEADLINE):
            await readable
    finally:
        loop.remove_reader(end.fileno())
    hello, ancillary, _, _ = end.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
    senders = [
        _CREDENTIALS.unpack(data)
        for level, kind, data in ancillary
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS
    ]
    if hello != _HELLO or [sender[:2] for sender in senders] != [(pid, os.getuid())]:
        raise PermissionError("another process than the announced one holds the other end")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
