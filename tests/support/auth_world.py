"""Tokens and policies over a real database and barrier, a clock that tests move, and requests sent by the routes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chancery.auth.engine import TokenEngine
from chancery.auth.logins import LoginService
from chancery.auth.store import TokenStore
from chancery.auth.tokens import CreatedToken, NewToken, TokenEntry, permitted_from
from chancery.identity.store import IdentityStore
from chancery.kit.errors import BadInput, Denied, NotFound, UnsupportedOperation
from chancery.kit.request import Answer, Auth, Caller, Operation, Reply, Request
from chancery.kit.storage import Schema
from chancery.policy.routes import PolicyRoutes, Power
from chancery.policy.store import PolicyStore
from chancery.routing.router import Router
from chancery.routing.table import MountTable
from chancery.seal.barrier import KeyringBarrier
from chancery.storage.documents import DocumentStore
from chancery.storage.migrate import migrate
from chancery.storage.schema import HOST
from chancery.storage.sqlite import SqliteDatabase
from tests.support.storage_open import open_barrier

DAY = 86_400
START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@dataclass(slots=True)
class MovedClock:
    """A clock that stands until it is moved."""

    moment: datetime = START

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return seconds since 1970."""
        return self.moment.timestamp()

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.moment += timedelta(seconds=seconds)


class CountingDatabase(SqliteDatabase):
    """Counts reads."""

    reads = 0

    async def read(self, work: Any) -> Any:
        """Count, then read."""
        self.reads += 1
        return await super().read(work)


@dataclass(slots=True)
class Process:
    """What one server process has: caches of its own over a shared database."""

    documents: DocumentStore
    tokens: TokenStore
    policies: PolicyStore

    @classmethod
    def over(cls, database: SqliteDatabase, barrier: KeyringBarrier, clock: MovedClock) -> "Process":
        """Build the stores."""
        documents = DocumentStore(database, barrier)
        tokens = TokenStore(
            database, documents.scope("token/root"), barrier, clock, default_ttl=32 * DAY, max_ttl=32 * DAY
        )
        return cls(documents, tokens, PolicyStore(documents.scope("policy/root")))


