"""A wire between a database and its clients that can be cut at the worst moment: after the server did it, unheard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on, both ways. Not for TLS."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.cuts = 0
        """How many connections were cut on a trigger."""
        self._trigger = b""
        self._before = False
        self._open: set[asyncio.StreamWriter] = set()

    def cut_after(self, trigger: bytes) -> None:
        """Cut the next connection whose client sends this: the server gets it, its answer goes nowhere."""
        self._trigger, self._before = trigger, False

    def cut_before(self, trigger: bytes) -> None:
        """Cut the next connection whose client sends this: the server does not get it."""
        self._trigger, self._before = trigger, True

    def cut_all(self) -> None:
        """Cut every connection now."""
        for writer in self._open:
            writer.close()

    async def accept(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Serve one client."""
        try:
            server, requests = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            answers.close()
            return
        self._open |= {requests, answers}
        back = asyncio.create_task(_pass_on(server, answers))
        try:
            with suppress(OSError):
                while data := await client.read(65536):
                    if self._trigger and self._trigger in data:
                        self._trigger = b""
                        self.cuts += 1
                        if not self._before:
                            back.cancel()
                            requests.write(data)
                            await requests.drain()
                            await server.read(65536)  # done: the server has answered
                        break
                    requests.write(data)
                    await requests.drain()
        finally:
            back.cancel()
            await asyncio.wait([back])
            for writer in (requests, answers):
                writer.close()
                self._open.discard(writer)


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Listen on a free port of the loopback interface."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut_all()
        await server.wait_closed()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
