"""Issuers, keys, roles and settings as clients read and change them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chancery.kit.errors import BadInput, NotFound
from chancery.kit.request import Operation, RawReply
from tests.support.ca_harness import P256, Pki, pki_in

HSM = "0b9a3ad0-51b0-4d4f-9d5b-8d5a5a1f0001"


@pytest.fixture
async def pki(tmp_path: Path) -> AsyncIterator[Pki]:
    async with pki_in(tmp_path) as opened:
        await opened.root(issuer_name="root", key_name="root-key")
        yield opened


async def test_reading_an_issuer(pki: Pki) -> None:
    shown = await pki.read("issuer/root")
    key = await pki.read("key/root-key")
    assert shown["key_id"] == key["key_id"]
    assert shown["usage"] == "crl-signing,issuing-certificates,ocsp-signing,read-only"
    assert shown["leaf_not_after_behavior"] == "err"
    assert shown["manual_chain"] is None
    assert shown["revoked"] is False
    assert shown["ca_chain"] == [shown["certificate"]]
    assert shown["certificate"].endswith("-----END CERTIFICATE-----\n")
    assert await pki.read("issuer/root/json") == {
        name: shown[name] for name in ("ca_chain", "certificate", "issuer_id", "issuer_name")
    }
    assert (await pki.raw("issuer/root/pem")).decode() == shown["certificate"]
    assert await pki.raw("issuer/root/der") == await pki.raw("ca")
    for reference in (shown["issuer_id"], shown["issuer_id"].upper(), "default"):
        assert await pki.read(f"issuer/{reference}") == shown


async def test_what_is_public_has_vault_s_content_types(pki: Pki) -> None:
    types = {}
    for path in ("ca", "ca/pem", "ca_chain", "crl", "crl/pem", "issuer/root/pem", "issuer/root/der"):
        answer = await pki.call(Operation.READ, path)
        assert isinstance(answer, RawReply)
        types[path] = answer.content_type
        match = pki.router.match(path)
        assert match is not None
        assert match.route.unauthenticated
    assert types == {
        "ca": "application/pkix-cert",
        "ca/pem": "application/pem-certificate-chain",
        "ca_chain": "application/pkix-cert",
        "crl": "application/pkix-crl",
        "crl/pem": "application/x-pem-file",
        "issuer/root/pem": "application/pem-certificate-chain",
        "issuer/root/der": "application/pkix-cert",
    }


@pytest.mark.parametrize("path", ["issuer/x", "issuer/x/json", "issuer/x/pem", "issuer/x/crl", "key/x", "roles/x"])
async def test_what_is_absent_is_not_found(pki: Pki, path: str) -> None:
    with pytest.raises(NotFound):
        await pki.read(path)


async def test_a_write_sets_back_what_it_does_not_say_and_a_patch_does_not(pki: Pki) -> None:
    identity = (await pki.read("issuer/root"))["issuer_id"]
    await pki.patch("issuer/root", leaf_not_after_behavior="permit", ocsp_servers="http://o")
    patched = await pki.patch("issuer/root", issuer_name="other")
    assert (patched["issuer_name"], patched["leaf_not_after_behavior"]) == ("other", "permit")
    assert patched["ocsp_servers"] == ["http://o"]
    written = await pki.write("issuer/other", issuer_name="root", usage="read-only,crl-signing")
    assert (written["leaf_not_after_behavior"], written["ocsp_servers"]) == ("err", [])
    assert written["usage"] == "crl-signing,read-only"
    assert written["issuer_id"] == identity
    with pytest.raises(NotFound):
        await pki.read("issuer/other")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"issuer_name": "taken"}, "issuer name already in use"),
        ({"issuer_name": "default"}, "reserved keyword"),
        ({"issuer_name": HSM}, "can not be a UUID"),
        ({"usage": "foo"}, "Unable to parse specified usages: [foo]"),
        ({"leaf_not_after_behavior": "foo"}, "must be one of err, truncate, permit, always_enforce_err"),
        ({"manual_chain": "foo"}, "unable to find PKI issuer for reference: foo"),
        ({"manual_chain": "taken"}, "must begin with the issuer itself"),
        ({"manual_chain": "self,self"}, "names an issuer twice"),
        ({"revocation_signature_algorithm": "foo"}, "unknown signature algorithm"),
        ({"revocation_signature_algorithm": "SHA256WithRSA"}, "unable to use issuer with a key of type ec"),
        ({"issuing_certificates": "foo"}, "invalid URL found in Authority Information Access (AIA) parameter"),
        ({"issuing_certificates": "http://{{x}}", "enable_aia_url_templating": True}, "invalid URL found"),
    ],
)
async def test_an_issuer_refuses_nonsense(pki: Pki, fields: dict[str, Any], words: str) -> None:
    await pki.root(common_name="Other", issuer_name="taken")
    before = await pki.read("issuer/root")
    with pytest.raises(BadInput) as caught:
        await pki.patch("issuer/root", **fields)
    assert words in caught.value.message
    assert await pki.read("issuer/root") == before


async def test_a_manual_chain_is_shown_instead_of_the_one_found(pki: Pki) -> None:
    other = await pki.root(common_name="Other", issuer_name="other")
    shown = await pki.patch("issuer/root", manual_chain="self,other")
    assert shown["manual_chain"] == [shown["issuer_id"], other["issuer_id"]]
    assert shown["ca_chain"][1].rstrip() == other["certificate"]
    await pki.delete("issuer/other")
    assert len((await pki.read("issuer/root"))["ca_chain"]) == 1


async def test_a_template_that_cannot_be_filled_warns_and_then_refuses(pki: Pki) -> None:
    fields = {"issuing_certificates": "{{cluster_path}}/ca", "enable_aia_url_templating": True}
    reply = await pki.reply(Operation.PATCH, "issuer/root", fields)
    assert "issuance may fail" in reply.warnings[0]
    await pki.write("roles/r", allow_any_name=True, key_type="ec")
    with pytest.raises(BadInput, match="set it at config/cluster"):
        await pki.write("issue/r", common_name="a.com")
    await pki.write("config/cluster", path="https://ca.example.com/v1/pki")
    await pki.write("issue/r", common_name="a.com")


async def test_the_default_issuer_can_be_chosen_and_deleted(pki: Pki) -> None:
    other = await pki.root(common_name="Other", issuer_name="other")
    assert (await pki.write("config/issuers", default="other"))["default"] == other["issuer_id"]
    for wrong in ("", "default", "nope"):
        with pytest.raises(BadInput):
            await pki.write("config/issuers", default=wrong)
    reply = await pki.delete("issuer/other")
    assert reply is not None
    assert not isinstance(reply, RawReply)
    assert reply.warnings
    assert (await pki.read("config/issuers"))["default"] == ""
    await pki.delete("issuer/other")
    assert len(await pki.list("certs")) == 2


async def test_keys_are_made_renamed_chosen_and_deleted(pki: Pki) -> None:
    made = await pki.write("keys/generate/internal", key_type="ec", key_name="k1")
    assert set(made) == {"key_id", "key_name", "key_type"}
    exported = await pki.write("keys/generate/exported", key_type="ed25519")
    assert exported["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert (await pki.write("key/k1", key_name="k2"))["key_name"] == "k2"
    with pytest.raises(BadInput, match="key name already in use"):
        await pki.write("key/k2", key_name="root-key")
    with pytest.raises(BadInput, match="key name already in use"):
        await pki.write("keys/generate/internal", key_type="ec", key_name="k2")
    assert (await pki.write("config/keys", default="k2"))["default"] == made["key_id"]
    with pytest.raises(BadInput, match="Key in Use by Issuer"):
        await pki.delete("key/root-key")
    await pki.delete("key/k2")
    await pki.delete("key/k2")
    assert (await pki.read("config/keys"))["default"] == ""
    listed = await pki.reply(Operation.LIST, "keys")
    assert listed.data is not None
    assert {info["key_name"] for info in listed.data["key_info"].values()} == {"root-key", ""}


async def test_a_managed_key_is_added_once(pki: Pki) -> None:
    await pki.registry.add("hsm-key", HSM, P256)
    first = await pki.write("keys/generate/kms", managed_key_name="hsm-key", key_name="k")
    again = await pki.write("keys/generate/kms", managed_key_id=HSM, key_name="other")
    assert first == again == {"key_id": first["key_id"], "key_name": "k", "key_type": "ec"}
    with pytest.raises(BadInput, match="missing argument managed_key_name or managed_key_id"):
        await pki.write("keys/generate/kms")
    pki.registry.granted.clear()
    with pytest.raises(BadInput, match="allowed_managed_keys"):
        await pki.read("key/k")


async def test_roles_are_listed_in_pages(pki: Pki) -> None:
    for name in ("c", "a", "b.1", "_x"):
        await pki.write(f"roles/{name}", allow_any_name=True)
    assert await pki.list("roles") == ["_x", "a", "b.1", "c"]
    assert await pki.list("roles", limit=2) == ["_x", "a"]
    assert await pki.list("roles", after="a") == ["b.1", "c"]
    with pytest.raises(BadInput, match="name"):
        await pki.write("roles/a b")
    with pytest.raises(BadInput, match="Unable to fetch role entry to patch"):
        await pki.patch("roles/nope", ttl="1h")


async def test_a_role_warns_of_what_will_not_work(pki: Pki) -> None:
    reply = await pki.reply(Operation.UPDATE, "roles/r", {"issuer_ref": "nope", "generate_lease": True})
    assert "no issuing certificate currently has that name" in reply.warnings[1]
    await pki.delete("root")
    reply = await pki.reply(Operation.UPDATE, "roles/r", {})
    assert "no default issuing certificate" in reply.warnings[0]


async def test_addresses_are_merged_and_checked(pki: Pki) -> None:
    await pki.write("config/urls", issuing_certificates="http://a,http://b")
    shown = await pki.write("config/urls", ocsp_servers="http://o", crl_distribution_points="ldap:///cn=x")
    assert shown == await pki.read("config/urls")
    assert shown["issuing_certificates"] == ["http://a", "http://b"]
    with pytest.raises(BadInput) as caught:
        await pki.write("config/urls", issuing_certificates="foo", ocsp_servers="http://")
    assert [problem.field for problem in caught.value.problems] == ["issuing_certificates", "ocsp_servers"]
    with pytest.raises(BadInput, match="path"):
        await pki.write("config/cluster", path="nowhere")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expiry": "foo"}, "given expiry could not be decoded"),
        ({"expiry": "-1h"}, "expiry must be positive"),
        ({"ocsp_expiry": "x"}, "given ocsp_expiry could not be decoded"),
        ({"auto_rebuild": True, "auto_rebuild_grace_period": "100h"}, "must be strictly shorter than CRL expiry (72h)"),
        ({"enable_delta": True}, "Delta CRLs cannot be enabled when auto rebuilding is disabled"),
        ({"max_crl_entries": 0}, "max_crl_entries must be positive"),
    ],
)
async def test_crl_settings_refuse_nonsense(pki: Pki, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        await pki.write("config/crl", **fields)
    assert words in caught.value.message
    assert (await pki.read("config/crl"))["expiry"] == "72h"


async def test_crl_settings_are_kept_as_they_were_written(pki: Pki) -> None:
    await pki.write("config/crl", expiry="24h", ocsp_expiry="0s")
    shown = await pki.write("config/crl", auto_rebuild=True)
    assert (shown["expiry"], shown["ocsp_expiry"], shown["auto_rebuild"]) == ("24h", "0s", True)


async def test_every_pattern_is_served_once_and_described(pki: Pki) -> None:
    routes = pki.engine.routes()
    assert len({route.pattern for route in routes}) == len(routes)
    for route in routes:
        for _, served in route.endpoints():
            assert served.summary, route.pattern
            assert all(field.description for field in served.params.model_fields.values())


async def test_disabling_the_mount_removes_its_rows(pki: Pki) -> None:
    assert len(await pki.list("certs")) == 1
    await pki.engine.erase()
    with pytest.raises(NotFound):
        await pki.list("certs")
