"""A PKI mount on the real store and seal, called as the pipeline calls it but without HTTP, tokens and policies.

Managed keys come from `TestRegistry`: software keys under names, with grants, that can fail or be away.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

from ca.engine import PKI, PkiEngine
from ca.tables import SCHEMA
from chancery.kit.engine import Mount, MountConfig, MountContext
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.request import Answer, Caller, Operation, RawReply, Reply, Request
from chancery.kit.storage import Database
from chancery.routing.router import Router
from chancery.seal.barrier import KeyringBarrier
from chancery.storage.documents import DocumentStore
from chancery.storage.migrate import migrate
from chancery.storage.schema import HOST
from chancery.storage.sqlite import SqliteDatabase
from managed_keys.keys import (
    KeyAlgorithm,
    ManagedKey,
    ManagedKeyReference,
    NewKey,
    PublicKey,
    SignatureScheme,
    SoftwareKey,
    Usage,
)
from managed_keys.software import SoftwareKeys
from tests.support.storage_open import open_barrier

S = TypeVar("S")

NOW = datetime(2030, 6, 1, 12, 0, 0, tzinfo=UTC)
MOUNT = "6f7a1bd4-6f7c-4c53-8d3a-0c1f3a8f5c11"


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: datetime = NOW) -> None:
        self.moment = now

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return the moment as seconds."""
        return self.moment.timestamp()

    def advance(self, **duration: float) -> None:
        """Move on; takes what `timedelta` takes."""
        self.moment += timedelta(**duration)


class InterruptibleKey:
    """A managed key whose next signatures can be made to fail."""

    def __init__(self, key: ManagedKey, failures: list[BaseException | None]) -> None:
        self._key = key
        self._failures = failures

    @property
    def public_key(self) -> PublicKey:
        """Return the public key."""
        return self._key.public_key

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign, or fail as arranged."""
        failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            raise failure
        return await self._key.sign(message, scheme)


@dataclass
class TestRegistry:
    """`KeyRegistry` over software keys. `granted` are the names that the mount may use."""

    __test__ = False

    software: SoftwareKeys
    managed: dict[str, tuple[str, ManagedKey]] = field(default_factory=dict)
    """Name -> UUID and key."""
    granted: set[str] = field(default_factory=set)
    failures: list[BaseException | None] = field(default_factory=list)
    """What happens to the next signatures, in this order; None: they succeed."""

    async def add(self, name: str, uuid: str, new: NewKey) -> None:
        """Register a managed key and grant it."""
        made = await self.software.generate(Mount(MOUNT, "", "pki/", "pki"), new, f"managed/{name}")
        self.managed[name] = uuid, made.key
        self.granted.add(name)

    async def reference(
        self, mount: Mount, *, name: str = "", uuid: str = "", usage: Usage = Usage.SIGN
    ) -> ManagedKeyReference:
        """Find a key by name or UUID."""
        for known, (identity, _) in self.managed.items():
            if known == name or identity == uuid:
                if known not in self.granted:
                    raise BadInput(f'mount "{mount.path}" does not have the key in its allowed_managed_keys')
                return ManagedKeyReference(identity, known)
        raise BadInput(f"no managed key found with {'name ' + name if name else 'uuid ' + uuid}")

    async def open(self, mount: Mount, uuid: str, usage: Usage = Usage.SIGN) -> ManagedKey:
        """Open a key."""
        reference = await self.reference(mount, uuid=uuid)
        return InterruptibleKey(self.managed[reference.name][1], self.failures)

    async def describe(self, mount: Mount, uuid: str) -> ManagedKeyReference:
        """Return the present name."""
        return await self.reference(mount, uuid=uuid)

    async def generate_software(self, mount: Mount, key: NewKey, context: str) -> SoftwareKey:
        """Make a software key."""
        made = await self.software.generate(mount, key, context)
        return replace(made, key=InterruptibleKey(made.key, self.failures))

    async def open_software(self, mount: Mount, sealed: bytes, context: str) -> ManagedKey:
        """Open a software key."""
        return InterruptibleKey(await self.software.open(mount, sealed, context), self.failures)


@dataclass
class OneService:
    """`Services` that offers the registry alone."""

    registry: TestRegistry

    def get(self, service: type[S]) -> S:
        """Return the registry, whatever is asked for."""
        return cast(S, self.registry)


@dataclass
class Pki:
    """An open PKI mount."""

    engine: PkiEngine
    context: MountContext
    registry: TestRegistry
    clock: FakeClock
    caller: Caller = field(default_factory=lambda: Caller("accessor", "root", ("root",), is_root=True))

    def __post_init__(self) -> None:
        self.router = Router(self.engine.routes())

    async def call(self, operation: Operation, path: str, fields: Mapping[str, Any] | None = None) -> Answer:
        """Run one request and return the answer. Raises the kit's errors, NotFound for a path that is not served."""
        match = self.router.match(path)
        endpoint = match.route.endpoint(operation) if match is not None else None
        if match is None or endpoint is None:
            raise NotFound(f"no handler for {operation.value} {path}")
        raw = {**(fields or {}), **match.captures}
        request = Request("id", operation, path, "pki/", raw, self.clock.now(), self.caller)
        return await endpoint.handler(request, endpoint.params.parse(raw))

    async def reply(self, operation: Operation, path: str, fields: Mapping[str, Any] | None = None) -> Reply:
        """Run one request whose answer is an envelope."""
        answer = await self.call(operation, path, fields)
        assert isinstance(answer, Reply)
        return answer

    async def write(self, path: str, /, **fields: Any) -> Any:
        """Write, and return `data`."""
        return (await self.reply(Operation.UPDATE, path, fields)).data

    async def read(self, path: str) -> Any:
        """Read, and return `data`."""
        return (await self.reply(Operation.READ, path)).data

    async def raw(self, path: str) -> bytes:
        """Read what is not JSON."""
        answer = await self.call(Operation.READ, path)
        assert isinstance(answer, RawReply)
        return answer.body

    async def list(self, path: str, /, **fields: Any) -> Any:
        """List, and return the keys."""
        data = (await self.reply(Operation.LIST, path, fields)).data
        assert data is not None
        return data["keys"]

    async def delete(self, path: str) -> Answer:
        """Delete."""
        return await self.call(Operation.DELETE, path)

    async def patch(self, path: str, /, **fields: Any) -> Any:
        """Patch, and return `data`."""
        return (await self.reply(Operation.PATCH, path, fields)).data

    async def root(self, **fields: Any) -> Any:
        """Generate a root with a P-256 key that lives for ten years, unless told otherwise."""
        return await self.write(
            "root/generate/internal", **{"common_name": "Test Root", "key_type": "ec", "ttl": "87600h", **fields}
        )


