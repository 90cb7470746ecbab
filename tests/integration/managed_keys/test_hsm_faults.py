"""What HSMs do to a CA: each case has its own clear error, and where it can be cured, it cures itself."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chancery.kit.errors import BackendRefused, BadInput, Unavailable
from managed_keys.providers.pkcs11.crew import Crew
from tests.support.hsm_processes import (
    ends_within,
    is_running,
    kernel_file,
    leads_own_session,
    shared_object_that_is_no_module,
)
from tests.support.hsm_token import SoftToken, make_token
from tests.support.hsm_world import HsmWorld

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    """Make a token for the tests that leave it as it was."""
    return make_token(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def own(tmp_path: Path) -> SoftToken:
    """Make a token for one test to spoil."""
    return make_token(tmp_path / "hsm")


@pytest.fixture
async def world(shared: SoftToken) -> AsyncIterator[HsmWorld]:
    """Return a server; each test has a key label of its own."""
    async with HsmWorld(shared) as world:
        yield world


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """Return a key label that no other test uses."""
    return str(request.node.name)


async def until_away(world: HsmWorld, uuid: str) -> Unavailable:
    """Sign until that fails because the token is away."""
    for _ in range(5):
        try:
            await world.sign(uuid)
        except Unavailable as error:
            return error
    raise AssertionError("the token is not away")


async def sign_later(world: HsmWorld, uuid: str) -> None:
    """Sign when the breaker's delay is over, which here is at once."""
    world.let_time_pass()
    await world.sign(uuid)


