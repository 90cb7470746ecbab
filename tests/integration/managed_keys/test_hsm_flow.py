"""Managed keys in a real token, through the routes, as the tutorial walks them."""

import asyncio
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chancery.kit.errors import BadInput, NotFound, Unavailable
from chancery.kit.request import Operation
from managed_keys.extension import installed_providers
from managed_keys.keys import SignatureScheme
from managed_keys.providers.pkcs11 import softhsm
from managed_keys.providers.pkcs11.provider import PKCS11
from managed_keys.providers.pkcs11.softhsm import prepare_dev_token
from tests.support.hsm_processes import is_running
from tests.support.hsm_token import SoftToken, make_token
from tests.support.hsm_world import HsmWorld


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    """Make a token for all tests here."""
    return make_token(tmp_path_factory.mktemp("flow"))


@pytest.fixture
async def world(token: SoftToken) -> AsyncIterator[HsmWorld]:
    """Return a server over the token."""
    async with HsmWorld(token) as world:
        yield world


async def test_the_tutorial(world: HsmWorld) -> None:
    """Write, read, test; refused before the tune, allowed after; deletable only when no mount names it."""
    world.mount = world.host.tune(world.mount)
    uuid = await world.write(
        key_label="learn", mechanism="0x0001", curve="", key_bits="2048", allow_store_key="true", any_mount="false"
    )
    read = await world.read()
    assert (read["UUID"], read["type"], read["pin"], read["mechanism"], read["key_bits"]) == (
        uuid, "pkcs11", "redacted", 1, 2048,
    )  # fmt: skip
    tested = await world.test_sign()
    assert (tested["generated"], tested["key_type"], tested["key_bits"]) == (True, "rsa", 2048)
    assert (await world.test_sign(use_pss="true", hash_algorithm="sha2-512"))["signature_algorithm"] == "rsa-pss-sha512"
    assert (await world.test_sign())["generated"] is False
    public = serialization.load_pem_public_key(str(tested["public_key"]).encode())
    assert isinstance(public, rsa.RSAPublicKey)
    with pytest.raises(BadInput, match=r'mount "pki/" may not use the managed key "k"'):
        await world.sign(uuid)
    world.mount = world.host.tune(world.mount, "k")
    key = await world.open(uuid)
    assert await key.sign(b"m", SignatureScheme.RSA_PKCS1_SHA256)
    with pytest.raises(BadInput, match="allowed_managed_keys of pki/"):
        await world.call(Operation.DELETE, "managed-keys/pkcs11/k")
    world.mount = world.host.tune(world.mount)
    await world.call(Operation.DELETE, "managed-keys/pkcs11/k")
    with pytest.raises(NotFound):
        await world.read()
    with pytest.raises(NotFound):
        await world.call(Operation.LIST, "managed-keys/pkcs11")
    assert "learn" in world.token.pkcs11_tool("-O"), "the key itself stays"


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({"mechanism": "0x1041", "curve": "P256"}, "sign"),
        ({"mechanism": "0x0009", "curve": "", "key_bits": 2048}, "decrypt"),
        pytest.param({"mechanism": "0x1041", "curve": "P521"}, "sign", marks=pytest.mark.slow),
        pytest.param({"mechanism": "0x0001", "curve": "", "key_bits": 4096}, "sign", marks=pytest.mark.slow),
        pytest.param({"mechanism": "0x1057", "curve": ""}, "sign", marks=pytest.mark.slow),
    ],
    ids=["p256", "oaep", "p521", "rsa4096", "ed25519"],
)
async def test_generated_keys_never_leave_the_token(
    world: HsmWorld, fields: dict[str, Any], usage: str, request: pytest.FixtureRequest
) -> None:
    """An independent program reads the attributes."""
    label = str(request.node.name)
    uuid = await world.write(key_label=label, **fields)
    await world.open(uuid)
    listed = world.token.pkcs11_tool("-O", "--type", "privkey")
    shown = next(part for part in listed.split("Private Key Object") if f"{label}\n" in part)
    access = re.search(r"Access:\s+(.*)", shown)
    assert access is not None
    assert {part.strip() for part in access[1].split(",")} == {
        "sensitive", "always sensitive", "never extractable", "local",
    }  # fmt: skip
    usages = re.search(r"Usage:\s+(.*)", shown)
    assert usages is not None
    assert usages[1].strip() == usage


async def test_a_key_for_decryption_does_not_sign(world: HsmWorld) -> None:
    await world.write(key_label="oaep", mechanism=9, curve="", key_bits=2048, rsa_oaep_hash="sha256")
    with pytest.raises(BadInput, match="its mechanism does not sign"):
        await world.test_sign()


