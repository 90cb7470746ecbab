"""Issuing and signing: what the answer says, what the certificate says, what is stored."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import Connection, Table

from ca.x509.certificate import ParsedCertificate, verifies
from chancery.kit.errors import BadInput, NotFound, Unavailable
from chancery.kit.request import Operation
from chancery.kit.storage import Database
from tests.support.ca_harness import NOW, Pki, openssl, pki_in
from tests.support.ca_requests import csr, dns

T = TypeVar("T")


@pytest.fixture
async def pki(tmp_path: Path) -> AsyncIterator[Pki]:
    async with pki_in(tmp_path) as opened:
        await opened.root(issuer_name="root")
        await opened.write("roles/web", allowed_domains="example.com", allow_subdomains=True, key_type="ec", ttl="1h")
        yield opened


def parse(data: Any) -> ParsedCertificate:
    return ParsedCertificate.parse_pem(data["certificate"])


async def test_what_issue_answers(pki: Pki) -> None:
    data = await pki.write("issue/web", common_name="a.example.com")
    root = await pki.read("issuer/root")
    certificate = parse(data)
    assert set(data) == {
        *("authority_key_id", "ca_chain", "certificate", "expiration", "issuing_ca", "not_before", "private_key"),
        *("private_key_type", "serial_number"),
    }
    assert data["expiration"] == int((NOW + timedelta(hours=1)).timestamp())
    assert data["ca_chain"] == [data["issuing_ca"]] == [root["certificate"].rstrip("\n")]
    assert data["serial_number"] == certificate.serial.to_bytes(20, "big").hex(":")
    assert verifies(certificate.der, ParsedCertificate.parse_pem(data["issuing_ca"]))
    private = load_pem_private_key(data["private_key"].encode(), None)
    assert private.public_key() == x509.load_der_x509_certificate(certificate.der).public_key()


@pytest.mark.parametrize(("key_type", "bits"), [("ec", 224), ("ec", 521), ("ed25519", 0), ("rsa", 2048)])
async def test_leaf_keys_of_each_kind(pki: Pki, key_type: str, bits: int) -> None:
    await pki.write("roles/any", allow_any_name=True, key_type=key_type, key_bits=bits)
    data = await pki.write("issue/any", common_name="a.com")
    key = parse(data).public_key
    assert (key.algorithm, key.bits, data["private_key_type"]) == (key_type, bits, key_type)


async def test_a_role_for_any_key_leaves_the_choice_to_the_request(pki: Pki) -> None:
    await pki.write("roles/any", allow_any_name=True, key_type="any")
    assert (await pki.write("issue/any", common_name="a.com", key_type="ec", key_bits=384))["private_key_type"] == "ec"
    with pytest.raises(BadInput, match='role key type "any" not allowed for issuing'):
        await pki.write("issue/any", common_name="a.com")
    reply = await pki.reply(Operation.UPDATE, "issue/web", {"common_name": "a.example.com", "key_type": "rsa"})
    assert reply.warnings == ("parameters key_type and key_bits ignored as role had specific values",)


async def test_formats(pki: Pki) -> None:
    der = await pki.write("issue/web", common_name="a.example.com", format="der", private_key_format="pkcs8")
    certificate = ParsedCertificate.parse(base64.b64decode(der["certificate"]))
    assert base64.b64decode(der["issuing_ca"]) == base64.b64decode(der["ca_chain"][0])
    assert verifies(certificate.der, ParsedCertificate.parse(base64.b64decode(der["issuing_ca"])))
    bundle = await pki.write("issue/web", common_name="a.example.com", format="pem_bundle")
    assert re.findall("BEGIN ([A-Z ]+)-", bundle["certificate"]) == ["EC PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"]
    rootless = await pki.write("issue/web", common_name="a.example.com", remove_roots_from_chain=True)
    assert "ca_chain" not in rootless
    with pytest.raises(BadInput, match="format"):
        await pki.write("issue/web", common_name="a.example.com", format="xml")


async def test_a_csr_is_certified(pki: Pki, tmp_path: Path) -> None:
    data = await pki.write("sign/web", csr=csr("a.example.com", dns("b.example.com")))
    assert "private_key" not in data
    certificate = parse(data)
    assert certificate.extensions.sans.dns == ("b.example.com", "a.example.com")
    root, leaf = tmp_path / "root.pem", tmp_path / "leaf.pem"
    root.write_text(data["issuing_ca"])
    leaf.write_text(data["certificate"])
    assert "OK" in openssl("verify", "-attime", "1906545600", "-x509_strict", "-CAfile", str(root), str(leaf))


async def test_the_role_shapes_the_certificate(pki: Pki) -> None:
    await pki.write(
        "roles/full",
        allow_any_name=True,
        key_type="ec",
        organization="Org",
        country="DE",
        key_usage="DigitalSignature",
        ext_key_usage="TimeStamping",
        ext_key_usage_oids="1.2.3.4",
        server_flag=False,
        policy_identifiers='[{"oid":"1.3.6.1.4.1.7.8","cps":"https://cps"}]',
        basic_constraints_valid_for_non_ca=True,
        not_before_duration="1h",
    )
    text = openssl("x509", "-noout", "-text", given=(await pki.write("issue/full", common_name="a.com"))["certificate"])
    for expected in (
        "Subject: C = DE, O = Org, CN = a.com",
        "Not Before: Jun  1 11:00:00 2030 GMT",
        "TLS Web Client Authentication, Time Stamping, 1.2.3.4",
        "CA:FALSE",
        "Policy: 1.3.6.1.4.1.7.8",
        "CPS: https://cps",
    ):
        assert expected in text


async def test_addresses_are_the_mount_s_or_the_issuer_s_own(pki: Pki) -> None:
    await pki.write("config/urls", ocsp_servers="http://mount/ocsp")
    first = await pki.write("issue/web", common_name="a.example.com")
    await pki.patch("issuer/root", ocsp_servers="http://{{issuer_id}}/ocsp", enable_aia_url_templating=True)
    second = await pki.write("issue/web", common_name="a.example.com")
    issuer = (await pki.read("issuer/root"))["issuer_id"]
    assert "http://mount/ocsp" in openssl("x509", "-noout", "-text", given=first["certificate"])
    assert f"http://{issuer}/ocsp" in openssl("x509", "-noout", "-text", given=second["certificate"])


async def test_a_role_names_its_issuer_and_a_path_another(pki: Pki) -> None:
    other = await pki.root(common_name="Other", issuer_name="other")
    await pki.write("roles/o", allow_any_name=True, key_type="ec", issuer_ref="other")
    by_role = await pki.write("issue/o", common_name="a.com", issuer_ref="root")
    by_path = await pki.write("issuer/root/issue/o", common_name="a.com", issuer_ref="other")
    assert by_role["issuing_ca"] == other["certificate"]
    assert by_path["issuing_ca"] != other["certificate"]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("issue/nope", {"common_name": "a.com"}, "unknown role: nope"),
    ("issuer/nope/issue/web", {"common_name": "a.example.com"}, "unable to find PKI issuer for reference: nope"),
    ("issue/web", {"common_name": "foo.com"}, "common name foo.com not allowed by this role"),
    ("issue/web", {"common_name": "a.example.com", "ip_sans": "x"}, 'the value "x" is not a valid IP address'),
    (
        "issue/web",
        {"common_name": "a.example.com", "not_after": "2060-01-01T00:00:00Z"},
        "beyond the expiration of the CA certificate",
    ),
    ("issue/web", {"common_name": "a" * 60 + ".example.com"}, "common_name: must not be longer than 64"),
    ("sign/web", {}, '"csr" is empty'),
    ("sign/web", {"csr": "foo"}, "csr: "),
    ("sign/web", {"csr": csr("a.example.com").replace("M", "N", 1)}, "csr: "),
    ("sign/web", {"csr": csr("a.example.com", key="rsa-2048")}, "role requires keys of type ec"),
]


@pytest.mark.parametrize(("path", "fields", "words"), REFUSED)
async def test_refusals_store_nothing(pki: Pki, path: str, fields: dict[str, Any], words: str) -> None:
    await pki.patch("issuer/root", leaf_not_after_behavior="err")
    await pki.write("roles/web", allowed_domains="example.com", allow_subdomains=True, key_type="ec")
    with pytest.raises(BadInput) as caught:
        await pki.write(path, **fields)
    assert words in caught.value.message
    assert len(await pki.list("certs")) == 1


async def test_no_store_leaves_no_row(pki: Pki) -> None:
    await pki.write("roles/web", allow_any_name=True, key_type="ec", no_store=True)
    data = await pki.write("issue/web", common_name="a.com")
    with pytest.raises(NotFound):
        await pki.read(f"cert/{data['serial_number']}")


async def test_an_issuer_that_may_not_issue(pki: Pki) -> None:
    await pki.patch("issuer/root", usage="read-only,crl-signing")
    with pytest.raises(BadInput, match="requested usage issuing-certificates for issuer"):
        await pki.write("issue/web", common_name="a.example.com")


async def test_without_an_issuer_the_message_says_so(pki: Pki) -> None:
    await pki.delete("root")
    with pytest.raises(BadInput, match="no default issuer currently configured"):
        await pki.write("issue/web", common_name="a.example.com")


async def test_an_hsm_that_is_away_costs_nothing(pki: Pki) -> None:
    pki.registry.failures.append(Unavailable("the token is away"))
    with pytest.raises(Unavailable):
        await pki.write("issue/web", common_name="a.example.com")
    assert len(await pki.list("certs")) == 1


async def test_changes_take_effect_at_once(pki: Pki) -> None:
    await pki.write("issue/web", common_name="a.example.com")
    await pki.patch("roles/web", allowed_domains="other.org")
    with pytest.raises(BadInput, match="not allowed by this role"):
        await pki.write("issue/web", common_name="a.example.com")
    await pki.delete("roles/web")
    with pytest.raises(BadInput, match="unknown role"):
        await pki.write("issue/web", common_name="a.other.org")


async def test_verbatim_means_the_csr_s_subject_and_names(pki: Pki) -> None:
    request = csr("Some Body", dns("foo.bar"), organization="Theirs", serial_number="7")
    data = await pki.write("sign-verbatim", csr=request, key_usage="DigitalSignature", ext_key_usage="ClientAuth")
    certificate = parse(data)
    assert certificate.subject_text == "serialNumber=7,CN=Some Body,O=Theirs"
    assert certificate.extensions.sans.dns == ("foo.bar",)
    assert certificate.extensions.ext_key_usages == ("1.3.6.1.5.5.7.3.2",)
    by_role = await pki.write("sign-verbatim/web", csr=request)
    assert by_role["expiration"] == int((NOW + timedelta(hours=1)).timestamp())
    with pytest.raises(BadInput, match="unknown role"):
        await pki.write("sign-verbatim/nope", csr=request)


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads = self.writes = self.appends = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Count and read."""
        self.reads += 1
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Count and write."""
        self.writes += 1
        return await self._database.write(work)

    async def append(self, table: Table, row: Mapping[str, Any]) -> None:
        """Count and append."""
        self.appends += 1
        await self._database.append(table, row)


async def test_a_warm_mount_signs_without_reading(tmp_path: Path) -> None:
    counting: list[Counting] = []

    def wrap(database: Database) -> Database:
        counting.append(Counting(database))
        return counting[0]

    async with pki_in(tmp_path, wrap=wrap) as pki:
        await pki.root()
        await pki.write("config/urls", issuing_certificates="http://ca")
        await pki.write("roles/r", allow_any_name=True, key_type="ec")
        await pki.write("sign/r", csr=csr("a.com"))
        before = counting[0].reads, counting[0].writes, counting[0].appends
        for _ in range(3):
            await pki.write("sign/r", csr=csr("a.com"))
            await pki.write("issue/r", common_name="b.com")
        after = counting[0].reads, counting[0].writes, counting[0].appends
    assert tuple(new - old for new, old in zip(after, before, strict=True)) == (0, 0, 6)


async def test_many_at_once_are_all_stored_under_different_numbers(pki: Pki) -> None:
    request = csr("a.example.com")
    made = await asyncio.gather(*(pki.write("sign/web", csr=request) for _ in range(50)))
    stored = await pki.list("certs")
    assert {one["serial_number"] for one in made} <= set(stored)
    assert len(stored) == 51


async def test_lists_come_in_pages(pki: Pki) -> None:
    await asyncio.gather(*(pki.write("issue/web", common_name="a.example.com") for _ in range(6)))
    whole = await pki.list("certs")
    assert whole == sorted(whole)
    first = await pki.list("certs", limit=3)
    rest = await pki.list("certs", after=first[-1], limit=100)
    assert first + rest == whole
    with pytest.raises(NotFound):
        await pki.list("certs", after=whole[-1])
    with pytest.raises(BadInput, match="after"):
        await pki.list("certs", after="zz")


async def test_reading_a_certificate(pki: Pki) -> None:
    data = await pki.write("issue/web", common_name="a.example.com")
    serial = data["serial_number"]
    for spelling in (serial, serial.upper(), serial.replace(":", "-")):
        shown = await pki.read(f"cert/{spelling}")
        assert shown["certificate"] == data["certificate"]
        assert (shown["revocation_time"], shown["revocation_time_rfc3339"]) == (0, "")
    assert await pki.raw(f"cert/{serial}/raw") == parse(data).der
    assert (await pki.raw(f"cert/{serial}/raw/pem")).decode() == data["certificate"]
    for unknown in ("00:11", "zz"):
        with pytest.raises(NotFound):
            await pki.read(f"cert/{unknown}")
    assert await pki.raw("cert/00:11/raw") == b""
    assert await pki.raw("cert/ca/raw") == await pki.raw("ca")
    assert (await pki.read("cert/ca"))["certificate"].encode() == await pki.raw("ca/pem")
    assert (await pki.read("cert/ca_chain"))["ca_chain"].encode() == await pki.raw("ca_chain")
