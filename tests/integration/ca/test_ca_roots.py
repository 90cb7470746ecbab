"""Roots: every source of a key, what is stored, what is refused, and who wins a race."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from ca.tables import CERTIFICATES, CRLS
from ca.x509.certificate import ParsedCertificate
from ca.x509.usages import KeyUsage
from chancery.kit.errors import BadInput, NotFound, Unavailable
from chancery.kit.request import Operation, Reply
from tests.support.ca_harness import P256, Pki, openssl, pki_in
from tests.support.storage_open import count

HSM = "0b9a3ad0-51b0-4d4f-9d5b-8d5a5a1f0001"


@pytest.fixture
async def pki(tmp_path: Path) -> AsyncIterator[Pki]:
    async with pki_in(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(("key_type", "bits"), [("ec", 256), ("ec", 384), ("ec", 521), ("ed25519", 0), ("rsa", 2048)])
async def test_a_root_of_each_kind_verifies_itself(pki: Pki, tmp_path: Path, key_type: str, bits: int) -> None:
    data = await pki.root(key_type=key_type, key_bits=bits, issuer_name="one", key_name="its-key")
    path = tmp_path / "root.pem"
    path.write_text(data["certificate"])
    assert "OK" in openssl("verify", "-attime", "1906545600", "-CAfile", str(path), str(path))
    assert (data["issuer_name"], data["key_name"]) == ("one", "its-key")
    assert data["issuing_ca"] == data["certificate"]
    assert isinstance(data["expiration"], int)
    assert (await pki.read("key/its-key"))["key_type"] == key_type
    assert "private_key" not in data


async def test_a_root_is_everything_that_it_should_be(pki: Pki) -> None:
    await pki.write("config/urls", issuing_certificates="http://ca", crl_distribution_points="http://crl")
    data = await pki.root(
        common_name="root.example.com",
        alt_names="z.com,a.com",
        ip_sans="1.1.1.1",
        max_path_length=1,
        permitted_dns_domains="x.com,y.com",
        excluded_ip_ranges="10.0.0.0/8",
        country="DE",
        ou="b,a",
        key_usage="DigitalSignature",
    )
    text = openssl("x509", "-noout", "-text", given=data["certificate"])
    for expected in (
        "Subject: C = DE, OU = a + OU = b, CN = root.example.com",
        "DNS:root.example.com, DNS:z.com, DNS:a.com, IP Address:1.1.1.1",
        "CA:TRUE, pathlen:1",
        "Digital Signature, Certificate Sign, CRL Sign",
        "DNS:x.com",
        "IP:10.0.0.0/255.0.0.0",
        "CA Issuers - URI:http://ca",
        "URI:http://crl",
    ):
        assert expected in text


async def test_the_first_root_becomes_the_default_and_has_a_crl(pki: Pki) -> None:
    first = await pki.root(issuer_name="first")
    second = await pki.root(common_name="Second")
    assert (await pki.read("config/issuers"))["default"] == first["issuer_id"]
    assert (await pki.read("config/keys"))["default"] == first["key_id"]
    assert set(await pki.list("issuers")) == {first["issuer_id"], second["issuer_id"]}
    crl = openssl("crl", "-inform", "DER", "-noout", "-text", given=await pki.raw("crl"))
    assert "X509v3 CRL Number: \n                1" in crl
    assert set(await pki.list("certs")) == {first["serial_number"], second["serial_number"]}
    assert await count(pki.context.database, CRLS) == 2


async def test_the_default_may_follow_the_latest(pki: Pki) -> None:
    first = await pki.root()
    await pki.write("config/issuers", default=first["issuer_id"], default_follows_latest_issuer=True)
    second = await pki.root(common_name="Second")
    assert (await pki.read("config/issuers"))["default"] == second["issuer_id"]


@pytest.mark.parametrize(
    ("key_type", "format_", "private_key_format", "begins"),
    [
        ("rsa", "pem", "der", "-----BEGIN RSA PRIVATE KEY-----"),
        ("ec", "pem", "", "-----BEGIN EC PRIVATE KEY-----"),
        ("ec", "pem", "pkcs8", "-----BEGIN PRIVATE KEY-----"),
        ("ed25519", "pem_bundle", "der", "-----BEGIN PRIVATE KEY-----"),
        ("ec", "der", "pkcs8", "MI"),
    ],
)
async def test_exported_keys_are_shown_once(
    pki: Pki, key_type: str, format_: str, private_key_format: str, begins: str
) -> None:
    fields = {"common_name": "R", "key_type": key_type, "format": format_, "private_key_format": private_key_format}
    data = await pki.write("root/generate/exported", **fields)
    assert data["private_key"].startswith(begins)
    assert data["private_key_type"] == key_type
    assert data["certificate"].startswith(begins if format_ == "pem_bundle" else ("MI", "-----BEGIN CERT"))
    assert "private_key" not in await pki.read(f"key/{data['key_id']}")
    assert "private_key" not in await pki.read(f"issuer/{data['issuer_id']}")


async def test_a_managed_key_signs_and_is_named(pki: Pki) -> None:
    await pki.registry.add("hsm-key", HSM, P256)
    data = await pki.write("root/generate/kms", common_name="HSM Root", managed_key_name="hsm-key", key_name="k")
    assert "private_key" not in data
    shown = await pki.read("key/k")
    assert (shown["managed_key_id"], shown["managed_key_name"], shown["key_type"]) == (HSM, "hsm-key", "ec")
    again = await pki.write("root/generate/kms", common_name="Other Root", managed_key_id=HSM, key_name="ignored")
    assert again["key_id"] == data["key_id"]
    assert again["key_name"] == "k"


async def test_a_key_registered_anew_takes_the_place_of_its_old_registration(pki: Pki) -> None:
    await pki.registry.add("old", HSM, P256)
    first = await pki.write("root/generate/kms", common_name="One", managed_key_name="old")
    new = HSM[:-1] + "2"
    pki.registry.managed["new"] = new, pki.registry.managed.pop("old")[1]
    pki.registry.granted.add("new")
    second = await pki.write("root/generate/kms", common_name="Two", managed_key_name="new")
    assert second["key_id"] == first["key_id"]
    assert (await pki.read(f"key/{first['key_id']}"))["managed_key_id"] == new
    await pki.read(f"issuer/{first['issuer_id']}/crl")


async def test_an_existing_key_gets_a_second_root(pki: Pki) -> None:
    first = await pki.root(key_name="k")
    second = await pki.write("root/generate/existing", common_name="Second", key_ref="k")
    assert second["key_id"] == first["key_id"]
    issuers = await pki.reply(Operation.LIST, "issuers")
    assert issuers.data is not None
    assert {info["key_id"] for info in issuers.data["key_info"].values()} == {first["key_id"]}


async def test_roots_with_one_name_and_key_share_a_crl(pki: Pki) -> None:
    first = await pki.root(key_name="k")
    second = await pki.write("root/generate/existing", common_name="Test Root", key_ref="k")
    await pki.write("roles/r", allow_any_name=True, key_type="ec")
    leaf = await pki.write(f"issuer/{first['issuer_id']}/issue/r", common_name="a.com")
    await pki.write("revoke", serial_number=leaf["serial_number"])
    for issuer in (first, second):
        text = openssl("crl", "-noout", "-text", given=await pki.raw(f"issuer/{issuer['issuer_id']}/crl/pem"))
        assert leaf["serial_number"].replace(":", "").upper() in text


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("foo", {}, 'the "exported" path parameter must be'),
    ("internal", {"common_name": ""}, "common_name: is required"),
    ("internal", {"key_type": "foo"}, "unknown key type foo"),
    ("internal", {"key_type": "rsa", "key_bits": 1024}, "RSA keys < 2048 bits"),
    ("internal", {"key_type": "ec", "key_bits": 2048}, "unsupported bit length for EC key"),
    ("internal", {"format": "zz"}, 'the "format" path parameter must be'),
    ("internal", {"key_type": "rsa", "signature_bits": 100}, "unsupported hash signature algorithm: 100"),
    ("internal", {"issuer_name": "default"}, "reserved keyword 'default' can not be used as issuer name"),
    ("internal", {"issuer_name": "a b"}, "issuer name contained invalid characters"),
    ("internal", {"key_name": "Default"}, "reserved keyword 'default' can not be used as key name"),
    ("internal", {"issuer_name": "taken"}, "issuer name already in use"),
    ("internal", {"key_name": "taken"}, "key name already in use"),
    ("internal", {"ttl": "foo"}, "ttl: expected a duration"),
    ("internal", {"not_after": "foo"}, "not_after must be a time"),
    ("internal", {"ip_sans": "foo"}, 'the value "foo" is not a valid IP address'),
    ("internal", {"uri_sans": "%%%"}, "is not a valid URI"),
    ("internal", {"other_sans": "foo"}, "could not parse requested other SAN: expected a semicolon"),
    ("internal", {"max_path_length": -2}, "max_path_length: must be -1"),
    ("internal", {"country": "Germany"}, "country: must be a code of 2 letters"),
    ("internal", {"common_name": "a" * 65}, "common_name: must not be longer than 64"),
    ("internal", {"permitted_ip_ranges": "x"}, "permitted_ip_ranges: must be networks"),
    ("internal", {"key_usage": "x"}, "key_usage: unknown key usage"),
    ("kms", {}, "unable to determine managed key id: missing argument managed_key_name or managed_key_id"),
    (
        "kms",
        {"managed_key_name": "a", "managed_key_id": "b"},
        "only one argument of managed_key_name or managed_key_id",
    ),
    (
        "kms",
        {"managed_key_name": "nope"},
        "failed to lookup public key from managed key: no managed key found with name",
    ),
    ("kms", {"managed_key_id": HSM}, "failed to lookup public key from managed key: no managed key found with uuid"),
    ("kms", {"managed_key_name": "a", "key_type": "ec"}, "key_type nor key_bits arguments can be set in this mode"),
    ("existing", {"key_ref": "nope"}, "failed to lookup public key from existing key: unable to find PKI key"),
    ("existing", {"key_ref": "taken", "key_bits": 256}, "key_type nor key_bits arguments can be set in this mode"),
]


@pytest.mark.parametrize(("source", "fields", "words"), REFUSED)
async def test_refusals_leave_nothing_behind(pki: Pki, source: str, fields: dict[str, Any], words: str) -> None:
    await pki.root(issuer_name="taken", key_name="taken")
    before = await rows(pki)
    with pytest.raises(BadInput) as caught:
        await pki.write(f"root/generate/{source}", **{"common_name": "R", **fields})
    assert words in caught.value.message
    assert await rows(pki) == before


async def rows(pki: Pki) -> tuple[int, ...]:
    counts = [await count(pki.context.database, table) for table in (CERTIFICATES, CRLS)]
    names = [await collection.names() for collection in (pki.engine.issuers.records, pki.engine.keys.records)]
    return (*counts, *map(len, names))


async def test_a_key_that_the_mount_may_not_use(pki: Pki) -> None:
    await pki.registry.add("hsm-key", HSM, P256)
    pki.registry.granted.clear()
    with pytest.raises(BadInput, match=r"failed to lookup public key from managed key: mount .* allowed_managed_keys"):
        await pki.write("root/generate/kms", common_name="R", managed_key_name="hsm-key")


async def test_an_hsm_that_is_away_leaves_nothing_behind(pki: Pki) -> None:
    await pki.registry.add("hsm-key", HSM, P256)
    pki.registry.failures.append(Unavailable("the token is away"))
    with pytest.raises(Unavailable):
        await pki.write("root/generate/kms", common_name="R", managed_key_name="hsm-key")
    assert await rows(pki) == (0, 0, 0, 0)
    await pki.write("root/generate/kms", common_name="R", managed_key_name="hsm-key")


async def test_of_two_roots_with_one_name_one_wins(pki: Pki) -> None:
    results = await asyncio.gather(
        *(pki.root(common_name=f"R{number}", issuer_name="same") for number in range(4)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 3
    assert all(isinstance(one, BadInput) and "issuer name already in use" in one.message for one in refused)
    assert len(await pki.list("issuers")) == 1
    assert len(await pki.list("keys")) == 1
    assert len(await pki.list("certs")) == 1


async def test_roots_made_at_once_all_come_to_be(pki: Pki) -> None:
    made = await asyncio.gather(*(pki.root(common_name=f"R{number}") for number in range(5)))
    assert set(await pki.list("issuers")) == {one["issuer_id"] for one in made}
    assert (await pki.read("config/issuers"))["default"] in {one["issuer_id"] for one in made}


async def test_one_managed_key_used_at_once_is_one_key(pki: Pki) -> None:
    await pki.registry.add("hsm-key", HSM, P256)
    fields = {"managed_key_name": "hsm-key"}
    made = await asyncio.gather(*(pki.write("root/generate/kms", common_name=f"R{n}", **fields) for n in range(4)))
    assert len({one["key_id"] for one in made}) == 1
    assert len(await pki.list("keys")) == 1


async def test_everything_can_be_removed(pki: Pki) -> None:
    await pki.root(issuer_name="a", key_name="a")
    await pki.root(common_name="B", issuer_name="b")
    answer = await pki.delete("root")
    assert isinstance(answer, Reply)
    assert "deletes all keys and issuers" in answer.warnings[0]
    with pytest.raises(NotFound):
        await pki.list("issuers")
    assert (await pki.read("config/issuers"))["default"] == ""
    assert await pki.raw("ca") == b""
    await pki.root(issuer_name="a", key_name="a")


async def test_warnings_say_what_may_hurt_later(pki: Pki) -> None:
    fields = {"common_name": "R", "key_type": "ec", "ttl": "876000h", "max_path_length": 0}
    warnings = (await pki.reply(Operation.UPDATE, "root/generate/internal", fields)).warnings
    assert [words[:30] for words in warnings] == [
        'TTL "876000h0m0s" is longer th',
        "Max path length of the generat",
        "This mount hasn't configured a",
    ]


async def test_templated_addresses_that_cannot_be_filled_are_left_out(pki: Pki) -> None:
    await pki.write("config/urls", issuing_certificates="{{cluster_path}}/ca", enable_templating=True)
    reply = await pki.reply(Operation.UPDATE, "root/generate/internal", {"common_name": "R", "key_type": "ec"})
    assert "unable to template AIA URLs" in reply.warnings[0]


async def test_a_root_keeps_how_it_signs_for_its_crls(pki: Pki) -> None:
    data = await pki.root(key_type="rsa", use_pss=True, signature_bits=384)
    shown = await pki.read(f"issuer/{data['issuer_id']}")
    assert shown["revocation_signature_algorithm"] == "SHA384WithRSAPSS"
    assert "rsassaPss" in openssl("crl", "-noout", "-text", given=await pki.raw("crl/pem"))


async def test_the_stored_row_describes_the_certificate(pki: Pki) -> None:
    data = await pki.root(common_name="root.example.com", alt_names="a.com,x@a.com", ip_sans="1.2.3.4")
    row = await pki.context.database.read(lambda at: at.execute(select(CERTIFICATES)).one())
    parsed = ParsedCertificate.parse(row.der)
    assert (row.issuer_id, row.role, row.common_name) == (data["issuer_id"], "", "root.example.com")
    assert row.sans == "DNS:root.example.com\nDNS:a.com\nemail:x@a.com\nIP:1.2.3.4"
    assert (row.not_before, row.not_after) == (
        int(parsed.not_before.timestamp()),
        int(parsed.not_after.timestamp()),
    )
    assert parsed.extensions.key_usages == {KeyUsage.CERT_SIGN, KeyUsage.CRL_SIGN}
    assert await pki.context.database.read(lambda at: at.scalar(select(func.count()).select_from(CERTIFICATES))) == 1