async def test_a_pss_key_makes_pss_signatures_only(world: HsmWorld) -> None:
    await world.write(key_label="pss", mechanism="0xD", curve="", key_bits=2048)
    with pytest.raises(BadInput, match="cannot make rsa-pkcs1-sha256 signatures: it signs with rsa-pss-sha1"):
        await world.test_sign()
    assert await world.test_sign(use_pss=True)


async def test_digests_of_test_sign(world: HsmWorld) -> None:
    await world.write(key_label="digests")
    for name in ("sha1", "sha2-224", "sha2-512", "sha3-256"):
        tested = await world.test_sign(hash_algorithm=name)
        assert tested["signature_algorithm"] == f"ecdsa-{name.replace('sha2-', 'sha')}"
    with pytest.raises(BadInput, match="hash_algorithm: expected one of sha1, sha2-224"):
        await world.test_sign(hash_algorithm="md5")


async def test_a_key_that_somebody_else_made(world: HsmWorld) -> None:
    """By label and CKA_ID; its public half is what OpenSC wrote."""
    world.token.pkcs11_tool("--keypairgen", "--key-type", "EC:secp384r1", "--label", "made", "--id", "0c")
    uuid = await world.write(key_label="", key_id="0x0C", allow_generate_key=False)
    key = await world.open(uuid)
    public = serialization.load_der_public_key(key.public_key.spki)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(await key.sign(b"m", SignatureScheme.ECDSA_SHA384), b"m", ec.ECDSA(hashes.SHA384()))


async def test_several_keys_share_the_processes_of_a_token(world: HsmWorld) -> None:
    world.mount = world.host.tune(world.mount, "a", "b")
    uuids = [await world.write(name, key_label=f"shared-{name}") for name in ("a", "b")]
    signed = await asyncio.gather(*(world.sign(uuid, bytes([i])) for i in range(50) for uuid in uuids))
    assert len(set(signed)) == 100
    assert len(world.process_ids) == 1


async def test_the_last_entry_of_a_token_takes_its_processes_along(world: HsmWorld) -> None:
    uuid = await world.write(key_label="last")
    await world.open(uuid)
    (pid,) = world.process_ids
    world.host.tune(world.mount)
    await world.call(Operation.DELETE, "managed-keys/pkcs11/k")
    await world.settle()
    assert not world.backend._pools
    assert not is_running(pid)


async def test_a_key_that_somebody_kept_starts_nothing_after_sealing_or_a_change(world: HsmWorld) -> None:
    uuid = await world.write(key_label="kept")
    changed = await world.open(uuid)
    await world.write(key_label="kept", max_parallel=2)
    sealed = await world.open(uuid)
    await world.settle()
    await world.extension.stop()
    for key in (changed, sealed):
        with pytest.raises(Unavailable):
            await key.sign(b"m", SignatureScheme.ECDSA_SHA256)
    assert not world.backend._pools


async def test_types_that_are_not_installed(world: HsmWorld) -> None:
    for operation, path in (
        (Operation.LIST, "managed-keys/awskms"),
        (Operation.READ, "managed-keys/awskms/k"),
        (Operation.UPDATE, "managed-keys/awskms/k"),
        (Operation.DELETE, "managed-keys/awskms/k"),
        (Operation.UPDATE, "managed-keys/awskms/k/test/sign"),
    ):
        with pytest.raises(BadInput, match="unsupported managed key type"):
            await world.call(operation, path)


async def test_usages_bind_test_sign_too(world: HsmWorld) -> None:
    await world.write(key_label="usages", usages="decrypt")
    with pytest.raises(BadInput, match="is not for sign"):
        await world.test_sign()


def test_the_provider_is_found_by_its_entry_point() -> None:
    assert installed_providers()["pkcs11"] is PKCS11


class TestDevToken:
    async def test_it_is_prepared_once_and_kept(self, tmp_path: Path) -> None:
        first = await asyncio.to_thread(prepare_dev_token, tmp_path)
        second = await asyncio.to_thread(prepare_dev_token, tmp_path)
        assert first == second
        (library,) = first.kms_libraries
        pin_file = tmp_path / "softhsm" / "pin"
        pin = pin_file.read_text().strip()
        assert f"token label chancery-dev, PIN {pin}" in first.banner[0]
        for path in (pin_file, tmp_path / "softhsm" / "softhsm2.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for path in (tmp_path / "softhsm", tmp_path / "softhsm" / "tokens"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        async with HsmWorld(SoftToken(library, "chancery-dev", pin, tmp_path)) as world:
            await world.sign(await world.write())
        again = await asyncio.to_thread(prepare_dev_token, tmp_path)
        async with HsmWorld(SoftToken(again.kms_libraries[0], "chancery-dev", pin, tmp_path)) as world:
            await world.sign(await world.write(allow_generate_key=False))

    def test_without_softhsm_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(softhsm, "MODULES", ())
        additions = prepare_dev_token(tmp_path)
        assert not additions.kms_libraries
        assert "apt-get install softhsm2" in additions.banner[0]