@dataclass(slots=True)
class World:
    """One process, its routes, and a way to send requests as the pipeline does."""

    database: CountingDatabase
    barrier: KeyringBarrier
    clock: MovedClock
    process: Process
    engine: TokenEngine = field(init=False)
    root: str = ""

    def __post_init__(self) -> None:
        """Build the routes."""
        logins = LoginService(self.tokens, self, MountTable())
        self.engine = TokenEngine(self.tokens, self.policies, self.tokens.documents, self._has_sudo, logins)
        self._routers = {
            "auth/token/": Router(self.engine.routes()),
            "sys/": Router(PolicyRoutes(self.policies, self).routes()),
        }

    _routers: dict[str, Router] = field(init=False, default_factory=dict)

    @property
    def tokens(self) -> TokenStore:
        """Return the token store."""
        return self.process.tokens

    @property
    def policies(self) -> PolicyStore:
        """Return the policy store."""
        return self.process.policies

    def now(self) -> datetime:
        """Return the clock's time."""
        return self.clock.now()

    async def make(self, **wishes: Any) -> CreatedToken:
        """Create a token in the store, without asking anybody."""
        wish: dict[str, Any] = {"policies": ("default",), "path": "auth/token/create", "ttl": DAY} | wishes
        return await self.tokens.create(NewToken(**wish))

    async def find(self, token: str) -> TokenEntry | None:
        """Look a token up."""
        return await self.tokens.lookup(token, self.now())

    async def send(
        self, operation: Operation, path: str, token: str, fields: dict[str, Any] | None = None, address: str = ""
    ) -> Answer:
        """Send a request: token, uses, ACL, route, parameters, handler, in the order of the pipeline."""
        mount = next(mount for mount in self._routers if path.startswith(mount))
        match = self._routers[mount].match(path.removeprefix(mount))
        entry = await self.find(token)
        if entry is None or not permitted_from(entry, address):
            raise Denied
        if entry.num_uses:
            await self.tokens.use(token)
        if match is None:
            raise NotFound
        data = fields or {}
        caller = Caller(entry.accessor, entry.display_name, entry.policies, is_root="root" in entry.policies)
        request = Request(
            id="1",
            operation=operation,
            path=path.removeprefix(mount),
            mount_path=mount,
            raw={**data, **match.captures},
            now=self.now(),
            caller=caller,
            token=token,
            remote_address=address,
        )
        if operation is Operation.UPDATE and match.route.exists is not None and not await match.route.exists(request):
            operation = Operation.CREATE
        acl = await self.policies.acl_for(entry.policies)
        asked = path if operation is not Operation.LIST else f"{path}/"
        if not acl.allows(operation, asked, sudo_needed=match.route.sudo, data=data).allowed:
            raise Denied
        endpoint = match.route.endpoint(operation)
        if endpoint is None:
            raise UnsupportedOperation
        answer: Answer = await endpoint.handler(request, endpoint.params.parse(request.raw))
        return answer

    async def write(self, path: str, token: str = "", /, **fields: Any) -> Reply:
        """Write, as root unless another token is given; an answer without a body is an empty reply."""
        answer = await self.send(Operation.UPDATE, path, token or self.root, fields)
        return answer if isinstance(answer, Reply) else Reply()

    async def read(self, path: str, token: str = "", /, **fields: Any) -> dict[str, Any]:
        """Read, as root unless another token is given."""
        answer = await self.send(Operation.READ, path, token or self.root, fields)
        assert isinstance(answer, Reply)
        return dict(answer.data or {})

    async def list(self, path: str, token: str = "") -> list[str]:
        """List, as root unless another token is given; nothing to list is an empty list."""
        try:
            answer = await self.send(Operation.LIST, path, token or self.root)
        except NotFound:
            return []
        assert isinstance(answer, Reply)
        keys: list[str] = (answer.data or {})["keys"]
        return keys

    async def create(self, token: str = "", at: str = "create", /, **fields: Any) -> Auth:
        """Create a token by its route."""
        auth = (await self.write(f"auth/token/{at}", token, **fields)).auth
        assert auth is not None
        return auth

    async def refusal(self, path: str, token: str = "", /, **fields: Any) -> str:
        """Write, and return the message of the refusal."""
        try:
            await self.write(path, token, **fields)
        except (BadInput, Denied) as error:
            return error.message
        raise AssertionError(f"{path} was not refused")

    def identities(self, _namespace_id: str) -> IdentityStore:
        """Return the identities of the only namespace."""
        return IdentityStore(self.process.documents.scope("identity/root"), self.clock, self.barrier)

    async def of_caller(self, request: Request) -> Power:
        """Return what the caller may do."""
        return await self.policies.acl_for(request.authenticated.policies), ""

    async def of_token(self, token: str, _request: Request) -> Power | None:
        """Return what a token may do."""
        return await self._power(await self.find(token))

    async def of_accessor(self, accessor: str, request: Request) -> Power | None:
        """Return what the token with an accessor may do."""
        return await self._power(await self.tokens.by_accessor(accessor, request.now))

    async def _power(self, entry: TokenEntry | None) -> Power | None:
        return (await self.policies.acl_for(entry.policies), "") if entry is not None else None

    async def _has_sudo(self, request: Request) -> bool:
        acl = await self.policies.acl_for(request.authenticated.policies)
        return acl.has_sudo(request.mount_path + request.path)


async def prepare_database(path: Path, schemas: Sequence[Schema] = (HOST,)) -> None:
    """Make an empty database with tables, the host's at least: a template to copy, because migrating takes a while."""
    database = SqliteDatabase(path)
    await database.open()
    try:
        await migrate(database, schemas)
    finally:
        await database.close()


@asynccontextmanager
async def open_world(path: Path) -> AsyncIterator[World]:
    """Open an unsealed world with a root token over a prepared database."""
    database = CountingDatabase(path)
    await database.open()
    try:
        barrier, clock = open_barrier(), MovedClock()
        world = World(database, barrier, clock, Process.over(database, barrier, clock))
        await world.policies.start()
        world.root = (await world.tokens.create_root()).token
        yield world
        await world.engine.stop()
    finally:
        await database.close()