def mount(**config: Any) -> Mount:
    """Return the mount under test."""
    return Mount(MOUNT, "pki_1", "pki/", "pki", config=MountConfig(**{"max_lease_ttl": 87600 * 3600, **config}))


def open_pki(
    database: Database, barrier: KeyringBarrier, *, clock: FakeClock, registry: TestRegistry, at: Mount | None = None
) -> Pki:
    """Open the mount as a process would that has just started: with empty caches."""
    described = at or mount()
    context = MountContext(
        mount=lambda: described,
        documents=DocumentStore(database, barrier).scope(f"mount/{described.uuid}"),
        database=database,
        barrier=barrier,
        clock=clock,
        services=OneService(registry),
        default_lease_ttl=32 * 24 * 3600,
        max_lease_ttl=32 * 24 * 3600,
    )
    return Pki(PKI.open(context), context, registry, clock)


_TEMPLATE: list[bytes] = []


async def _migrated() -> bytes:
    """Return a database file with all tables and no rows. Made once: migrating takes a tenth of a second."""
    if not _TEMPLATE:
        with TemporaryDirectory() as directory:
            database = SqliteDatabase(Path(directory) / "template.db")
            await database.open()
            await migrate(database, [HOST, SCHEMA])
            await database.close()
            _TEMPLATE.append(await asyncio.to_thread((Path(directory) / "template.db").read_bytes))
    return _TEMPLATE[0]


@asynccontextmanager
async def pki_in(directory: Path, *, wrap: Callable[[Database], Database] = lambda it: it) -> AsyncIterator[Pki]:
    """Open a mount on a new database in the directory; `wrap` may put something around the database."""
    path = directory / "ca.db"
    await asyncio.to_thread(path.write_bytes, await _migrated())
    path.chmod(0o600)
    database = SqliteDatabase(path, busy_timeout=10)
    await database.open()
    barrier = open_barrier()
    registry = TestRegistry(SoftwareKeys(barrier))
    try:
        pki = open_pki(wrap(database), barrier, clock=FakeClock(), registry=registry)
        await pki.engine.start()
        yield pki
        await pki.engine.stop()
    finally:
        registry.software.forget()
        await database.close()


P256 = NewKey(KeyAlgorithm.EC, 256)


def openssl(*arguments: str, given: str | bytes = b"") -> str:
    """Run openssl and return what it prints. Fails the test when openssl fails."""
    octets = given.encode() if isinstance(given, str) else given
    finished = subprocess.run(["openssl", *arguments], input=octets, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr.decode() + finished.stdout.decode()
    return finished.stdout.decode()
