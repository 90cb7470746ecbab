"""What reaches the edge: malformed, oversized, unknown, unauthorised. Always Vault's error shape, never a traceback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, limits={"max_request_size": 4096}) as running:
        yield running


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{bad", "failed to decode JSON input"),
        (b"[1, 2]", "expected an object"),
        (b'"text"', "expected an object"),
        (b"\xff\xfe", "failed to decode JSON input"),
        (b'{"a":' * 700, "failed to decode JSON input"),
    ],
)
async def test_malformed_bodies(world: HostWorld, body: bytes, message: str) -> None:
    status, answer = await world.call("POST", "sys/policies/acl/x", data=body)
    assert status == 400
    assert message in answer["errors"][0]


async def test_oversized_bodies_with_and_without_a_length(world: HostWorld) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    for body in (b"x" * 5000, pieces()):
        status, answer = await world.call("POST", "sys/policies/acl/x", data=body)
        assert status == 413
        assert "max_request_size" in answer["errors"][0]


async def test_an_oversized_claim_is_refused_before_it_is_sent(world: HostWorld) -> None:
    host, port = world.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/sys/mounts/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{")
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b" 413 " in head


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"type": "pki", "config": {"max_lease_ttl": "soon"}}, ["max_lease_ttl"]),
        ({"type": "pki", "local": "perhaps", "options": "x"}, ["local", "options"]),
        ({"type": "nope"}, ["nope"]),
        ({}, ["type"]),
        ({"type": "pki", "config": 5}, ["config"]),
    ],
)
async def test_every_wrong_field_is_named(world: HostWorld, body: dict[str, Any], fields: list[str]) -> None:
    status, answer = await world.call("POST", "sys/mounts/x", body)
    assert status == 400
    for field in fields:
        assert any(field in line for line in answer["errors"])
    assert (await world.call("GET", "sys/mounts/x"))[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nope", 404),
        ("GET", "sys/nope", 404),
        ("GET", "pki/ca", 404),
        ("POST", "sys/health", 405),
        ("PATCH", "sys/mounts/x", 415),
        ("OPTIONS", "sys/health", 405),
        ("TRACE", "sys/health", 405),
        ("GET", "sys/%2e%2e/health", 400),
        ("GET", "sys/he%00alth", 400),
        ("LIST", "sys/policies/acl", 200),
        ("GET", "sys/policies/acl?list=true", 200),
        ("DELETE", "sys/mounts/none", 204),
    ],
)
async def test_statuses(world: HostWorld, method: str, path: str, status: int) -> None:
    async with world.client.request(
        method, URL(f"{world.address}/v1/{path}", encoded=True), headers={"X-Vault-Token": ROOT_TOKEN}
    ) as found:
        assert found.status == status
        if status >= 400:
            assert list(await found.json()) == ["errors"]


async def test_paths_outside_the_api(world: HostWorld) -> None:
    for path in ("", "ui", "v2/sys/health", "v1", "favicon.ico"):
        async with world.client.get(f"{world.address}/{path}") as answer:
            assert answer.status == 404


async def test_without_a_valid_token_everything_is_denied_alike(world: HostWorld) -> None:
    for token in ("", "wrong", "x" * 3000, "hvs." + "a" * 32, "hvb.AAAA"):
        for path in ("sys/mounts", "sys/nope", "nope", "auth/token/lookup-self"):
            status, answer = await world.call("GET", path, token=token)
            assert (status, answer) == (403, {"errors": ["permission denied"]})


@pytest.mark.parametrize(
    "path", ["sys/mounts", "sys/mounts/", "sys//mounts", "/sys/mounts", "sys/%6dounts", "sys%2Fmounts"]
)
async def test_no_other_spelling_of_a_path_escapes_a_policy(world: HostWorld, path: str) -> None:
    policy = 'path "sys/*" { capabilities = ["read"] }\npath "sys/mounts" { capabilities = ["deny"] }'
    await world.call("PUT", "sys/policies/acl/p", {"policy": policy})
    _, created = await world.call("POST", "auth/token/create", {"policies": ["p"]})
    headers = {"X-Vault-Token": created["auth"]["client_token"]}
    async with world.client.get(URL(f"{world.address}/v1/{path}", encoded=True), headers=headers) as answer:
        assert answer.status in {400, 403}


async def test_the_token_may_come_as_bearer(world: HostWorld) -> None:
    status, _ = await world.call("GET", "sys/mounts", token="", headers={"Authorization": f"Bearer {ROOT_TOKEN}"})
    assert status == 200


async def test_head_has_the_status_and_no_body(world: HostWorld) -> None:
    async with world.client.head(f"{world.address}/v1/sys/health") as answer:
        assert answer.status == 200
        assert await answer.read() == b""


async def test_unknown_fields_are_warned_of(world: HostWorld) -> None:
    status, answer = await world.call("POST", "auth/token/create", {"polcies": ["x"], "ttl": "1h"})
    assert status == 200
    assert any("polcies" in warning for warning in answer["warnings"])


async def test_sealed_servers_answer_only_what_they_can(world: HostWorld) -> None:
    assert (await world.call("PUT", "sys/seal"))[0] == 204
    for method, path in (("GET", "sys/mounts"), ("GET", "pki/ca"), ("POST", "auth/token/create"), ("GET", "nope")):
        status, answer = await world.call(method, path)
        assert (status, answer) == (503, {"errors": ["Vault is sealed"]})
    status, health = await world.call("GET", "sys/health")
    assert (status, health["sealed"]) == (503, True)
    assert (await world.call("GET", "sys/health?sealedcode=299"))[0] == 299
    status, answer = await world.call("POST", "sys/unseal", {"key": "no key"})
    assert status == 400
    status, answer = await world.call("POST", "sys/unseal", {"key": world.unseal_key.hex()})
    assert (status, answer["sealed"]) == (200, False)
    assert (await world.call("GET", "sys/mounts"))[0] == 200


async def test_a_client_that_stalls_gets_an_answer_in_time(tmp_path: Path) -> None:
    async with host_world(tmp_path, limits={"max_request_duration": 1}) as world:
        host, port = world.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/sys/mounts/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.close()
        await writer.wait_closed()
        assert b" 503 " in head
        assert b"Retry-After" in head


async def test_list_is_a_method_wherever_the_bytes_are_cut(world: HostWorld) -> None:
    host, port = world.address.removeprefix("http://").split(":")
    request = (
        f"LIST /v1/sys/policies/acl HTTP/1.1\r\nHost: x\r\nX-Note: LIST\r\nX-Vault-Token: {ROOT_TOKEN}\r\n\r\n".encode()
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    for cut in (5, 20, request.index(b"LIST\r\n"), len(request) - 2, len(request)):
        writer.write(request[:cut])
        await writer.drain()
        await asyncio.sleep(0.01)  # lets the first piece arrive alone
        writer.write(request[cut:])
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert b" 200 " in head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert b'"default"' in await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_begins_with_the_word_is_left_alone(world: HostWorld) -> None:
    host, port = world.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /v1/sys/mounts/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {ROOT_TOKEN}\r\n".encode()
        + b"Content-Length: 9\r\n\r\n"
    )
    await writer.drain()
    await asyncio.sleep(0.01)  # lets the head arrive alone
    writer.write(b"LIST /v1/")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    assert b" 400 " in head
    assert b"failed to decode JSON input" in body


async def test_garbage_on_the_socket_harms_nobody(world: HostWorld) -> None:
    host, port = world.address.removeprefix("http://").split(":")
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"A" * 100_000, b"GET / HTTP/9.9\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        if writer.can_write_eof():
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert b"Traceback" not in answer
    assert (await world.call("GET", "sys/health"))[0] == 200


@pytest.mark.parametrize(
    ("version", "headers", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
async def test_connections_live_as_long_as_the_client_wants(
    world: HostWorld, version: str, headers: str, kept: bool
) -> None:
    host, port = world.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = f"GET /v1/sys/health HTTP/{version}\r\nHost: x\r\n{headers}\r\n".encode()
    writer.write(request)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    if kept:
        assert b"connection: close" not in head
        writer.write(request)
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    else:
        assert b"connection: close" in head
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_requests_may_follow_each_other_without_waiting(world: HostWorld) -> None:
    host, port = world.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    for _ in range(5):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        assert b" 200 " in head
    writer.close()
