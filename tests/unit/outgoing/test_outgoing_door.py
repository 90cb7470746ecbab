"""The door against real sockets: TLS, addresses, redirects, sizes and times."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from chancery.kit.outgoing import OutgoingFailed, OutgoingRefused, OutgoingRequest, demand_authorities
from chancery.outgoing_rules import AddressPolicy, PlainHttp
from tests.support.auth_peer import LOOPBACK, open_door, peer
from tests.support.auth_pki import Authority, authority, server_context

CA = authority()


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return server_context(CA.issue_server("127.0.0.1", "localhost"), tmp_path)


async def _echo(request: web.BaseRequest, body: bytes) -> web.Response:
    return web.Response(body=request.method.encode() + b" " + body, status=201)


async def test_an_answer_comes_back_whatever_its_status(context: ssl.SSLContext) -> None:
    async with peer(_echo, context) as server, open_door() as door:
        answer = await door.send(OutgoingRequest(server.url, "POST", b"hello", ca_pem=CA.pem))
    assert (answer.status, answer.body) == (201, b"POST hello")


async def test_only_the_configured_authority_vouches(context: ssl.SSLContext) -> None:
    async with peer(_echo, context) as server, open_door() as door:
        for ca_pem in ("", authority("another").pem):
            with pytest.raises(OutgoingFailed, match="certificate that is not trusted"):
                await door.send(OutgoingRequest(server.url, ca_pem=ca_pem))
    assert server.paths == []


async def test_the_name_must_be_the_certificates(tmp_path: Path) -> None:
    context = server_context(CA.issue_server("elsewhere.example"), tmp_path)
    async with peer(_echo, context) as server, open_door() as door:
        with pytest.raises(OutgoingFailed, match="not trusted"):
            await door.send(OutgoingRequest(server.url, ca_pem=CA.pem))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
async def test_no_spelling_of_an_internal_address_is_connected_to(context: ssl.SSLContext, host: str) -> None:
    async with peer(_echo, context) as server, open_door(AddressPolicy()) as door:
        with pytest.raises(OutgoingRefused, match=r"outgoing\.allow|cannot be read"):
            await door.send(OutgoingRequest(f"https://{host}:{server.port}", ca_pem=CA.pem))
    assert server.paths == []


async def test_what_a_name_leads_to_is_judged_at_every_connection(context: ssl.SSLContext) -> None:
    """A name server that answers differently the second time gains nothing: there is no first look."""
    async with peer(_echo, context) as server, open_door() as door:
        await door.send(OutgoingRequest(f"https://localhost:{server.port}", ca_pem=CA.pem))
        info: aiohttp.AddrInfoType = (2, 1, 6, "", ("169.254.169.254", 443))
        with pytest.raises(OSError, match="not allowed"):
            door._socket(info)


async def test_redirects_stay_with_the_host(context: ssl.SSLContext) -> None:
    async def redirect(request: web.BaseRequest, _body: bytes) -> web.Response:
        if request.raw_path == "/there":
            return web.Response(text="arrived")
        location = {"/here": "/there", "/round": "/round"}.get(request.raw_path, "https://169.254.169.254/")
        return web.Response(status=302, headers={"Location": location})

    async with peer(redirect, context) as server, open_door() as door:
        answer = await door.send(OutgoingRequest(f"{server.url}/here", ca_pem=CA.pem))
        assert answer.body == b"arrived"
        with pytest.raises(OutgoingRefused, match="another host"):
            await door.send(OutgoingRequest(f"{server.url}/away", ca_pem=CA.pem))
        with pytest.raises(OutgoingFailed, match="without end"):
            await door.send(OutgoingRequest(f"{server.url}/round", ca_pem=CA.pem))
        assert (await door.send(OutgoingRequest(f"{server.url}/away", "POST", ca_pem=CA.pem))).status == 302


async def test_an_answer_is_never_larger_than_asked_for(context: ssl.SSLContext) -> None:
    async def long(_request: web.BaseRequest, _body: bytes) -> web.Response:
        return web.Response(body=bytes(2000))

    async with peer(long, context) as server, open_door() as door:
        assert len((await door.send(OutgoingRequest(server.url, ca_pem=CA.pem, max_size=2000))).body) == 2000
        with pytest.raises(OutgoingFailed, match="more than 1999 bytes"):
            await door.send(OutgoingRequest(server.url, ca_pem=CA.pem, max_size=1999))


async def test_silence_ends_at_the_deadline(context: ssl.SSLContext) -> None:
    never = asyncio.Event()

    async def silent(_request: web.BaseRequest, _body: bytes) -> web.Response:
        await never.wait()
        return web.Response()

    async with peer(silent, context) as server, open_door(seconds=0.2) as door:
        with pytest.raises(OutgoingFailed, match=r"did not answer within 0\.2 s"):
            await door.send(OutgoingRequest(server.url, ca_pem=CA.pem))


@pytest.mark.parametrize(
    ("rule", "is_signed", "is_sent"),
    [
        (PlainHttp.NEVER, False, False),
        (PlainHttp.NEVER, True, False),
        (PlainHttp.SIGNED, False, False),
        (PlainHttp.SIGNED, True, True),
        (PlainHttp.LOOPBACK, False, True),
        (PlainHttp.LOOPBACK, True, True),
    ],
)
async def test_plain_http_is_the_operators_decision(rule: PlainHttp, is_signed: bool, is_sent: bool) -> None:
    async with peer(_echo, None) as server, open_door(LOOPBACK, rule) as door:
        request = OutgoingRequest(server.url, is_signed=is_signed)
        if is_sent:
            assert (await door.send(request)).status == 201
        else:
            with pytest.raises(OutgoingRefused, match=r"outgoing\.plain_http"):
                await door.send(request)


async def test_plain_http_to_loopback_is_to_an_address_not_to_a_name() -> None:
    async with peer(_echo, None) as server, open_door(LOOPBACK, PlainHttp.LOOPBACK) as door:
        with pytest.raises(OutgoingRefused, match="plain http"):
            await door.send(OutgoingRequest(f"http://localhost:{server.port}"))


@pytest.mark.parametrize(
    "url", ["", "ftp://example.com", "file:///etc/passwd", "https://", "https://a:b@example.com", "https://[::1", "x"]
)
async def test_what_is_no_https_url_is_refused(url: str) -> None:
    async with open_door() as door:
        with pytest.raises(OutgoingRefused):
            await door.send(OutgoingRequest(url))


async def test_nobody_listening_is_said_without_details() -> None:
    async with peer(_echo, None) as server:
        port = server.port
    async with open_door() as door:
        with pytest.raises(OutgoingFailed, match=f"cannot connect to 127.0.0.1:{port}"):
            await door.send(OutgoingRequest(f"https://127.0.0.1:{port}", ca_pem=CA.pem))


async def test_a_bad_ca_is_an_error_of_its_own() -> None:
    async with open_door() as door:
        with pytest.raises(OutgoingFailed, match="PEM certificates"):
            await door.send(OutgoingRequest("https://127.0.0.1:1", ca_pem="nonsense"))
    with pytest.raises(ValueError, match="PEM certificates"):
        demand_authorities("nonsense")
    with pytest.raises(ValueError, match="PEM certificates"):
        demand_authorities("Schlüssel")
    demand_authorities(CA.pem)
    assert isinstance(CA, Authority)


def test_credentials_and_bodies_do_not_show() -> None:
    request = OutgoingRequest("https://x", body=b"s3cret", headers={"Authorization": "Bearer s3cret"})
    assert "s3cret" not in repr(request)
