"""What the supervisor and a worker say to each other: small messages, some with a socket, over an inherited pair."""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import orjson

_LARGEST = 4096

_log = logging.getLogger(__name__)

Event = Literal["joined", "left", "ready", "announce", "hung"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One message.

    To workers: `joined` (with the socket to it), `left` and `ready` are about worker `index`; `announce` tells the
    first worker that everybody is ready. To the supervisor: `ready` is about the sender, `hung` about worker `index`.
    """

    event: Event
    index: int = 0
    generation: int = 0
    pid: int = 0


def send(end: socket.socket, notice: Notice, passed: socket.socket | None = None) -> bool:
    """Send a message; False when the other side is gone or does not read."""
    data = orjson.dumps(asdict(notice))
    try:
        if passed is None:
            end.send(data)
        else:
            socket.send_fds(end, [data], [passed.fileno()])
    except OSError:
        return False
    return True


def receive(end: socket.socket) -> tuple[Notice, socket.socket | None] | None:
    """Receive a message that is there; None when the other side is gone. Raises BlockingIOError."""
    try:
        data, descriptors, _, _ = socket.recv_fds(end, _LARGEST, 1)
    except ConnectionResetError:
        return None
    if not data:
        return None
    passed = socket.socket(fileno=descriptors[0]) if descriptors else None
    return Notice(**orjson.loads(data)), passed


class Control:
    """The worker's end, on its event loop."""

    def __init__(
        self, end: socket.socket, noticed: Callable[[Notice, socket.socket | None], None], lost: Callable[[], None]
    ) -> None:
        self._end, self._noticed, self._lost = end, noticed, lost
        asyncio.get_running_loop().add_reader(end.fileno(), self._readable)

    def send(self, notice: Notice) -> None:
        """Tell the supervisor something."""
        send(self._end, notice)

    def close(self) -> None:
        """Stop listening to the supervisor."""
        asyncio.get_running_loop().remove_reader(self._end.fileno())
        self._end.close()

    def _readable(self) -> None:
        while True:
            try:
                received = receive(self._end)
            except BlockingIOError:
                return
            if received is None:
                _log.error("the supervisor is gone; stopping")
                asyncio.get_running_loop().remove_reader(self._end.fileno())
                self._lost()
                return
            self._noticed(*received)
