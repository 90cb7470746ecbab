"""A catalogue and a registry over a host in memory and a fake provider."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from chancery.kit.engine import Mount
from managed_keys.extension import ManagedKeys
from managed_keys.registry import Registry
from tests.support.hsm_fake_provider import FakeBackend, FakeType
from tests.support.hsm_host import MemoryDocuments, MemoryHost


@dataclass
class World:
    """One server of which there may be several on the same documents."""

    host: MemoryHost
    type: FakeType
    extension: ManagedKeys
    mount: Mount

    @property
    def backend(self) -> FakeBackend:
        """Return the fake backend."""
        return self.type.backend

    @property
    def registry(self) -> Registry:
        """Return the registry."""
        return self.extension.registry

    @property
    def documents(self) -> MemoryDocuments:
        """Return the root namespace's documents."""
        return self.host.documents_of("root")

    async def write(self, name: str = "k", **fields: object) -> str:
        """Write an entry and return its UUID."""
        raw = {"place": "here"} | fields
        entry = await self.registry.catalogue.write("root", self.type.name, name, raw, self.backend)
        return entry.uuid

    def twin(self) -> "World":
        """Return another process on the same documents and the same backend."""
        extension = ManagedKeys(self.host.context(), {self.type.name: self.type})
        return World(self.host, self.type, extension, self.mount)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Return a server with one mount that may use the key `k`."""
    host, kind = MemoryHost(), FakeType()
    world = World(host, kind, ManagedKeys(host.context(), {kind.name: kind}), host.add_mount("pki/", "k"))
    yield world
    await world.extension.stop()
