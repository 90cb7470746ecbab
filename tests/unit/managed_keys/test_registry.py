"""The door: grants, usages, first contact, pinning, and what changes at once."""

import asyncio
import timeit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chancery.kit.errors import BackendRefused, BadInput, Unavailable
from managed_keys.contact import INTENT_LIFETIME
from managed_keys.keys import ManagedKey, SignatureScheme, Usage
from tests.support.hsm_fake_provider import AWAY
from tests.unit.managed_keys.conftest import World

SCHEME = SignatureScheme.ECDSA_SHA256


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


async def open_key(world: World, uuid: str) -> ManagedKey:
    """Open the key from the world's mount."""
    return await world.registry.open(world.mount, uuid)


class TestGrants:
    async def test_a_mount_without_the_key_is_told_how_to_get_it(self, world: World) -> None:
        uuid = await world.write()
        other = world.host.add_mount("other/")
        for attempt in (world.registry.reference(other, name="k"), world.registry.open(other, uuid)):
            with pytest.raises(BadInput, match=r'mount "other/" may not use .* \(sys/mounts/other/tune\)'):
                await attempt
        assert world.backend.steps == [], "the backend is not asked on behalf of those who may not"

    async def test_grants_follow_the_mount_at_once(self, world: World) -> None:
        uuid = await world.write(allow_generate_key=True)
        await open_key(world, uuid)
        untuned = world.host.tune(world.mount)
        with pytest.raises(BadInput, match="may not use"):
            await world.registry.open(untuned, uuid)

    async def test_any_mount_follows_the_entry_at_once(self, world: World) -> None:
        uuid = await world.write(any_mount=True, allow_generate_key=True)
        other = world.host.add_mount("other/")
        await world.registry.open(other, uuid)
        await world.write(any_mount=False)
        with pytest.raises(BadInput, match="may not use"):
            await world.registry.open(other, uuid)
        assert len(world.backend.connected) == 1, "the connection stays"

    async def test_usages_are_demanded(self, world: World) -> None:
        uuid = await world.write(usages="verify")
        with pytest.raises(BadInput, match="not for sign: its usages are verify"):
            await open_key(world, uuid)
        await world.write(usages="sign", allow_generate_key=True)
        await open_key(world, uuid)
        with pytest.raises(BadInput, match="not for decrypt"):
            await world.registry.open(world.mount, uuid, Usage.DECRYPT)

    async def test_other_namespaces_do_not_see_the_key(self, world: World) -> None:
        uuid = await world.write(any_mount=True, allow_generate_key=True)
        await open_key(world, uuid)
        foreign = world.host.add_mount("foreign/", namespace_id="ns")
        with pytest.raises(BadInput, match="no managed key found with uuid"):
            await world.registry.open(foreign, uuid)
        with pytest.raises(BadInput, match='no managed key found with name "k"'):
            await world.registry.reference(foreign, name="k")

    async def test_references(self, world: World) -> None:
        uuid = await world.write()
        by_name = await world.registry.reference(world.mount, name="k")
        assert by_name == await world.registry.reference(world.mount, uuid=uuid)
        assert by_name == await world.registry.describe(world.mount, uuid)
        assert (by_name.uuid, by_name.name) == (uuid, "k")
        with pytest.raises(BadInput, match="missing argument managed_key_name or managed_key_id"):
            await world.registry.reference(world.mount)
        with pytest.raises(BadInput, match="only one argument"):
            await world.registry.reference(world.mount, name="k", uuid=uuid)
        with pytest.raises(BadInput, match="no managed key found with uuid"):
            await world.registry.describe(world.mount, "nothing")


