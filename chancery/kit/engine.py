"""What a secrets engine, an auth method or an extension is, and what the host gives it.

Found by entry points: `chancery.engines` and `chancery.auth_methods` name an `EngineType`, `chancery.extensions` an
`ExtensionType`, `chancery.dev_setups` a `DevSetup`. Nothing registers itself on import.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from chancery.kit.attempts import Attempts, OwnAttempts
from chancery.kit.clock import Clock
from chancery.kit.metrics import Meter, Unmetered
from chancery.kit.request import Login, Request
from chancery.kit.route import Route
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, Documents, Schema

S = TypeVar("S")

ROOT_NAMESPACE = "root"
"""Identifier of the root namespace; its path is the empty string."""


@dataclass(frozen=True, slots=True)
class UserLockout:
    """When an auth mount locks a name out. Seconds; 0 = the default, which is 5 failures, 15 minutes, 15 minutes."""

    threshold: int = 0
    duration: int = 0
    counter_reset: int = 0
    """Failures are forgotten after as long without another."""
    disable: bool = False


@dataclass(frozen=True, slots=True)
class MountConfig:
    """The tunable part of a mount. Durations in seconds, 0 = the system's default."""

    default_lease_ttl: int = 0
    max_lease_ttl: int = 0
    force_no_cache: bool = False
    listing_visibility: str = ""
    audit_non_hmac_request_keys: tuple[str, ...] = ()
    audit_non_hmac_response_keys: tuple[str, ...] = ()
    passthrough_request_headers: tuple[str, ...] = ()
    allowed_response_headers: tuple[str, ...] = ()
    allowed_managed_keys: tuple[str, ...] = ()
    token_type: str = ""
    """Of auth mounts: `service` and `batch` rule, `default-service` and `default-batch` apply when a role says none."""
    user_lockout: UserLockout | None = None
    """Of auth mounts, when tuned."""


@dataclass(frozen=True, slots=True)
class Mount:
    """Where an engine is mounted. `uuid` is its identity; the path may move."""

    uuid: str
    accessor: str
    path: str
    """With its trailing slash: `pki/`."""
    type: str
    description: str = ""
    namespace_id: str = ROOT_NAMESPACE
    config: MountConfig = field(default_factory=MountConfig)
    options: Mapping[str, str] = field(default_factory=dict)
    local: bool = False
    seal_wrap: bool = False


class Services(Protocol):
    """What extensions offer to engines, asked for by type."""

    def get(self, service: type[S]) -> S:
        """Return the service. Raises Unavailable naming the missing package when no extension offers it."""
        ...


class Mounts(Protocol):
    """The mounts of a namespace, for extensions that must know who may use what."""

    def all(self, namespace_id: str) -> Sequence[Mount]:
        """Return the mounts, as they are now."""
        ...


class Lockouts(Protocol):
    """Locks names out of one auth mount after too many failed logins. Names of nobody are counted like any other."""

    async def demand_open(self, alias: str, now: datetime) -> None:
        """Raise Denied while a name is locked out. Asked before the secret is looked at."""
        ...

    async def failed(self, alias: str, now: datetime) -> None:
        """Count a failure. Raises Denied when it is the one that locks the name out."""
        ...

    def succeeded(self, alias: str) -> None:
        """Forget the failures of a name."""
        ...


class NeverLocked:
    """What mounts without logins are given."""

    async def demand_open(self, alias: str, now: datetime) -> None:
        """Every name is open."""

    async def failed(self, alias: str, now: datetime) -> None:
        """Nothing is counted."""

    def succeeded(self, alias: str) -> None:
        """Nothing was counted."""


@dataclass(frozen=True, slots=True)
class MountContext:
    """The world of one mounted engine."""

    mount: Callable[[], Mount]
    """The mount as it is now: tuning shows at once."""
    documents: Documents
    database: Database
    barrier: Barrier
    clock: Clock
    services: Services
    default_lease_ttl: int
    """System-wide default and maximum, in seconds, for mounts that set none."""
    max_lease_ttl: int
    lockouts: Lockouts = field(default_factory=NeverLocked)

    @property
    def effective_default_ttl(self) -> int:
        """Return the mount's default TTL in seconds."""
        return self.mount().config.default_lease_ttl or self.default_lease_ttl

    @property
    def effective_max_ttl(self) -> int:
        """Return the mount's maximum TTL in seconds."""
        return self.mount().config.max_lease_ttl or self.max_lease_ttl


class Engine(Protocol):
    """A mounted engine. Lives from unseal (or enable) to seal (or disable)."""

    def routes(self) -> Sequence[Route]:
        """Return the paths served below the mount. Called once."""
        ...

    async def start(self) -> None:
        """Make ready. Must not contact anything remote: an HSM that is away does not stop a mount from opening."""
        ...

    async def stop(self) -> None:
        """Give back what `start` took."""
        ...

    async def erase(self) -> None:
        """Remove the mount's rows from the engine's own tables; the host erases its documents. Called on disable."""
        ...


