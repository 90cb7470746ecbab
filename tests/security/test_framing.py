"""What a client sends is cut into requests at the right places, and no client can hold a connection for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world

HEALTH = b"GET /v1/sys/health HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, limits={"max_request_size": 1024, "max_header_duration": 1}) as running:
        yield running


@asynccontextmanager
async def _connected(world: HostWorld) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(world.address)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def _status(reader: asyncio.StreamReader) -> int:
    """Read one answer and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    await reader.readexactly(length)
    return int(head.split(b" ")[1])


@pytest.mark.parametrize("first", [b"", b"x" * 2000])
async def test_a_body_that_looks_like_a_listing_is_counted_as_it_came(world: HostWorld, first: bytes) -> None:
    """A refused body is read to its end; one octet less of it would be taken from the next request."""
    rest = b"LIST " + b"y" * 2000
    head = f"POST /v1/sys/mounts/x HTTP/1.1\r\nHost: h\r\nX-Vault-Token: {ROOT_TOKEN}\r\n"
    async with _connected(world) as (reader, writer):
        writer.write(f"{head}Content-Length: {len(first) + len(rest)}\r\n\r\n".encode())
        assert await _status(reader) == 413
        for piece in filter(None, (first, rest, HEALTH)):
            writer.write(piece)
            await writer.drain()
            await _settled(world)
        assert await _status(reader) == 200


async def test_listings_follow_other_requests_on_one_connection(world: HostWorld) -> None:
    listing = f"LIST /v1/sys/policies/acl HTTP/1.1\r\nHost: h\r\nX-Vault-Token: {ROOT_TOKEN}\r\n\r\n".encode()
    policy = b'{"policy": "LIST "}'
    head = f"POST /v1/sys/policies/acl/p HTTP/1.1\r\nHost: h\r\nX-Vault-Token: {ROOT_TOKEN}\r\n"
    writing = f"{head}Content-Length: {len(policy)}\r\n\r\n".encode() + policy
    async with _connected(world) as (reader, writer):
        for request, status in ((listing, 200), (HEALTH, 200), (listing, 200), (writing, 400), (listing, 200)):
            writer.write(request)
            assert await _status(reader) == status


async def test_heads_that_do_not_come_end_their_connections_and_no_others(world: HostWorld) -> None:
    begun = [b"", b"GET /v1/sys/he", b"LIST /v1/sys/policies/acl HTTP/1.1\r\nHost: "]
    async with _connected(world) as (reader, writer):
        writer.write(HEALTH)
        assert await _status(reader) == 200
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for octets in begun:
                group.create_task(_given_up(world, b"", octets))
                group.create_task(_given_up(world, HEALTH, octets or HEALTH[:20]))
        writer.write(HEALTH)
        assert await _status(reader) == 200, "a connection between two requests is left alone"


async def _given_up(world: HostWorld, served: bytes, begun: bytes) -> None:
    async with _connected(world) as (reader, writer):
        if served:
            writer.write(served)
            assert await _status(reader) == 200
        writer.write(begun)
        assert await reader.read() == b""


async def _settled(world: HostWorld) -> None:
    """Wait until the server has had its turn with what was sent: another connection has been served."""
    for _ in range(3):
        assert (await world.call("GET", "sys/health", token=""))[0] == 200
