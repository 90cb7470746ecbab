"""A host in memory for tests of managed keys: documents with compare-and-swap, a barrier with real encryption, mounts.

The documents can be told to fail, or to fail after doing it, as a database that loses its connection does.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chancery.kit.engine import HostContext, KmsLibrary, Mount, MountConfig
from chancery.kit.errors import Corrupted, Sealed
from chancery.kit.storage import ABSENT, Change, Collection, Database, Document, DocumentMoved, Documents, Stored
from chancery.telemetry.cells import Cells

M = TypeVar("M", bound=Stored)


class MemoryCollection(Generic[M]):
    """Documents of one kind."""

    def __init__(self, owner: "MemoryDocuments") -> None:
        self._owner = owner
        self.documents: dict[str, Document[M]] = {}

    async def get(self, name: str) -> Document[M] | None:
        """Return the document or None."""
        return self.documents.get(name)

    async def put(self, name: str, value: M, *, expected: int | None = None) -> Document[M]:
        """Store by compare-and-swap, after a look at the faults that the test wants."""
        await asyncio.sleep(0)
        fault = self._owner.next_fault()
        if fault == "before":
            raise ConnectionError("the database is away")
        version = self.documents[name].version if name in self.documents else ABSENT
        if expected is not None and expected != version:
            raise DocumentMoved("moved")
        reread = type(value).model_validate_json(value.model_dump_json())
        document = self.documents[name] = Document(name, version + 1, reread)
        if fault == "after":
            raise ConnectionError("the database went away")
        return document

    async def delete(self, name: str, *, expected: int | None = None) -> bool:
        """Remove."""
        document = self.documents.get(name)
        if document is not None and expected is not None and expected != document.version:
            raise DocumentMoved("moved")
        return self.documents.pop(name, None) is not None

    async def names(self, *, prefix: str = "", after: str = "", limit: int | None = None) -> list[str]:
        """Return names in order."""
        return [name for name in sorted(self.documents) if name.startswith(prefix) and name > after][:limit]

    async def all(self) -> list[Document[M]]:
        """Return everything in order."""
        return [self.documents[name] for name in sorted(self.documents)]


class MemoryDocuments:
    """The documents of one scope. `faults` are consumed by writes in turn: "", "before" or "after"."""

    def __init__(self) -> None:
        self.collections: dict[str, MemoryCollection[Any]] = {}
        self.faults: list[str] = []

    def next_fault(self) -> str:
        """Return what befalls the next write."""
        return self.faults.pop(0) if self.faults else ""

    def collection(self, kind: str, model: type[M]) -> Collection[M]:  # the port has it
        """Return the collection of a kind."""
        return cast(Collection[M], self.collections.setdefault(kind, MemoryCollection(self)))

    def change(self) -> Change:
        """Not needed by managed keys."""
        raise NotImplementedError

    async def erase(self) -> None:
        """Remove everything."""
        self.collections.clear()


class MemoryBarrier:
    """AES-256-GCM under one key."""

    def __init__(self) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._nonce = 0
        self.is_sealed = False

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt, bound to the context."""
        if self.is_sealed:
            raise Sealed
        self._nonce += 1
        nonce = self._nonce.to_bytes(12, "big")
        return nonce + self._cipher.encrypt(nonce, plaintext, context)

    def open(self, ciphertext: bytes, context: bytes) -> bytes:
        """Decrypt."""
        if self.is_sealed:
            raise Sealed
        try:
            return self._cipher.decrypt(ciphertext[:12], ciphertext[12:], context)
        except InvalidTag:
            raise Corrupted("not what was sealed") from None

    def derive(self, purpose: bytes) -> bytes:
        """Return 32 bytes."""
        return purpose.ljust(32)[:32]


class StoppedClock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return the moment in seconds."""
        return self.moment.timestamp()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


@dataclass
class MemoryHost:
    """What an extension sees of the host, each part within reach of the test."""

    libraries: list[KmsLibrary] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    documents: dict[str, MemoryDocuments] = field(default_factory=dict)
    barrier: MemoryBarrier = field(default_factory=MemoryBarrier)
    clock: StoppedClock = field(default_factory=StoppedClock)
    cells: Cells = field(default_factory=Cells)

    def all(self, namespace_id: str) -> Sequence[Mount]:
        """Return the mounts of a namespace (the port `Mounts`)."""
        return [mount for mount in self.mounts if mount.namespace_id == namespace_id]

    def documents_of(self, namespace_id: str) -> MemoryDocuments:
        """Return the documents of a namespace."""
        return self.documents.setdefault(namespace_id, MemoryDocuments())

    def add_mount(self, path: str = "pki/", *allowed: str, namespace_id: str = "root") -> Mount:
        """Mount something that may use these keys."""
        config = MountConfig(allowed_managed_keys=allowed)
        mount = Mount(f"uuid-{path}", f"accessor-{path}", path, "pki", namespace_id=namespace_id, config=config)
        self.mounts = [other for other in self.mounts if other.path != path] + [mount]
        return mount

    def tune(self, mount: Mount, *allowed: str) -> Mount:
        """Change a mount's allowed_managed_keys."""
        changed = replace(mount, config=replace(mount.config, allowed_managed_keys=allowed))
        self.mounts = [changed if other.uuid == mount.uuid else other for other in self.mounts]
        return changed

    def context(self) -> HostContext:
        """Return the context that an extension is opened with."""
        documents: Callable[[str], Documents] = self.documents_of
        no_database = cast(Database, None)
        return HostContext(
            documents,
            no_database,
            self.barrier,
            self.clock,
            self,
            lambda: list(self.libraries),
            meter=self.cells.meter(),
        )
