"""Two nodes on one database: what one changes is in force on the other, and neither doubles what must be unique."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509

from chancery.coherence import BOUND
from chancery.kit.errors import Unavailable
from chancery.storage.documents import DocumentStore
from tests.support.host_world import HostWorld, host_world
from tests.support.storage_open import postgres_url_of


class Nodes(NamedTuple):
    """`here` changes things, `there` follows."""

    here: HostWorld
    there: HostWorld


def _sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'chancery.db'}"


@pytest.fixture(
    params=[
        pytest.param(_sqlite_url, id="sqlite"),
        pytest.param(postgres_url_of, id="postgresql", marks=pytest.mark.slow),
    ]
)
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Nodes]:
    storage = {"url": await asyncio.to_thread(request.param, tmp_path), "max_staleness": 3600}
    async with (
        host_world(tmp_path, storage=storage) as here,
        host_world(tmp_path, joins=here, storage=storage) as there,
    ):
        yield Nodes(here, there)


async def within_the_bound(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what must happen by itself, not longer than is promised; a busy machine gets some grace."""
    async with asyncio.timeout(3 * BOUND):
        while not await check():  # noqa: ASYNC110  # the other node tells nobody when it has followed
            await asyncio.sleep(0.02)


async def new_token(node: HostWorld, **fields: Any) -> str:
    status, body = await node.call("POST", "auth/token/create", fields)
    assert status == 200
    return str(body["auth"]["client_token"])


async def self_lookup(node: HostWorld, token: str) -> int:
    return (await node.call("GET", "auth/token/lookup-self", token=token))[0]


async def test_changes_are_followed_without_being_asked_for(nodes: Nodes) -> None:
    token = await new_token(nodes.here, policies=["default"])
    assert await self_lookup(nodes.there, token) == 200
    await nodes.here.call("POST", "auth/token/revoke", {"token": token})
    assert await self_lookup(nodes.here, token) == 403

    async def is_denied() -> bool:
        return await self_lookup(nodes.there, token) == 403

    await within_the_bound(is_denied)


async def test_a_revoked_token_takes_its_children_along(nodes: Nodes) -> None:
    parent = await new_token(nodes.here, policies=["root"])
    status, body = await nodes.there.call("POST", "auth/token/create", {"policies": ["default"]}, token=parent)
    assert status == 200
    child = body["auth"]["client_token"]
    assert await self_lookup(nodes.there, child) == 200
    await nodes.here.call("POST", "auth/token/revoke", {"token": parent})
    await nodes.there.host.coherence.follow()
    assert [await self_lookup(nodes.there, each) for each in (parent, child)] == [403, 403]


async def test_a_policy_is_the_same_on_both(nodes: Nodes) -> None:
    await nodes.here.call(
        "POST", "sys/policies/acl/reader", {"policy": 'path "sys/mounts" { capabilities = ["read"] }'}
    )
    await nodes.there.host.coherence.follow()
    token = await new_token(nodes.there, policies=["reader"])
    assert (await nodes.there.call("GET", "sys/mounts", token=token))[0] == 200
    await nodes.here.call(
        "POST", "sys/policies/acl/reader", {"policy": 'path "sys/mounts" { capabilities = ["deny"] }'}
    )
    await nodes.there.host.coherence.follow()
    assert (await nodes.there.call("GET", "sys/mounts", token=token))[0] == 403


async def test_mounts_are_opened_tuned_and_closed(nodes: Nodes) -> None:
    here, there = nodes
    await here.call("POST", "sys/mounts/pki", {"type": "pki"})
    await there.host.coherence.follow()
    assert (await there.call("POST", "pki/roles/web", {"allow_any_name": True}))[0] in {200, 204}
    await here.call("POST", "sys/mounts/pki/tune", {"max_lease_ttl": "1h", "description": "tuned"})
    await there.host.coherence.follow()
    tuned = (await there.call("GET", "sys/mounts/pki/tune"))[1]["data"]
    assert (tuned["max_lease_ttl"], tuned["description"]) == (3600, "tuned")
    await here.call("DELETE", "sys/mounts/pki")
    await there.host.coherence.follow()
    assert (await there.call("GET", "pki/roles/web"))[0] == 404
    assert "pki/" not in (await there.call("GET", "sys/mounts"))[1]["data"]


async def test_another_mount_in_the_same_place_is_another_mount(nodes: Nodes) -> None:
    here, there = nodes
    await here.call("POST", "sys/mounts/pki", {"type": "pki"})
    await there.host.coherence.follow()
    await there.call("POST", "pki/roles/web", {"allow_any_name": True})
    await here.call("DELETE", "sys/mounts/pki")
    await here.call("POST", "sys/mounts/pki", {"type": "pki"})
    await there.host.coherence.follow()
    assert (await there.call("GET", "pki/roles/web"))[0] == 404
    uuids = {(await node.call("GET", "sys/mounts"))[1]["data"]["pki/"]["uuid"] for node in nodes}
    assert len(uuids) == 1


async def test_a_role_changed_elsewhere_judges_the_next_request(nodes: Nodes) -> None:
    here, there = nodes
    await prepare_authority(here)
    await there.host.coherence.follow()
    asked = {"common_name": "a.example.com"}
    assert (await there.call("POST", "pki/issue/web", asked))[0] == 200
    await here.call("POST", "pki/roles/web", {"allowed_domains": ["example.org"], "key_type": "ec"})
    await there.host.coherence.follow()
    assert (await there.call("POST", "pki/issue/web", asked))[0] == 400


