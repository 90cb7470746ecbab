"""An HTTP(S) server inside the test's own loop: what identity providers, API servers and responders are played on."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from chancery.kit.networks import parse_cidr
from chancery.outgoing import OutgoingDoor
from chancery.outgoing_rules import AddressPolicy, OutgoingRules, PlainHttp

Handler = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]

LOOPBACK = AddressPolicy(allow=(parse_cidr("127.0.0.0/8"), parse_cidr("::1")))


@dataclass
class Peer:
    """A running server that counts what it is asked."""

    handler: Handler
    port: int = 0
    paths: list[str] = field(default_factory=list)
    is_secure: bool = True

    @property
    def url(self) -> str:
        """Return the address with its scheme."""
        return f"{'https' if self.is_secure else 'http'}://127.0.0.1:{self.port}"


@asynccontextmanager
async def peer(handler: Handler, context: ssl.SSLContext | None) -> AsyncIterator[Peer]:
    """Serve on a free port of 127.0.0.1; plain HTTP without a context."""
    running = Peer(handler, is_secure=context is not None)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        running.paths.append(request.raw_path)
        return await running.handler(request, await request.read())

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    running.port = runner.addresses[0][1]
    try:
        yield running
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_door(
    addresses: AddressPolicy = LOOPBACK, plain_http: PlainHttp = PlainHttp.NEVER, seconds: float = 5.0
) -> AsyncIterator[OutgoingDoor]:
    """Open the product's own door to the network; loopback is allowed unless a test says otherwise."""
    door = OutgoingDoor(OutgoingRules(addresses, plain_http, seconds))
    try:
        yield door
    finally:
        await door.close()
