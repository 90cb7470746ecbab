"""`cert` through a whole host and real TLS: logins, renewals, revocation, and a table of certificates told the same."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from chancery.auth.cert.engine import CertMethod
from chancery.http.server import HttpServer
from chancery.kit.errors import BadInput
from chancery.settings import Limits, Listener
from tests.support.auth_peer import peer
from tests.support.auth_pki import Authority, Holder, authority, self_signed
from tests.support.auth_responder import Responder
from tests.support.host_world import HostWorld, host_world

CA, OTHER = authority("Clients"), authority("Others")
REFUSED = (400, {"errors": ["invalid certificate or no client certificate supplied"]})
OUTGOING = {"allow": ["127.0.0.0/8"], "plain_http": "signed"}
LEAF = CA.issue("web", names=[x509.DNSName("web.example")])
ALONE = self_signed("alone")


@dataclass
class World:
    """A host with a TLS listener that lets in certificates of two authorities, and one that is trusted by itself."""

    host: HostWorld
    url: str
    directory: Path

    def method(self) -> CertMethod:
        """Return the mounted method."""
        found = self.host.host.structure.table.find("root", "auth/cert/login")
        assert found is not None
        assert isinstance(found[0].engine, CertMethod)
        return found[0].engine

    async def write(self, path: str, **body: Any) -> tuple[int, Any]:
        """Write as root."""
        return await self.host.call("POST", f"auth/cert/{path}", body)

    async def over_tls(
        self, method: str, path: str, body: Any, shown: tuple[Holder, ...], token: str = ""
    ) -> tuple[int, Any]:
        """Send a request over a connection of its own with certificates."""
        context = await asyncio.to_thread(_client_context, self.directory, shown)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as client,
            client.request(method, f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": token}) as answer,
        ):
            return answer.status, await answer.json()

    async def login(self, *shown: Holder, name: str = "web") -> tuple[int, Any]:
        """Log in with certificates."""
        return await self.over_tls("POST", "auth/cert/login", {"name": name} if name else {}, shown)

    async def renew(self, token: str, *shown: Holder) -> tuple[int, Any]:
        """Renew a token."""
        return await self.over_tls("POST", "auth/token/renew-self", {}, shown, token)


def _client_context(directory: Path, shown: tuple[Holder, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=CA.pem)
    if shown:
        bundle = directory / "shown.pem"
        bundle.write_text(shown[0].key_pem + "".join(each.pem for each in shown))
        context.load_cert_chain(bundle)
    return context


def _listener(directory: Path) -> Listener:
    certificate, key = CA.issue_server("127.0.0.1").write(directory, "server")
    (directory / "clients.pem").write_text(CA.pem + OTHER.pem + ALONE.pem)
    return Listener(
        address="127.0.0.1:0",
        tls_cert_file=certificate,
        tls_key_file=key,
        tls_client_ca_file=directory / "clients.pem",
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with host_world(tmp_path, outgoing=OUTGOING) as host:
        http = HttpServer(host.host.serve, Limits())
        port = await http.listen(await asyncio.to_thread(_listener, tmp_path))
        try:
            made = World(host, f"https://127.0.0.1:{port}", tmp_path)
            assert (await host.call("POST", "sys/auth/cert", {"type": "cert"}))[0] == 204
            role = {"certificate": CA.pem, "token_policies": "web", "token_ttl": "5m", "display_name": "Web"}
            assert (await made.write("certs/web", **role))[0] == 204
            yield made
        finally:
            await http.close()


async def test_a_login_with_and_without_the_name_of_a_role(world: World) -> None:
    for name in ("web", "WEB", ""):
        status, body = await world.login(LEAF, name=name)
        assert status == 200
        auth = body["auth"]
        assert (auth["policies"], auth["lease_duration"]) == (["default", "web"], 300)
        assert auth["metadata"]["cert_name"] == "web"
        assert auth["metadata"]["common_name"] == "web"
        assert auth["metadata"]["serial_number"] == str(LEAF.certificate.serial_number)
    entity = (await world.host.call("GET", f"identity/entity/id/{auth['entity_id']}"))[1]["data"]
    assert entity["aliases"][0]["name"] == "web"
    looked = (await world.host.call("GET", "auth/token/lookup-self", token=auth["client_token"]))[1]["data"]
    assert looked["display_name"] == "cert-Web"


async def test_a_chain_that_the_client_sends_along(world: World) -> None:
    middle = CA.issue_authority("Middle")
    assert (await world.login(middle.issue("below"), middle))[0] == 200


async def test_a_certificate_that_is_trusted_by_itself_comes_first(world: World) -> None:
    await world.write("certs/alone", certificate=ALONE.pem, token_policies="alone")
    await world.write("certs/pinned", certificate=LEAF.pem, token_policies="pinned")
    assert (await world.login(ALONE, name=""))[1]["auth"]["policies"] == ["alone", "default"]
    assert (await world.login(LEAF, name=""))[1]["auth"]["policies"] == ["default", "pinned"]
    assert await world.login(CA.issue("web"), name="pinned") == REFUSED


async def test_all_who_may_not_are_told_the_same(world: World) -> None:
    await world.write("certs/strict", certificate=CA.pem, allowed_common_names="db*", token_policies="db")
    await world.write("certs/servers", certificate=OTHER.pem, allowed_dns_sans="*.other.example")
    middle = OTHER.issue_authority("Middle")
    constraint = x509.NameConstraints([x509.DNSName("good.example")], None)
    bounded = CA.issue_authority("Bounded", extensions=[(constraint, True)])
    for shown, name in (
        ((), "web"),
        ((), ""),
        ((LEAF,), "nobody"),
        ((LEAF,), "strict"),
        ((OTHER.issue("web"),), "web"),
        ((OTHER.issue("web"),), ""),
        ((OTHER.issue("web", names=[x509.DNSName("web.example")]),), "servers"),
        ((middle.issue("web"), middle), "web"),
        ((ALONE,), "web"),
        ((bounded.issue("admin", names=[x509.DNSName("a.good.example")]), bounded), "web"),
        ((CA.issue("db", attributes=[(x509.NameOID.COMMON_NAME, "web")]),), "web"),
        ((CA.issue(""),), "web"),
    ):
        assert await world.login(*shown, name=name) == REFUSED


async def test_over_a_connection_without_tls_nobody_has_a_certificate(world: World) -> None:
    headers = {"X-Forwarded-Client-Cert": LEAF.pem.replace("\n", ""), "X-SSL-Client-Cert": "x"}
    answer = await world.host.call("POST", "auth/cert/login", {"name": "web"}, token="", headers=headers)
    assert answer == REFUSED


async def test_renewal_wants_the_same_certificate(world: World) -> None:
    token = (await world.login(LEAF))[1]["auth"]["client_token"]
    assert (await world.renew(token, LEAF))[0] == 200
    for shown in ((), (CA.issue("web"),)):
        status, body = await world.renew(token, *shown)
        assert status == 400
        assert "certificate that it was given for" in body["errors"][0]
    assert (await world.host.call("POST", "auth/token/renew-self", {}, token=token))[0] == 400
    await world.write("config", disable_binding=True)
    assert (await world.renew(token))[0] == 200


async def test_renewal_looks_at_the_certificate_again(world: World) -> None:
    token = (await world.login(LEAF))[1]["auth"]["client_token"]
    await world.write("certs/web", allowed_common_names="other")
    assert (await world.renew(token, LEAF))[1] == {
        "errors": ["the certificate would not be let in any more, not renewing"]
    }
    await world.write("certs/web", allowed_common_names="web")
    assert (await world.renew(token, LEAF))[0] == 200
    await world.write("crls/now", crl=CA.crl(LEAF.certificate.serial_number).decode())
    assert (await world.renew(token, LEAF))[0] == 400
    await world.host.call("DELETE", "auth/cert/crls/now")
    await world.host.call("DELETE", "auth/cert/certs/web")
    assert (await world.renew(token, LEAF))[0] == 400


async def test_renewal_ends_with_the_certificate(world: World) -> None:
    renewal = {"name": "web", "certificates": LEAF.der.hex(), "policies": "web"}
    now = datetime.now(UTC)
    assert (await world.method().renew(renewal, now)).alias == "web"
    with pytest.raises(BadInput, match="would not be let in any more"):
        await world.method().renew(renewal, now + timedelta(days=2))


async def test_an_uploaded_list(world: World) -> None:
    assert (await world.write("crls/clients", crl=CA.crl(5, LEAF.certificate.serial_number).decode()))[0] == 204
    assert await world.login(LEAF) == REFUSED
    assert (await world.login(CA.issue("web")))[0] == 200
    shown = (await world.host.call("GET", "auth/cert/crls/clients"))[1]["data"]
    assert shown == {"serials": {"5": {}, str(LEAF.certificate.serial_number): {}}}
    assert (await world.host.call("LIST", "auth/cert/crls"))[1]["data"]["keys"] == ["clients"]
    assert (await world.host.call("DELETE", "auth/cert/crls/clients"))[0] == 204
    assert (await world.host.call("GET", "auth/cert/crls/clients"))[0] == 400
    assert (await world.login(LEAF))[0] == 200


async def test_lists_that_cannot_be(world: World) -> None:
    for body in ({}, {"crl": "x"}, {"crl": CA.pem}, {"crl": CA.crl().decode(), "url": "https://x"}):
        assert (await world.write("crls/bad", **body))[0] == 400
    for url in ("http://169.254.169.254/", "https://10.0.0.1/crl", "file:///etc/passwd"):
        status, body = await world.write("crls/bad", url=url)
        assert (status, body["errors"][0].startswith("url: ")) == (400, True)


async def test_a_fetched_list_is_fetched_again(world: World) -> None:
    serials: list[int] = []

    async def serve(_request: web.BaseRequest, _body: bytes) -> web.Response:
        return web.Response(body=CA.crl(*serials))

    async with peer(serve, None) as server:
        assert (await world.write("crls/fetched", url=server.url))[0] == 204
        assert (await world.login(LEAF))[0] == 200
        serials.append(LEAF.certificate.serial_number)
        (job,) = world.method().jobs()
        now = datetime.now(UTC)
        assert job.wanted is not None
        assert await job.wanted(now)
        await job.run(now)
    assert await world.login(LEAF) == REFUSED


def _with_responder(url: str, signer: Authority = CA) -> Holder:
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url))
    return signer.issue("web", extensions=[(x509.AuthorityInformationAccess([access]), False)])


async def test_ocsp_decides(world: World) -> None:
    responder = Responder(CA)
    async with peer(responder.answer, None) as server:
        leaf = _with_responder(server.url)
        await world.write("certs/web", ocsp_enabled=True, ocsp_max_retries=0)
        assert await world.login(leaf) == REFUSED
        responder.certificates.append(leaf.certificate)
        assert (await world.login(leaf))[0] == 200
        asked = responder.asked
        assert (await world.login(leaf))[0] == 200
        assert responder.asked == asked
        revoked = _with_responder(server.url)
        responder.certificates.append(revoked.certificate)
        responder.revoked.add(revoked.certificate.serial_number)
        await world.write("certs/web", ocsp_fail_open=True)
        assert await world.login(revoked) == REFUSED


async def test_a_responder_that_does_not_answer(world: World) -> None:
    responder = Responder(CA, status=500)
    async with peer(responder.answer, None) as server:
        leaf = _with_responder(server.url)
        await world.write("certs/web", ocsp_enabled=True, ocsp_max_retries=1)
        assert await world.login(leaf) == REFUSED
        assert responder.asked == 2
        assert await world.login(LEAF) == REFUSED
        await world.write("certs/web", ocsp_fail_open=True)
        assert (await world.login(leaf))[0] == 200
        assert (await world.login(LEAF))[0] == 200


async def test_an_internal_responder_is_not_asked(world: World) -> None:
    """The address comes from whatever an authority has signed: it opens no way into the network."""
    await world.write("certs/web", ocsp_enabled=True, ocsp_max_retries=0)
    assert await world.login(_with_responder("http://169.254.169.254/latest")) == REFUSED
    assert await world.login(_with_responder("http://10.0.0.1/")) == REFUSED


async def test_all_responders_may_have_to_agree(world: World) -> None:
    good, bad = Responder(CA, [LEAF.certificate]), Responder(CA, [LEAF.certificate])
    async with peer(good.answer, None) as first, peer(bad.answer, None) as second:
        servers = [first.url, second.url]
        await world.write("certs/web", ocsp_enabled=True, ocsp_servers_override=servers, ocsp_max_retries=0)
        assert (await world.login(LEAF))[0] == 200
        assert bad.asked == 0
        fresh = CA.issue("web")
        for responder in (good, bad):
            responder.certificates.append(fresh.certificate)
        bad.revoked.add(fresh.certificate.serial_number)
        await world.write("certs/web", ocsp_query_all_servers=True)
        assert await world.login(fresh) == REFUSED


async def test_an_answer_of_a_stranger_is_not_believed(world: World) -> None:
    stranger = OTHER.issue("responder", usages=(ExtendedKeyUsageOID.OCSP_SIGNING,))
    responder = Responder(CA, signer=stranger)
    async with peer(responder.answer, None) as server:
        leaf = _with_responder(server.url)
        responder.certificates.append(leaf.certificate)
        await world.write("certs/web", ocsp_enabled=True, ocsp_max_retries=0)
        assert await world.login(leaf) == REFUSED
        await world.write("certs/web", ocsp_ca_certificates=OTHER.pem)
        assert (await world.login(leaf))[0] == 200


async def test_settings_and_roles_are_shown(world: World) -> None:
    assert (await world.host.call("GET", "auth/cert/config"))[1]["data"]["ocsp_cache_size"] == 100
    assert (await world.write("config", ocsp_cache_size=1))[0] == 400
    assert (await world.write("config", enable_metadata_on_failures=True))[0] == 400
    assert (await world.write("config", enable_identity_alias_metadata=True, ocsp_cache_size=7))[0] == 204
    shown = (await world.host.call("GET", "auth/cert/config"))[1]["data"]
    assert (shown["ocsp_cache_size"], shown["disable_binding"]) == (7, False)
    role = (await world.host.call("GET", "auth/cert/certs/web"))[1]["data"]
    assert (role["certificate"], role["allowed_names"], role["token_ttl"]) == (CA.pem, None, 300)
    auth = (await world.login(LEAF))[1]["auth"]
    entity = (await world.host.call("GET", f"identity/entity/id/{auth['entity_id']}"))[1]["data"]
    assert entity["aliases"][0]["metadata"]["common_name"] == "web"
    assert (await world.host.call("LIST", "auth/cert/certs"))[1]["data"]["keys"] == ["web"]
    assert (await world.host.call("DELETE", "auth/cert/certs/web"))[0] == 204
    assert (await world.host.call("GET", "auth/cert/certs/web"))[0] == 404
