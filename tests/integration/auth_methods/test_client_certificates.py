"""A client's certificates on their way from TLS to the request."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from chancery.exchange import Message
from chancery.http.server import HttpServer
from chancery.kit.request import Reply
from chancery.pipeline import Served
from chancery.settings import Limits, Listener
from tests.support.auth_pki import Holder, authority, self_signed

CA = authority("Listener root")


@asynccontextmanager
async def _listening(directory: Path, trusted: str | None) -> AsyncIterator[tuple[list[Message], str]]:
    certificate, key = CA.issue_server("127.0.0.1").write(directory, "server")
    clients = directory / "clients.pem"
    clients.write_text(trusted or "")
    seen: list[Message] = []

    async def serve(message: Message) -> Served:
        seen.append(message)
        return Served(Reply({}), "system")

    server = HttpServer(serve, Limits())
    listener = await asyncio.to_thread(
        Listener,
        address="127.0.0.1:0",
        tls_cert_file=certificate,
        tls_key_file=key,
        tls_client_ca_file=clients if trusted else None,
    )
    port = await server.listen(listener)
    try:
        yield seen, f"https://127.0.0.1:{port}/v1/sys/health"
    finally:
        await server.close()


async def _get(url: str, directory: Path, *shown: Holder) -> int:
    context = ssl.create_default_context(cadata=CA.pem)
    if shown:
        bundle = directory / "client.pem"
        bundle.write_text(shown[0].key_pem + "".join(each.pem for each in shown))
        context.load_cert_chain(bundle)
    async with aiohttp.ClientSession() as client, client.get(url, ssl=context) as answer:
        return answer.status


async def test_the_certificate_and_what_came_along_reach_the_message(tmp_path: Path) -> None:
    intermediate = CA.issue_authority("Intermediate")
    leaf = intermediate.issue("web")
    async with _listening(tmp_path, CA.pem) as (seen, url):
        assert await _get(url, tmp_path, leaf, intermediate) == 200
    assert seen[0].client_certificate == leaf.der
    assert seen[0].client_chain == (intermediate.der,)


async def test_a_client_without_a_certificate_has_none(tmp_path: Path) -> None:
    async with _listening(tmp_path, CA.pem) as (seen, url):
        assert await _get(url, tmp_path) == 200
    assert (seen[0].client_certificate, seen[0].client_chain) == (None, ())


async def test_without_a_client_ca_nobody_is_asked(tmp_path: Path) -> None:
    async with _listening(tmp_path, None) as (seen, url):
        assert await _get(url, tmp_path, CA.issue("web")) == 200
    assert seen[0].client_certificate is None


async def test_a_single_client_certificate_may_be_trusted_by_itself(tmp_path: Path) -> None:
    alone = self_signed("alone")
    leaf = authority("Somebody's").issue("pinned")
    async with _listening(tmp_path, alone.pem + leaf.pem) as (seen, url):
        assert await _get(url, tmp_path, alone) == 200
        assert await _get(url, tmp_path, leaf) == 200
    assert [message.client_certificate for message in seen] == [alone.der, leaf.der]


async def test_a_stranger_does_not_get_past_tls(tmp_path: Path) -> None:
    async with _listening(tmp_path, CA.pem) as (seen, url):
        with pytest.raises(aiohttp.ClientError):
            await _get(url, tmp_path, authority("Stranger").issue("web"))
    assert seen == []
