"""Leases over a real database and real tokens, with an engine that can fail, fail after it acted, or hang."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chancery.auth.tokens import TokenEntry
from chancery.exchange import Exchange, Message
from chancery.kit.engine import Engine, Mount, MountConfig
from chancery.kit.errors import Unavailable
from chancery.kit.request import Lease, Operation, Request
from chancery.kit.route import Route
from chancery.leases.book import LeaseBook
from chancery.leases.model import LeaseRecord
from chancery.leases.revoker import Revoker
from chancery.namespaces.model import ROOT, Namespace
from tests.support.auth_world import World

MOUNT = Mount(uuid="m-1", accessor="secrets_1", path="secrets/", type="secrets", config=MountConfig(max_lease_ttl=7200))
DEFAULT_TTL = 600
MAX_TTL = 86_400


@dataclass(slots=True)
class SecretsEngine:
    """Gives out secrets with serial numbers, and takes them back. Enforces nothing but what it is told to."""

    revoked: Counter[str] = field(default_factory=Counter)
    """How often each secret was taken back."""
    fails: set[str] = field(default_factory=set)
    """Secrets that are refused to be taken back."""
    fails_after: set[str] = field(default_factory=set)
    """Secrets whose taking back is reported as failed, once, although it was done."""

    def routes(self) -> Sequence[Route]:
        """Return nothing: requests are made up by tests."""
        return ()

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    async def erase(self) -> None:
        """Nothing."""

    async def revoke_lease(self, revocation: Mapping[str, str], now: datetime) -> None:
        """Take a secret back. Raises Unavailable when told to."""
        assert now.tzinfo is not None
        secret = revocation["secret"]
        if secret in self.fails:
            raise Unavailable("the other side is away")
        self.revoked[secret] += 1
        if secret in self.fails_after:
            self.fails_after.remove(secret)
            raise Unavailable("the other side did not answer in time")


@dataclass(slots=True)
class LeasesWorld:
    """One process with leases."""

    world: World
    engine: SecretsEngine = field(default_factory=SecretsEngine)
    book: LeaseBook = field(init=False)
    revoker: Revoker = field(init=False)
    woken: int = 0

    def __post_init__(self) -> None:
        """Build book and revoker."""
        self.book = LeaseBook(
            self.world.database, self.world.barrier, self.world.clock, default_ttl=DEFAULT_TTL, max_ttl=MAX_TTL
        )
        self.revoker = Revoker(self.book, self.world.database, self.world.clock, self._engine_of)
        self.book.on_due = self._wake

    async def give(
        self,
        secret: str,
        entry: TokenEntry | None = None,
        *,
        path: str = "secrets/creds/web",
        namespace: Namespace = ROOT,
        **terms: int | bool,
    ) -> str:
        """Register a lease for a secret, as an answer to `path`. Returns its identifier."""
        now = self.world.now()
        message = Message("1", Operation.UPDATE, path, {})
        request = Request("1", Operation.UPDATE, path.removeprefix(MOUNT.path), MOUNT.path, {}, now)
        exchange = Exchange(message, request, namespace, path, MOUNT, entry)
        ttl = int(terms.pop("ttl", 60))
        lease = Lease(ttl, {"secret": secret}, **terms)  # type: ignore[arg-type]  # tests name what there is
        return (await self.book.register(lease, exchange)).lease_id

    async def find(self, lease_id: str) -> LeaseRecord | None:
        """Look a lease up."""
        return await self.book.find(ROOT.id, lease_id)

    async def work_off(self) -> None:
        """Do what the scheduler would have done now."""
        await self.revoker.work_off(self.world.now())

    def _engine_of(self, uuid: str) -> Engine | None:
        return self.engine if uuid == MOUNT.uuid else None

    def _wake(self) -> None:
        self.woken += 1
