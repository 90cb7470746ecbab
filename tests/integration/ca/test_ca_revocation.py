"""Revocation: what is durable, what CRLs say, when they are made anew."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from chancery.kit.errors import BadInput, NotFound, Unavailable
from chancery.kit.request import Operation
from tests.support.ca_harness import NOW, P256, FakeClock, Pki, open_pki, openssl, pki_in
from tests.support.x509_keys import private_key


@pytest.fixture
async def pki(tmp_path: Path) -> AsyncIterator[Pki]:
    async with pki_in(tmp_path) as opened:
        await opened.root(issuer_name="root")
        await opened.write("roles/r", allow_any_name=True, key_type="ec")
        yield opened


async def crl(pki: Pki) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(await pki.raw("crl"))


def number(one: x509.CertificateRevocationList) -> int:
    return one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def serials(one: x509.CertificateRevocationList) -> set[str]:
    return {entry.serial_number.to_bytes(20, "big").hex(":") for entry in one}


async def leaf(pki: Pki, **fields: Any) -> Any:
    return await pki.write("issue/r", common_name="a.com", **fields)


async def test_a_revoked_certificate_is_on_the_next_crl(pki: Pki, tmp_path: Path) -> None:
    data = await leaf(pki)
    before = await crl(pki)
    done = await pki.write("revoke", serial_number=data["serial_number"])
    assert done == {
        "revocation_time": int(NOW.timestamp()),
        "revocation_time_rfc3339": "2030-06-01T12:00:00Z",
        "state": "revoked",
    }
    after = await crl(pki)
    assert (number(before), number(after)) == (1, 2)
    assert serials(after) == {data["serial_number"]}
    assert await pki.list("certs/revoked") == [data["serial_number"]]
    shown = await pki.read(f"cert/{data['serial_number']}")
    assert shown["revocation_time"] == int(NOW.timestamp())
    assert shown["issuer_id"] == (await pki.read("issuer/root"))["issuer_id"]
    ca = tmp_path / "ca.pem"
    ca.write_text(data["issuing_ca"])
    openssl("crl", "-noout", "-CAfile", str(ca), "-verify", given=await pki.raw("crl/pem"))


async def test_revoking_again_keeps_the_first_moment(pki: Pki) -> None:
    data = await leaf(pki)
    first = await pki.write("revoke", serial_number=data["serial_number"])
    pki.clock.advance(hours=1)
    assert await pki.write("revoke", certificate=data["certificate"]) == first
    assert number(await crl(pki)) == 2


async def test_a_certificate_that_was_not_stored_can_be_shown(pki: Pki) -> None:
    await pki.write("roles/r", allow_any_name=True, key_type="ec", no_store=True)
    data = await leaf(pki)
    with pytest.raises(BadInput, match="not found"):
        await pki.write("revoke", serial_number=data["serial_number"])
    await pki.write("revoke", certificate=data["certificate"])
    assert serials(await crl(pki)) == {data["serial_number"]}
    assert (await pki.read(f"cert/{data['serial_number']}"))["certificate"] == data["certificate"]


def foreign() -> str:
    key = private_key("p-256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Root")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW).not_valid_after(NOW)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "The serial number or certificate to revoke must be provided."),
        ({"serial_number": "1", "certificate": "x"}, "not both"),
        ({"serial_number": "11:22"}, "certificate with serial 11:22 not found."),
        ({"serial_number": "zz"}, "certificate with serial zz not found."),
        ({"certificate": "foo"}, "certificate: no PEM block"),
        ({"certificate": foreign()}, "unable to verify signature on presented cert from any present issuer"),
    ],
)
async def test_refusals(pki: Pki, fields: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        await pki.write("revoke", **fields)
    assert words in caught.value.message


async def test_a_root_is_not_put_on_its_own_crl(pki: Pki) -> None:
    root = await pki.read("cert/ca")
    with pytest.raises(BadInput, match="to its own CRL is not allowed"):
        await pki.write("revoke", certificate=root["certificate"])


async def test_expired_certificates_are_left_alone_unless_that_is_allowed(pki: Pki) -> None:
    data = await leaf(pki, ttl="1s")
    pki.clock.advance(minutes=1)
    reply = await pki.reply(Operation.UPDATE, "revoke", {"serial_number": data["serial_number"]})
    assert reply.data is None
    assert "already expired" in reply.warnings[0]
    await pki.write("config/crl", allow_expired_cert_revocation=True)
    assert (await pki.write("revoke", serial_number=data["serial_number"]))["state"] == "revoked"


async def test_an_hsm_that_is_away_does_not_undo_a_revocation(pki: Pki) -> None:
    data = await leaf(pki)
    pki.registry.failures.append(Unavailable("the token is away"))
    reply = await pki.reply(Operation.UPDATE, "revoke", {"serial_number": data["serial_number"]})
    assert reply.data is not None
    assert reply.data["state"] == "revoked"
    assert "the token is away" in reply.warnings[0]
    assert number(await crl(pki)) == 1
    await pki.read("crl/rotate")
    assert serials(await crl(pki)) == {data["serial_number"]}


async def test_a_crl_that_is_due_is_made_when_it_is_asked_for(pki: Pki) -> None:
    assert number(await crl(pki)) == 1
    pki.clock.advance(hours=71)
    assert number(await crl(pki)) == 1
    pki.clock.advance(hours=2)
    assert number(await crl(pki)) == 2
    pki.clock.advance(hours=100)
    pki.registry.failures.append(Unavailable("the token is away"))
    assert number(await crl(pki)) == 2
    assert number(await crl(pki)) == 3


async def test_with_auto_rebuild_a_crl_is_made_before_it_expires_and_not_at_each_revocation(pki: Pki) -> None:
    await pki.write("config/crl", auto_rebuild=True, auto_rebuild_grace_period="12h")
    data = await leaf(pki)
    await pki.write("revoke", serial_number=data["serial_number"])
    assert serials(await crl(pki)) == set()
    pki.clock.advance(hours=61)
    assert serials(await crl(pki)) == {data["serial_number"]}


async def test_a_disabled_crl_is_empty(pki: Pki) -> None:
    data = await leaf(pki)
    await pki.write("revoke", serial_number=data["serial_number"])
    await pki.write("config/crl", disable=True)
    assert serials(await crl(pki)) == set()
    await pki.write("config/crl", disable=False)
    assert serials(await crl(pki)) == {data["serial_number"]}


async def test_an_issuer_that_may_not_sign_crls(pki: Pki) -> None:
    await pki.patch("issuer/root", usage="issuing-certificates")
    reply = await pki.reply(Operation.READ, "crl/rotate")
    assert "no issuer of this group may sign CRLs" in reply.warnings[0]
    data = await leaf(pki)
    reply = await pki.reply(Operation.UPDATE, "revoke", {"serial_number": data["serial_number"]})
    assert reply.warnings


async def test_the_longest_crl_is_configured(pki: Pki) -> None:
    await pki.write("config/crl", max_crl_entries=1)
    for _ in range(2):
        data = await leaf(pki)
        reply = await pki.reply(Operation.UPDATE, "revoke", {"serial_number": data["serial_number"]})
    assert "exceed max_crl_entries (1)" in reply.warnings[0]


async def test_each_issuer_has_its_own_crl(pki: Pki) -> None:
    await pki.root(common_name="Other", issuer_name="other")
    data = await pki.write("issuer/other/issue/r", common_name="a.com")
    await pki.write("revoke", serial_number=data["serial_number"])
    assert serials(await crl(pki)) == set()
    other = x509.load_der_x509_crl(await pki.raw("issuer/other/crl/der"))
    assert serials(other) == {data["serial_number"]}
    shown = (await pki.read("issuer/other/crl"))["crl"]
    assert shown.encode() == await pki.raw("issuer/other/crl/pem")
    assert (await pki.read("cert/crl"))["certificate"].encode() == await pki.raw("crl/pem")


async def test_revocations_at_once_are_all_listed_under_rising_numbers(pki: Pki) -> None:
    made = [await leaf(pki) for _ in range(20)]
    await asyncio.gather(*(pki.write("revoke", serial_number=one["serial_number"]) for one in made))
    newest = await crl(pki)
    assert serials(newest) == {one["serial_number"] for one in made}
    assert number(newest) < 20, "revocations that wait for a CRL share the next one"


async def test_two_processes_never_publish_one_number_twice(pki: Pki) -> None:
    """A second engine on the same database stands for a second process: it shares rows, not caches."""
    barrier = pki.context.barrier
    other = open_pki(pki.context.database, barrier, clock=FakeClock(), registry=pki.registry)  # type: ignore[arg-type]  # the harness made it
    made = [await leaf(pki) for _ in range(8)]
    await asyncio.gather(
        *((pki, other)[at % 2].write("revoke", serial_number=one["serial_number"]) for at, one in enumerate(made))
    )
    assert serials(await crl(pki)) == {one["serial_number"] for one in made}
    assert await pki.raw("crl") == await other.raw("crl")


async def test_without_an_issuer_there_is_no_crl(tmp_path: Path) -> None:
    async with pki_in(tmp_path) as empty:
        assert await empty.raw("crl") == b""
        assert await empty.raw("crl/pem") == b""
        assert await empty.read("crl/rotate") == {"success": True}
        with pytest.raises(NotFound):
            await empty.read("issuer/default/crl")
        with pytest.raises(BadInput, match="no default issuer currently configured"):
            await empty.read("cert/crl")


async def test_numbers_go_on_when_an_issuer_comes_back(pki: Pki) -> None:
    """The authority is the name with the key: its CRLs must not start again from one."""
    await pki.registry.add("hsm", "0b9a3ad0-51b0-4d4f-9d5b-8d5a5a1f0001", P256)
    fields = {"common_name": "HSM", "managed_key_name": "hsm", "issuer_name": "hsm"}
    first = await pki.write("root/generate/kms", **fields)
    await pki.delete("issuer/hsm")
    await pki.delete(f"key/{first['key_id']}")
    await pki.write("root/generate/kms", **fields)
    assert number(x509.load_der_x509_crl(await pki.raw("issuer/hsm/crl/der"))) == 2
