"""A host whose root key a keeper holds: it unseals itself, comes back by itself, and changes its seal when told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chancery import plugins
from chancery.host import Host
from chancery.kit.clock import SystemClock
from chancery.kit.errors import Unavailable
from chancery.plugins import Catalog
from chancery.seal import auto_unseal, settings
from tests.support.host_world import HostWorld, host_world, settings_for
from tests.support.seal_keeper import FakeKeeperType

_CATALOG = Catalog.installed()

HSM = {"type": "fake", "name": "hsm"}
SHAMIR = {"type": "shamir"}


@pytest.fixture
def keepers(monkeypatch: pytest.MonkeyPatch) -> FakeKeeperType:
    """Install a keeper of type `fake`."""
    installed = FakeKeeperType()

    def types(name: str) -> list[Any]:
        return [installed] if name == "fake" else plugins.seal_keeper_types(name)

    monkeypatch.setattr(settings, "seal_keeper_types", types)
    monkeypatch.setattr(auto_unseal, "FIRST_DELAY", 0.005)
    monkeypatch.setattr(auto_unseal, "LONGEST_DELAY", 0.02)
    return installed


@asynccontextmanager
async def host_of(directory: Path, **changes: Any) -> AsyncIterator[Host]:
    """Open a host as a server process does, without its sockets."""
    chosen = await asyncio.to_thread(settings_for, directory, **changes)
    host = await asyncio.to_thread(Host, chosen, _CATALOG, SystemClock())
    await host.open()
    try:
        host.unseal_when_possible()
        yield host
    finally:
        await host.close()


async def until_unsealed(host: Host) -> None:
    """Wait until a host serves."""
    async with asyncio.timeout(10):
        while not host.root_key():  # noqa: ASYNC110 - what happens in the background tells nobody
            await asyncio.sleep(0.005)


async def test_it_unseals_itself_from_the_first_start_on(tmp_path: Path, keepers: FakeKeeperType) -> None:
    async with host_of(tmp_path, seal=HSM) as host:
        shares, token = await host.initialize(3, 2)
        assert len(shares) == 3
        await until_unsealed(host)
        assert await host.ensure_root_token(token) == token
    async with host_of(tmp_path, seal=HSM) as host:
        await until_unsealed(host)
        assert await host.ensure_root_token(token) == token


async def test_it_waits_for_a_keeper_that_is_away(tmp_path: Path, keepers: FakeKeeperType) -> None:
    async with host_of(tmp_path, seal=HSM) as host:
        await host.initialize(1, 1)
        await until_unsealed(host)
    keeper = keepers.keepers["hsm"]
    away = True

    class Away(dict[int, Any]):
        def get(self, key: int, default: Any = None) -> Any:
            return (lambda: Unavailable("the HSM is away")) if away else None

    keeper.faults = Away()
    async with host_of(tmp_path, seal=HSM) as host:
        async with asyncio.timeout(10):
            while not host.status().unseal_error:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
        assert (host.status().sealed, host.status().unseal_error) == (True, "the HSM is away")
        away = False
        await until_unsealed(host)
        assert host.status().unseal_error == ""


async def test_an_operators_seal_stays_closed_until_shares_come(tmp_path: Path, keepers: FakeKeeperType) -> None:
    async with host_of(tmp_path, seal=HSM) as host:
        (share,), _ = await host.initialize(1, 1)
        await until_unsealed(host)
        await host.seal()
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert host.status().sealed
        assert not (await host.unseal(share)).sealed
        assert host.root_key()


async def test_seals_migrate_there_and_back(tmp_path: Path, keepers: FakeKeeperType) -> None:
    async with host_of(tmp_path, seal=SHAMIR) as host:
        shares, token = await host.initialize(3, 2)
    async with host_of(tmp_path, seal=HSM) as host:
        assert (host.status().migration, host.status().type) == (True, "shamir")
        for share in shares[:2]:
            status = await host.unseal(share, migrate=True)
        assert (status.sealed, status.type, status.recovery_seal) == (False, "fake", True)
        assert await host.ensure_root_token(token) == token
    async with host_of(tmp_path, seal=HSM) as host:
        await until_unsealed(host)
    async with host_of(tmp_path, seal=SHAMIR, previous_seal=HSM) as host:
        for share in shares[1:]:
            status = await host.unseal(share, migrate=True)
        assert (status.sealed, status.type, status.recovery_seal) == (False, "shamir", False)
    async with host_of(tmp_path, seal=SHAMIR) as host:
        for share in shares[:2]:
            status = await host.unseal(share)
        assert not status.sealed
        assert await host.ensure_root_token(token) == token


async def test_the_keeper_hears_of_hangups(tmp_path: Path, keepers: FakeKeeperType) -> None:
    async with host_of(tmp_path, seal=HSM) as host:
        await host.reload(await asyncio.to_thread(settings_for, tmp_path, seal=HSM))
    assert keepers.keepers["hsm"].calls == ["reload"]


@pytest.fixture
async def world(tmp_path: Path, keepers: FakeKeeperType) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, seal=HSM) as world:
        yield world


async def test_what_clients_see(world: HostWorld, tmp_path: Path) -> None:
    _, status = await world.call("GET", "sys/seal-status", token="")
    assert {name: status[name] for name in ("type", "recovery_seal", "recovery_seal_type", "sealed", "t", "n")} == {
        "type": "fake", "recovery_seal": True, "recovery_seal_type": "shamir", "sealed": False, "t": 1, "n": 1,
    }  # fmt: skip
    status_code, body = await world.call("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1}, token="")
    assert (status_code, body["errors"]) == (400, ["Vault is already initialized"])
    _, began = await world.call("PUT", "sys/rekey-recovery-key/init", {"secret_shares": 2, "secret_threshold": 2})
    _, done = await world.call(
        "PUT", "sys/rekey-recovery-key/update", {"key": world.unseal_key.hex(), "nonce": began["nonce"]}
    )
    assert len(done["keys"]) == 2
    _, began = await world.call("PUT", "sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1})
    assert began["required"] == 2
    for key in done["keys"]:
        _, rekeyed = await world.call("PUT", "sys/rekey/update", {"key": key, "nonce": began["nonce"]})
    assert (rekeyed["complete"], rekeyed["keys"]) == (True, [])


async def test_another_node_that_cannot_follow_comes_back(world: HostWorld, tmp_path: Path) -> None:
    async with host_world(tmp_path, seal=HSM, joins=world) as other:
        await other.host.coherence.stop()
        for path, body in (("sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1}), ("sys/rotate", None)):
            _, began = await world.call("PUT", path, body)
            if began is not None:
                share = {"key": world.unseal_key.hex(), "nonce": began["nonce"]}
                await world.call("PUT", "sys/rekey/update", share)
        other.host.coherence.start()
        async with asyncio.timeout(10):
            while (await other.call("GET", "sys/key-status"))[1].get("term") != 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
