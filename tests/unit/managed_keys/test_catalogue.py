"""Entries: names, merging, lookup, deletion."""

import pytest

from chancery.kit.errors import BadInput, NotFound
from managed_keys.catalogue import Catalogue
from tests.support.hsm_fake_provider import FakeType
from tests.support.hsm_host import MemoryHost
from tests.unit.managed_keys.conftest import World


async def test_names_are_unique_over_all_types() -> None:
    host, one, other = MemoryHost(), FakeType("one"), FakeType("other")
    catalogue = Catalogue(host.documents_of, host, {"one": one, "other": other})
    await catalogue.write("root", "one", "k", {"place": "x"}, one.backend)
    with pytest.raises(BadInput, match='of type one has the name "k" already'):
        await catalogue.write("root", "other", "k", {"place": "x"}, other.backend)
    assert await catalogue.names("root", "one") == ["k"]
    assert await catalogue.names("root", "other") == []
    with pytest.raises(NotFound):
        await catalogue.get("root", "other", "k")
    assert await catalogue.delete("root", "other", "k") == ""
    await catalogue.write("ns", "other", "k", {"place": "x"}, other.backend)


async def test_unknown_types_are_refused_in_terraforms_words(world: World) -> None:
    catalogue = world.registry.catalogue
    with pytest.raises(BadInput, match='unsupported managed key type "awskms"'):
        await catalogue.names("root", "awskms")
    with pytest.raises(BadInput, match="unsupported managed key type"):
        await catalogue.get("root", "awskms", "k")


async def test_writing_again_keeps_the_identity(world: World) -> None:
    first = await world.write()
    assert await world.write(any_mount=True) == first
    entry = await world.registry.catalogue.get("root", "fake", "k")
    assert (entry.parameters["any_mount"], entry.parameters["place"], entry.writes) == (True, "here", 2)


async def test_a_deleted_and_rewritten_name_is_another_key(world: World) -> None:
    first = await world.write()
    world.host.tune(world.mount)
    await world.registry.catalogue.delete("root", "fake", "k")
    second = await world.write()
    assert second != first
    with pytest.raises(BadInput, match=f'no managed key found with uuid "{first}"'):
        await world.registry.catalogue.by_uuid("root", first)
    assert (await world.registry.catalogue.by_uuid("root", second)).name == "k"


async def test_a_key_that_mounts_are_allowed_to_use_stays(world: World) -> None:
    await world.write()
    world.host.add_mount("transit/", "other", "k")
    with pytest.raises(BadInput, match="allowed_managed_keys of pki/, transit/"):
        await world.registry.catalogue.delete("root", "fake", "k")
    await world.registry.catalogue.write("ns", "fake", "k", {"place": "x"}, world.backend)
    assert await world.registry.catalogue.delete("ns", "fake", "k"), "mounts of other namespaces do not count"


async def test_deleting_nothing_is_fine(world: World) -> None:
    assert await world.registry.catalogue.delete("root", "fake", "absent") == ""


async def test_what_this_node_cannot_use_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="not on this server"):
        await world.write(place="nowhere")
    with pytest.raises(BadInput, match="place: missing required field"):
        await world.write(place="")


async def test_secrets_are_stored_but_not_shown(world: World) -> None:
    await world.write(password="hunter2")
    entry = await world.registry.catalogue.get("root", "fake", "k")
    assert entry.parameters["password"] == "hunter2"
    parameters = world.registry.catalogue.parameters(entry)
    assert parameters.rendered()["password"] == "redacted"
    assert "hunter2" not in f"{entry!r} {entry} {parameters!r} {parameters}"
