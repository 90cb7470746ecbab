"""Managed keys on the host's real store and barrier: restarts, sealed secrets, two processes, the budget when warm."""

import asyncio
import sqlite3
import timeit
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chancery.kit.engine import HostContext, Mount
from chancery.kit.errors import Conflict, Unavailable
from chancery.seal.barrier import KeyringBarrier
from chancery.storage.documents import DocumentStore
from managed_keys.extension import ManagedKeys
from managed_keys.guard import GuardedKey
from managed_keys.keys import KeyAlgorithm, NewKey, SignatureScheme
from tests.support.hsm_fake_provider import FakeType
from tests.support.hsm_host import MemoryHost
from tests.support.storage_open import open_barrier, prepare, sqlite_backend

SCHEME = SignatureScheme.ECDSA_SHA256


@dataclass
class Server:
    """One server process on the store."""

    extension: ManagedKeys
    type: FakeType
    mount: Mount
    store: DocumentStore

    async def write(self, **fields: object) -> str:
        """Write the entry `k`."""
        raw = {"place": "here", "password": "hunter2-plain", "allow_generate_key": True, **fields}
        entry = await self.extension.registry.catalogue.write("root", "fake", "k", raw, self.type.backend)
        return entry.uuid


@asynccontextmanager
async def serve(directory: Path, barrier: KeyringBarrier, kind: FakeType) -> AsyncIterator[Server]:
    """Start a server on what the directory holds."""
    async with sqlite_backend(directory) as database:
        await prepare(database)
        store, host = DocumentStore(database, barrier), MemoryHost()
        context: HostContext = replace(
            host.context(), documents=lambda namespace: store.scope(f"managed/{namespace}"), barrier=barrier
        )
        extension = ManagedKeys(context, {"fake": kind})
        yield Server(extension, kind, host.add_mount("pki/", "k"), store)
        await extension.stop()


async def test_a_key_survives_a_restart_and_its_secrets_are_sealed(tmp_path: Path) -> None:
    barrier, kind = open_barrier(), FakeType()
    async with serve(tmp_path, barrier, kind) as server:
        uuid = await server.write()
        before = await server.extension.registry.open(server.mount, uuid)
    async with serve(tmp_path, barrier, kind) as server:
        after = await server.extension.registry.open(server.mount, uuid)
        assert after.public_key == before.public_key
        assert await after.sign(b"m", SCHEME)
    assert kind.backend.generated == 1
    with sqlite3.connect(tmp_path / "store.db") as raw:
        dump = "\n".join(raw.iterdump())
    raw.close()
    for secret in ("hunter2-plain", "id-1"):
        assert secret not in dump
        assert secret.encode().hex() not in dump.lower()


async def test_software_keys_survive_a_restart(tmp_path: Path) -> None:
    barrier, kind = open_barrier(), FakeType()
    async with serve(tmp_path, barrier, kind) as server:
        made = await server.extension.registry.generate_software(server.mount, NewKey(KeyAlgorithm.EC, 256), "keys/1")
    async with serve(tmp_path, barrier, kind) as server:
        key = await server.extension.registry.open_software(server.mount, made.sealed, "keys/1")
        assert key.public_key == made.key.public_key


async def test_two_servers_on_one_store_make_one_key(tmp_path: Path) -> None:
    barrier, kind = open_barrier(), FakeType()
    async with serve(tmp_path, barrier, kind) as one, serve(tmp_path, barrier, kind) as other:
        uuid = await one.write()
        await other.store.poll()
        results = await asyncio.gather(
            *(server.extension.registry.open(server.mount, uuid) for server in (one, other)), return_exceptions=True
        )
        assert kind.backend.generated == 1
        for result in results:
            assert isinstance(result, GuardedKey | Unavailable | Conflict), "whoever comes second is told to come again"
        for server in (one, other):
            await server.store.poll()
        keys = [await server.extension.registry.open(server.mount, uuid) for server in (one, other)]
        assert keys[0].public_key == keys[1].public_key


async def test_a_change_reaches_the_other_server(tmp_path: Path) -> None:
    barrier, kind = open_barrier(), FakeType()
    async with serve(tmp_path, barrier, kind) as one, serve(tmp_path, barrier, kind) as other:
        uuid = await one.write()
        await one.extension.registry.open(one.mount, uuid)
        await other.store.poll()
        await other.extension.registry.open(other.mount, uuid)
        await one.write(password="changed")
        await other.store.poll()
        await other.extension.registry.open(other.mount, uuid)
        assert kind.backend.connected[-1]._parameters.password == "changed"


async def test_a_warm_open_never_suspends_and_costs_microseconds(tmp_path: Path) -> None:
    async with serve(tmp_path, open_barrier(), FakeType()) as server:
        uuid = await server.write()
        await server.extension.registry.open(server.mount, uuid)
        opening = [server.extension.registry.open(server.mount, uuid) for _ in range(500)]

        def drain() -> None:
            for coroutine in opening:
                with pytest.raises(StopIteration):
                    coroutine.send(None)

        assert timeit.timeit(drain, number=1) < 0.05