async def test_namespaces_come_and_go(nodes: Nodes) -> None:
    here, there = nodes
    await here.call("POST", "sys/namespaces/team")
    await here.call("POST", "team/sys/namespaces/dev")
    await here.call("POST", "team/dev/sys/mounts/pki", {"type": "pki"})
    await there.host.coherence.follow()
    assert "pki/" in (await there.call("GET", "team/dev/sys/mounts"))[1]["data"]
    await here.call("PATCH", "sys/namespaces/team", {"custom_metadata": {"cost": "1"}},
                    headers={"Content-Type": "application/merge-patch+json"})  # fmt: skip
    await there.host.coherence.follow()
    assert (await there.call("GET", "sys/namespaces/team"))[1]["data"]["custom_metadata"] == {"cost": "1"}
    await here.call("DELETE", "team/sys/namespaces/dev")
    await here.call("DELETE", "sys/namespaces/team")
    await there.host.coherence.follow()
    assert (await there.call("GET", "team/dev/sys/mounts"))[0] == 404
    assert (await there.call("LIST", "sys/namespaces"))[0] == 404


async def test_who_slept_too_long_follows_everything(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = nodes
    token = await new_token(here, policies=["default"])
    await here.call("POST", "sys/mounts/old", {"type": "pki"})
    await here.call("POST", "sys/namespaces/team")
    await there.host.coherence.follow()
    assert await self_lookup(there, token) == 200
    monkeypatch.setattr("chancery.storage.document_rows.JOURNAL_LENGTH", 1)
    async with there.host.coherence._one_at_a_time:  # asleep
        await here.call("POST", "auth/token/revoke", {"token": token})
        await here.call("DELETE", "sys/mounts/old")
        await here.call("DELETE", "sys/namespaces/team")
        await here.call("POST", "sys/mounts/new", {"type": "pki"})
        await here.call("POST", "sys/namespaces/other")
    await there.host.coherence.follow()
    assert await self_lookup(there, token) == 403
    mounts = (await there.call("GET", "sys/mounts"))[1]["data"]
    assert ("new/" in mounts, "old/" in mounts) == (True, False)
    assert (await there.call("LIST", "sys/namespaces"))[1]["data"]["keys"] == ["other/"]


async def test_both_may_change_the_same_mount_at_once(nodes: Nodes) -> None:
    async def enable(node: HostWorld, number: int) -> int:
        return (await node.call("POST", f"sys/mounts/m{number}", {"type": "pki"}))[0]

    statuses = await asyncio.gather(*(enable(node, number) for number in range(6) for node in nodes))
    assert sorted(statuses) == [204] * 6 + [400] * 6
    for node in nodes:
        await node.host.coherence.follow()
    tables = [(await node.call("GET", "sys/mounts"))[1]["data"] for node in nodes]
    assert tables[0] == tables[1]
    assert {f"m{number}/" for number in range(6)} < tables[0].keys()


async def test_serials_and_crl_numbers_are_unique(nodes: Nodes) -> None:
    await prepare_authority(nodes.here)
    await nodes.there.host.coherence.follow()
    issued = await asyncio.gather(*(issue(node) for _ in range(8) for node in nodes))
    assert len(set(issued)) == 16
    numbers: list[int] = [await crl_number(nodes.here)]

    async def revoke(node: HostWorld, serial: str) -> None:
        status, body = await node.call("POST", "pki/revoke", {"serial_number": serial})
        assert status == 200, body
        numbers.append(await crl_number(node))

    await asyncio.gather(*(revoke(node, serial) for node, serial in zip([*nodes] * 8, issued, strict=True)))
    for node in nodes:
        crl = await current_crl(node)
        assert {f"{entry.serial_number:x}" for entry in crl} == {
            serial.replace(":", "").lstrip("0") for serial in issued
        }
    assert max(numbers) - min(numbers) <= 16


async def test_a_node_that_cannot_look_serves_nothing(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    there = nodes.there
    coherence, token = there.host.coherence, await new_token(there, policies=["default"])
    assert await self_lookup(there, token) == 200

    async def away(*_: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(DocumentStore, "poll", away)
        coherence._expire()
        status, body = await there.call("GET", "auth/token/lookup-self", token=token)
        assert status == 503
        assert "has not reached its database" in body["errors"][0]
        assert (await there.client.get(f"{there.address}/v1/sys/health")).status == 503
    await coherence.follow()
    assert await self_lookup(there, token) == 200


async def prepare_authority(node: HostWorld) -> None:
    await node.call("POST", "sys/mounts/pki", {"type": "pki"})
    status, body = await node.call(
        "POST", "pki/root/generate/internal", {"common_name": "Root", "key_type": "ec", "ttl": "24h"}
    )
    assert status == 200, body
    role = {"allowed_domains": ["example.com"], "allow_subdomains": True, "key_type": "ec", "ttl": "1h"}
    await node.call("POST", "pki/roles/web", role)


async def issue(node: HostWorld) -> str:
    status, body = await node.call("POST", "pki/issue/web", {"common_name": "a.example.com"})
    assert status == 200, body
    return str(body["data"]["serial_number"])


async def current_crl(node: HostWorld) -> x509.CertificateRevocationList:
    async with node.client.get(f"{node.address}/v1/pki/crl") as answer:
        return x509.load_der_x509_crl(await answer.read())


async def crl_number(node: HostWorld) -> int:
    extension = (await current_crl(node)).extensions.get_extension_for_class(x509.CRLNumber)
    return extension.value.crl_number