class AuthMethod(Engine, Protocol):
    """A mounted auth method: an engine below `auth/` whose login paths answer with `Reply(login=...)`."""

    async def renew(self, renewal: Mapping[str, str], now: datetime) -> Login:
        """Look again at what a token was given for, when it is renewed.

        Raises BadInput when the method would no longer vouch: the user, role or certificate is gone or changed.
        """
        ...


@runtime_checkable
class ClientBoundMethod(AuthMethod, Protocol):
    """An auth method whose tokens are renewed only over a connection of the client that they were given to."""

    async def demand_client(self, renewal: Mapping[str, str], request: Request) -> None:
        """Look at who asks for the renewal. Raises BadInput when it is another client than the one that logged in."""
        ...


@runtime_checkable
class LeasingEngine(Engine, Protocol):
    """An engine whose answers carry leases."""

    async def revoke_lease(self, revocation: Mapping[str, str], now: datetime) -> None:
        """Take back what a lease stands for. Idempotent: it is called again after a crash."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Work to be done again and again, by one node at a time.

    Idempotent: a node that dies half-way, or a clock that is set, may have it done once more.
    """

    name: str
    """Unique within the engine."""
    period: int
    """Seconds from one run to the next."""
    run: Callable[[datetime], Awaitable[None]]
    """Given the present moment. What it raises is logged; it is tried again after the period."""
    wanted: Callable[[datetime], Awaitable[bool]] | None = None
    """A cheap look at whether there is anything to do: False spares the run and what it costs to claim it."""


@runtime_checkable
class PeriodicEngine(Engine, Protocol):
    """An engine with work of its own to be done from time to time, while it is mounted and the server unsealed."""

    def jobs(self) -> Sequence[Job]:
        """Return the jobs. Asked again and again: the same names each time."""
        ...


class EngineType(Protocol):
    """A kind of engine. `name` is what `type=` says at `sys/mounts`."""

    name: str
    description: str
    schema: Schema | None

    def open(self, context: MountContext) -> Engine:
        """Build the engine for one mount. Cheap and without I/O."""
        ...


@dataclass(frozen=True, slots=True)
class KmsLibrary:
    """A PKCS#11 module that the operator allows, by name. The only way to a shared object."""

    name: str
    type: str
    library: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for the signer process of this library alone, such as SOFTHSM2_CONF."""
    initialization: str = ""
    """Text for C_Initialize, as NSS wants it ("configdir='sql:/dir' ..."); empty for all other modules."""
    max_parallel: int = 1
    timeout: float = 10.0
    """Deadline of one operation, in seconds; key generation has six times as much."""


@dataclass(frozen=True, slots=True)
class HostContext:
    """The world of an extension."""

    documents: Callable[[str], Documents]
    """The extension's documents in a namespace, by the namespace's identifier."""
    database: Database
    barrier: Barrier
    clock: Clock
    mounts: Mounts
    kms_libraries: Callable[[], Sequence[KmsLibrary]]
    """As configured now: SIGHUP may change them."""
    attempts: Attempts = field(default_factory=OwnAttempts)
    meter: Meter = field(default_factory=Unmetered)


class Extension(Protocol):
    """An open extension: offers services to engines and routes below `sys/`."""

    def services(self) -> Mapping[type, object]:
        """Return what engines may ask for, by its type."""
        ...

    def routes(self) -> Sequence[Route]:
        """Return paths below `sys/`."""
        ...

    async def start(self) -> None:
        """Make ready; called after each unseal. Must not contact anything remote."""
        ...

    async def stop(self) -> None:
        """Forget every secret and end every process; called at seal and shutdown."""
        ...

    async def reload(self) -> None:
        """Follow changed settings (SIGHUP)."""
        ...


class ExtensionType(Protocol):
    """A kind of extension."""

    name: str
    schema: Schema | None

    def open(self, context: HostContext) -> Extension:
        """Build the extension. Cheap and without I/O."""
        ...


@dataclass(frozen=True, slots=True)
class DevAdditions:
    """What a development set-up adds to `chancery server --dev`."""

    kms_libraries: Sequence[KmsLibrary] = ()
    banner: Sequence[str] = ()
    """Lines to print for the developer, such as the PIN of the token."""


class DevSetup(Protocol):
    """Prepares something a development server wants, below a private directory. Idempotent."""

    def __call__(self, directory: Path) -> DevAdditions:
        """Prepare and describe it. Returns nothing added, with a banner that says why, when a tool is missing."""
        ...