class TestContact:
    async def test_writing_and_referring_contact_nothing(self, world: World) -> None:
        await world.write()
        await world.registry.reference(world.mount, name="k")
        assert world.backend.connected == []

    async def test_a_key_that_exists_is_found_and_pinned(self, world: World) -> None:
        world.backend.put("theirs", "here")
        uuid = await world.write()
        key = await open_key(world, uuid)
        assert await key.sign(b"m", SCHEME)
        entry = (await world.registry.catalogue.by_uuid("root", uuid)).value
        assert entry.pinned is not None
        assert (entry.pinned.external_id, entry.pinned.generated) == ("theirs", False)

    async def test_absent_and_not_to_be_generated(self, world: World) -> None:
        uuid = await world.write()
        with pytest.raises(BackendRefused, match="no such key, and allow_generate_key is not set"):
            await open_key(world, uuid)
        await world.write(allow_generate_key=True)
        await open_key(world, uuid)
        assert world.backend.generated == 1

    async def test_backends_that_cannot_generate_say_so(self, world: World) -> None:
        world.backend.generates = False
        uuid = await world.write(allow_generate_key=True)
        with pytest.raises(BackendRefused, match="cannot be generated here"):
            await open_key(world, uuid)

    async def test_a_plan_that_is_refused_leaves_no_intent(self, world: World) -> None:
        uuid = await world.write(place="unplannable", allow_generate_key=True)
        with pytest.raises(BadInput, match="cannot say"):
            await open_key(world, uuid)
        assert (await world.registry.catalogue.by_uuid("root", uuid)).value.intent is None

    async def test_concurrent_openers_share_one_contact(self, world: World) -> None:
        uuid = await world.write(allow_generate_key=True)
        keys = await asyncio.gather(*(open_key(world, uuid) for _ in range(20)))
        assert len({id(key) for key in keys}) == 1
        assert world.backend.steps == ["find", "generate"]

    async def test_an_opener_that_leaves_does_not_take_the_others_along(self, world: World) -> None:
        uuid = await world.write(allow_generate_key=True)
        world.backend.hold = asyncio.Event()
        leaving, staying = (asyncio.ensure_future(open_key(world, uuid)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        world.backend.hold.set()
        assert await (await staying).sign(b"m", SCHEME)
        assert leaving.cancelled()

    async def test_a_backend_that_is_away_is_asked_again(self, world: World) -> None:
        world.backend.put("theirs", "here")
        world.backend.faults["find"] = AWAY
        uuid = await world.write()
        with pytest.raises(Unavailable):
            await open_key(world, uuid)
        assert (await open_key(world, uuid)).public_key.spki
        assert len(world.backend.connected) == 1


class TestCrashes:
    """Generation is killed at every step; the next process finishes it: one key, and none orphaned."""

    @pytest.mark.parametrize("fault", ["before", "after"])
    @pytest.mark.parametrize("write", [0, 1])
    async def test_the_store_fails(self, world: World, write: int, fault: str) -> None:
        """Write 0 stores the intent, write 1 the result."""
        uuid = await world.write(allow_generate_key=True)
        world.documents.faults = [""] * write + [fault]
        with pytest.raises(ConnectionError):
            await open_key(world, uuid)
        await self.finish_elsewhere(world, uuid)

    @pytest.mark.parametrize("step", ["find", "generate"])
    @pytest.mark.parametrize("fault", [Killed(), AWAY], ids=["killed", "away"])
    async def test_the_provider_fails_after_doing_it(self, world: World, step: str, fault: BaseException) -> None:
        uuid = await world.write(allow_generate_key=True)
        world.backend.faults[step] = fault
        with pytest.raises(type(fault)):
            await world.registry._contact.establish(
                "root",
                await world.registry.catalogue.by_uuid("root", uuid),
                world.backend.connect(
                    world.registry.catalogue.parameters((await world.registry.catalogue.by_uuid("root", uuid)).value)
                ),
            )
        await self.finish_elsewhere(world, uuid)

    async def finish_elsewhere(self, world: World, uuid: str) -> None:
        other = world.twin()
        world.host.clock.advance(INTENT_LIFETIME + 1)
        key = await open_key(other, uuid)
        assert await key.sign(b"m", SCHEME)
        entry = (await world.registry.catalogue.by_uuid("root", uuid)).value
        assert entry.intent is None
        assert entry.pinned is not None
        assert list(world.backend.keys) == [entry.pinned.external_id]
        assert world.backend.generated == 1
        await other.extension.stop()

    async def test_the_same_process_takes_up_its_own_intent_at_once(self, world: World) -> None:
        uuid = await world.write(allow_generate_key=True)
        world.backend.faults["generate"] = AWAY
        with pytest.raises(Unavailable):
            await open_key(world, uuid)
        await open_key(world, uuid)
        assert world.backend.generated == 1

    async def test_two_processes_make_one_key(self, world: World) -> None:
        uuid, other = await world.write(allow_generate_key=True), world.twin()
        results = await asyncio.gather(open_key(world, uuid), open_key(other, uuid), return_exceptions=True)
        assert world.backend.generated == 1
        assert [type(result) for result in results].count(Unavailable) == 1
        assert (await open_key(other, uuid)).public_key == (await open_key(world, uuid)).public_key
        await other.extension.stop()


class TestPinning:
    async def opened(self, world: World) -> str:
        uuid = await world.write(allow_generate_key=True)
        await open_key(world, uuid)
        return uuid

    async def test_another_key_in_its_place_is_refused(self, world: World) -> None:
        uuid = await self.opened(world)
        (name,) = world.backend.keys
        world.backend.keys[name] = ("here", ec.generate_private_key(ec.SECP256R1()))
        key = await open_key(world, uuid)
        with pytest.raises(BackendRefused, match="does not verify under the pinned public key"):
            await key.sign(b"m", SCHEME)
        with pytest.raises(BackendRefused, match="another key than the one pinned at first contact"):
            await open_key(world.twin(), uuid)

    async def test_a_key_that_is_gone_is_not_generated_anew(self, world: World) -> None:
        uuid = await self.opened(world)
        world.backend.keys.clear()
        with pytest.raises(BackendRefused, match="gone from its backend"):
            await open_key(world.twin(), uuid)
        assert world.backend.generated == 1

    async def test_pointing_elsewhere_finds_the_same_key_or_none(self, world: World) -> None:
        uuid = await self.opened(world)
        world.backend.put("other", "there")
        await world.write(place="there")
        with pytest.raises(BackendRefused, match="another key than the one pinned"):
            await open_key(world, uuid)
        world.backend.keys["moved"] = ("third", next(iter(world.backend.keys.values()))[1])
        await world.write(place="third")
        assert await (await open_key(world, uuid)).sign(b"m", SCHEME)
        entry = (await world.registry.catalogue.by_uuid("root", uuid)).value
        assert entry.pinned is not None
        assert entry.pinned.external_id == "moved"


class TestChanges:
    async def test_a_changed_secret_connects_anew_at_once_in_every_process(self, world: World) -> None:
        uuid, other = await world.write(allow_generate_key=True), world.twin()
        await open_key(world, uuid)
        await open_key(other, uuid)
        await world.write(password="new")
        await open_key(world, uuid)
        await open_key(other, uuid)
        await asyncio.sleep(0)
        assert [provider.closed for provider in world.backend.connected] == [True, True, False, False]
        assert world.backend.connected[-1]._parameters.password == "new"

    async def test_a_failed_connection_is_renewed_only_by_a_write(self, world: World) -> None:
        """A PIN that was refused lives in the connection: opening again must not try it again, writing must."""
        uuid = await world.write()
        for _ in range(3):
            with pytest.raises(BackendRefused):
                await open_key(world, uuid)
        assert len(world.backend.connected) == 1
        await world.write()
        with pytest.raises(BackendRefused):
            await open_key(world, uuid)
        assert [provider.closed for provider in world.backend.connected] == [True, False]

    async def test_a_deleted_key_is_gone_at_once(self, world: World) -> None:
        uuid = await world.write(any_mount=True, allow_generate_key=True)
        await open_key(world, uuid)
        world.host.tune(world.mount)
        await world.registry.catalogue.delete("root", "fake", "k")
        with pytest.raises(BadInput, match="no managed key found with uuid"):
            await open_key(world, uuid)

    async def test_sealing_forgets_and_unsealing_works_again(self, world: World) -> None:
        uuid = await world.write(allow_generate_key=True)
        key = await open_key(world, uuid)
        await world.extension.stop()
        assert all(provider.closed for provider in world.backend.connected)
        await world.extension.start()
        assert await open_key(world, uuid) is not key

    async def test_reload_reaches_the_backends(self, world: World) -> None:
        await world.extension.reload()
        assert world.backend.reloads == 1


async def test_signatures_are_measured(world: World) -> None:
    uuid = await world.write(allow_generate_key=True)
    key = await open_key(world, uuid)
    await key.sign(b"m", SCHEME)
    world.backend.faults["sign"] = AWAY
    with pytest.raises(Unavailable):
        await key.sign(b"m", SCHEME)
    counted = {series.name: values for series, values in world.host.cells.totals().items()}
    *counts, seconds = counted["chancery_managed_key_sign_duration_seconds"]
    assert sum(counts) == 2
    assert seconds > 0
    assert counted["chancery_managed_key_sign_errors_total"] == [1]


async def test_a_warm_open_does_no_io_and_costs_microseconds(world: World) -> None:
    """The budget is 5 us; the test allows for a slow machine under load."""
    uuid = await world.write(allow_generate_key=True)
    await open_key(world, uuid)
    steps = len(world.backend.steps)
    opening = [world.registry.open(world.mount, uuid) for _ in range(1000)]

    def drain() -> None:
        for coroutine in opening:
            with pytest.raises(StopIteration):
                coroutine.send(None)  # it never suspends

    seconds = timeit.timeit(drain, number=1)
    assert len(world.backend.steps) == steps
    assert seconds < 0.1