class TestProcesses:
    async def test_a_killed_signer_is_replaced_and_nobody_notices(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label)
        key = await world.open(uuid)
        signing = [asyncio.ensure_future(world.sign(uuid, bytes([i]))) for i in range(100)]
        await asyncio.sleep(0)
        (before,) = world.process_ids
        os.kill(before, signal.SIGKILL)
        signatures = await asyncio.gather(*signing)
        assert len(set(signatures)) == 100
        assert world.process_ids != [before]
        assert await world.open(uuid) is key, "the open key survives its process"

    async def test_a_module_that_crashes_again_and_again_opens_the_breaker(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label)
        await world.open(uuid)
        for _ in range(3):
            for pid in world.process_ids:
                os.kill(pid, signal.SIGSEGV)
            signing = asyncio.ensure_future(world.sign(uuid))
            while not signing.done():
                for pid in world.process_ids:
                    os.kill(pid, signal.SIGSEGV)
                await asyncio.sleep(0.001)
            error = signing.exception()
            if isinstance(error, Unavailable):
                break
        else:
            raise AssertionError("the breaker never opened")
        assert "ended unexpectedly" in error.message
        assert error.retry_after >= 1
        await sign_later(world, uuid)

    async def test_a_hung_signer_is_killed_within_the_deadline(self, shared: SoftToken, label: str) -> None:
        async with HsmWorld(shared.with_library(timeout=1.0)) as world:
            uuid = await world.write(key_label=label)
            await world.open(uuid)
            (before,) = world.process_ids
            os.kill(before, signal.SIGSTOP)
            loop = asyncio.get_running_loop()
            started = loop.time()
            with pytest.raises(Unavailable, match=r"did not answer within 1 s|no time for this within 1 s"):
                await world.sign(uuid)
            assert loop.time() - started < 3
            await sign_later(world, uuid)
            assert world.process_ids != [before]

    async def test_processes_end_with_the_server(self, shared: SoftToken, label: str) -> None:
        async with HsmWorld(shared) as world:
            await world.sign(await world.write(key_label=label))
            (pid,) = world.process_ids
            assert is_running(pid)
        assert not is_running(pid)

    async def test_max_parallel_processes_share_the_work(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label, max_parallel=3)
        await world.sign(uuid)
        async with asyncio.timeout(20):
            while len(world.process_ids) < 3:
                await world.sign(uuid)
        await asyncio.gather(*(world.sign(uuid, bytes([i])) for i in range(200)))
        for pid in world.process_ids[:2]:
            os.kill(pid, signal.SIGKILL)
        signatures = await asyncio.gather(*(world.sign(uuid, bytes([i])) for i in range(200)))
        assert len(set(signatures)) == 200

    async def test_a_signer_has_nothing_of_the_servers(
        self, world: HsmWorld, label: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CHANCERY_SECRET", "x")
        await world.sign(await world.write(key_label=label))
        (pid,) = world.process_ids
        assert world.token.pin.encode() not in kernel_file(pid, "cmdline")
        if os.geteuid() == 0:
            environment = kernel_file(pid, "environ")
            assert world.token.pin.encode() not in environment
            assert b"CHANCERY_SECRET" not in environment
            assert b"SOFTHSM2_CONF" in environment
        else:
            with pytest.raises(PermissionError):
                kernel_file(pid, "environ")
        assert re.search(rb"Max core file size\s+0\s+0", kernel_file(pid, "limits"))
        assert leads_own_session(pid)


class TestPins:
    async def test_a_wrong_pin_is_tried_once_until_the_entry_is_written(
        self, world: HsmWorld, label: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logins = count_logins(monkeypatch)
        uuid = await world.write(key_label=label, pin="wrong-pin")
        for _ in range(5):
            with pytest.raises(BackendRefused, match=r"CKR_PIN_INCORRECT; it is not tried again.*write the key anew"):
                await world.sign(uuid)
        await asyncio.gather(*(world.sign(uuid) for _ in range(10)), return_exceptions=True)
        assert len(logins) == 1
        await world.write(key_label=label, pin="wrong-too")
        with pytest.raises(BackendRefused, match="CKR_PIN_INCORRECT"):
            await world.sign(uuid)
        assert len(logins) == 2
        await world.write(key_label=label)
        await world.sign(uuid)

    async def test_an_entry_with_a_wrong_pin_does_not_disturb_the_others(self, world: HsmWorld, label: str) -> None:
        good = await world.write(key_label=label)
        await world.sign(good)
        world.mount = world.host.tune(world.mount, "k", "bad")
        bad = await world.write("bad", key_label=label, pin="wrong-pin")
        with pytest.raises(BackendRefused, match="PIN"):
            await world.sign(bad)
        await world.sign(good)

    async def test_no_error_shows_a_pin(self, world: HsmWorld, label: str, caplog: pytest.LogCaptureFixture) -> None:
        uuid = await world.write(key_label=label, pin="wrong-pin")
        with pytest.raises(BackendRefused) as caught:
            await world.sign(uuid)
        assert "wrong-pin" not in caught.value.message + caplog.text + repr(world.backend._pools)

    async def test_writing_the_same_pin_again_allows_one_more_try(
        self, world: HsmWorld, label: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The PIN was right after all, and somebody has unlocked or reset the token."""
        uuid = await world.write(key_label=label, pin="wrong-pin")
        with pytest.raises(BackendRefused):
            await world.sign(uuid)
        logins = count_logins(monkeypatch)
        await world.write(key_label=label, pin="wrong-pin")
        for _ in range(3):
            with pytest.raises(BackendRefused):
                await world.sign(uuid)
        assert len(logins) == 1


def count_logins(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows with each login that is asked of a token."""
    logins: list[object] = []
    original = Crew._login

    async def counted(crew: Crew, *arguments: object, **options: object) -> object:
        logins.append(crew)
        return await original(crew, *arguments, **options)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(Crew, "_login", counted)
    return logins


class TestTokens:
    async def test_a_token_that_goes_and_returns(self, own: SoftToken, tmp_path: Path) -> None:
        async with HsmWorld(own) as world:
            uuid = await world.write()
            first = await world.open(uuid)
            shutil.move(own.directory / "tokens", tmp_path / "away")
            error = await until_away(world, uuid)
            assert 'token "test" of kms_library "softhsm"' in error.message
            shutil.move(tmp_path / "away", own.directory / "tokens")
            await sign_later(world, uuid)
            assert (await world.open(uuid)).public_key == first.public_key

    async def test_an_absent_token_fails_fast_while_the_breaker_is_open(self, shared: SoftToken) -> None:
        async with HsmWorld(replace(shared, label="absent")) as world:
            uuid = await world.write()
            with pytest.raises(Unavailable, match="there is no token with this label"):
                await world.sign(uuid)
            loop = asyncio.get_running_loop()
            started = loop.time()
            with pytest.raises(Unavailable, match="there is no token with this label"):
                await world.sign(uuid)
            assert loop.time() - started < 0.1

    async def test_a_slot_without_a_token(self, world: HsmWorld) -> None:
        uuid = await world.write(token_label="", slot="999999999999")
        with pytest.raises(Unavailable, match="there is no token in this slot"):
            await world.sign(uuid)

    async def test_a_token_named_by_its_slot(self, world: HsmWorld, label: str) -> None:
        slot = re.search(r"\((0x[0-9a-f]+)\)", world.token.list_slots())
        assert slot is not None
        uuid = await world.write(token_label="", slot=str(int(slot[1], 16)), key_label=label)
        await world.sign(uuid)

    async def test_a_login_that_is_lost_is_made_again(self, world: HsmWorld, label: str) -> None:
        """C_CloseAllSessions behind our back, as a network HSM does that restarts."""
        uuid = await world.write(key_label=label)
        await world.open(uuid)
        (pid,) = world.process_ids
        await lose_session(world)
        await asyncio.gather(*(world.sign(uuid, bytes([i])) for i in range(50)))
        assert world.process_ids == [pid], "the process need not be replaced"

    async def test_a_missing_module_says_so_and_its_return_is_noticed(self, shared: SoftToken, tmp_path: Path) -> None:
        module = tmp_path / "module.so"
        async with HsmWorld(shared.with_library(library=module)) as world:
            uuid = await world.write(key_label="missing-module")
            with pytest.raises(Unavailable, match=r"cannot be loaded: .*module\.so"):
                await world.sign(uuid)
            shutil.copy(shared.library.library, module)
            await sign_later(world, uuid)

    async def test_a_file_that_is_no_module_says_so(self, shared: SoftToken) -> None:
        async with HsmWorld(shared.with_library(library=shared_object_that_is_no_module())) as world:
            with pytest.raises(Unavailable, match=r"is not a PKCS#11 module"):
                await world.sign(await world.write())


async def lose_session(world: HsmWorld) -> None:
    """Have the signer's session closed under it: a second login request that fails half-way does exactly that."""
    process = world.pool.crew.ready[0]
    message = replace(world.pool.address, token_label="no such token").login(reinitialise=True)
    with pytest.raises(Exception, match="no token with this label"):
        await process.login(message, 10)


class TestKeys:
    async def test_a_key_deleted_behind_our_back(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label)
        await world.sign(uuid)
        world.token.pkcs11_tool("--delete-object", "--type", "privkey", "--label", label)
        with pytest.raises(BackendRefused, match="the token has no such private key"):
            await world.sign(uuid)
        async with HsmWorld(world.token, world.host) as restarted:
            restarted.mount = world.mount
            with pytest.raises(BackendRefused, match=r"gone from its backend: .* none is generated"):
                await restarted.sign(uuid)

    async def test_a_key_replaced_behind_our_back(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label)
        await world.sign(uuid)
        pinned = (await world.extension.registry.catalogue.by_uuid("root", uuid)).value.pinned
        assert pinned is not None
        for kind in ("privkey", "pubkey"):
            world.token.pkcs11_tool("--delete-object", "--type", kind, "--label", label)
        world.token.pkcs11_tool(
            "--keypairgen", "--key-type", "EC:secp256r1", "--label", label, "--id", pinned.external_id
        )
        with pytest.raises(BackendRefused, match="does not verify under the pinned public key"):
            await world.sign(uuid)
        async with HsmWorld(world.token, world.host) as restarted:
            restarted.mount = world.mount
            with pytest.raises(BackendRefused, match="another key than the one pinned at first contact"):
                await restarted.sign(uuid)

    async def test_two_keys_with_one_label(self, world: HsmWorld, label: str) -> None:
        for cka_id in ("a1", "a2"):
            world.token.pkcs11_tool("--keypairgen", "--key-type", "EC:secp256r1", "--label", label, "--id", cka_id)
        uuid = await world.write(key_label=label)
        with pytest.raises(BackendRefused, match=r"2 private keys have this label: .* by its key_id"):
            await world.sign(uuid)
        await world.write(key_label=label, key_id="0xA2")
        await world.sign(uuid)

    async def test_a_key_that_is_absent_and_not_to_be_generated(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label, allow_generate_key=False)
        with pytest.raises(BackendRefused, match="no such key, and allow_generate_key is not set"):
            await world.sign(uuid)

    async def test_a_key_id_that_is_absent_is_not_generated(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label, key_id="deadbeef")
        with pytest.raises(BadInput, match="key_id cannot be generated"):
            await world.sign(uuid)

    async def test_a_mechanism_that_the_token_lacks(self, world: HsmWorld, label: str) -> None:
        """SoftHSM 2.6 has no CKM_ECDSA_SHA256, but the digest gives the same signature; AES-CBC signs nothing."""
        await world.sign(await world.write(key_label=label, mechanism="0x1044"))
        await world.write(key_label=label, mechanism="0x1082", allow_generate_key=False)
        with pytest.raises(BadInput, match="its mechanism does not sign"):
            await world.test_sign()
        await world.write("other", key_label=f"{label}-2", mechanism="0x1082")
        with pytest.raises(BadInput, match="cannot generate a key for mechanism 0x1082"):
            await world.test_sign("other")

    async def test_a_public_key_object_that_is_missing(self, world: HsmWorld, label: str) -> None:
        world.token.pkcs11_tool("--keypairgen", "--key-type", "EC:secp256r1", "--label", label, "--id", "b1")
        world.token.pkcs11_tool("--delete-object", "--type", "pubkey", "--label", label)
        with pytest.raises(BackendRefused, match="no public key object"):
            await world.sign(await world.write(key_label=label))


class TestReload:
    async def test_libraries_that_come_change_and_go(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label)
        await world.sign(uuid)
        (pid,) = world.process_ids
        await world.extension.reload()
        assert world.process_ids == [pid], "what did not change keeps its process"
        world.replace_library(timeout=7.0)
        await world.extension.reload()
        await world.sign(uuid)
        assert world.process_ids != [pid]
        kept, world.host.libraries = world.host.libraries, []
        await world.extension.reload()
        with pytest.raises(Unavailable, match='kms_library "softhsm" is not configured on this server'):
            await world.sign(uuid)
        with pytest.raises(BadInput, match="library: no kms_library of this name is configured; there is: none"):
            await world.write(key_label=label)
        world.host.libraries = kept
        await world.extension.reload()
        await world.sign(uuid)

    async def test_sealing_ends_the_processes_and_unsealing_starts_others(self, world: HsmWorld, label: str) -> None:
        uuid = await world.write(key_label=label)
        key = await world.open(uuid)
        (pid,) = world.process_ids
        await world.extension.stop()
        assert not is_running(pid)
        await world.extension.start()
        await world.sign(uuid)
        assert await world.open(uuid) is not key


async def test_a_killed_server_takes_its_signers_along(shared: SoftToken, label: str) -> None:
    """Even one that hangs: nothing may keep a session with the token open for nobody."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.hsm_server_child", str(shared.library.library), shared.label, label),
        env=shared.environment | {"TEST_PIN": shared.pin}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    server.kill()
    await server.wait()
    assert await asyncio.to_thread(ends_within, pid, 10)
