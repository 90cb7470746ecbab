"""What happens around a request besides serving it: the ports that quotas, audit, logins, leases and wrapping fill.

The pipeline calls them in this order: `Quotas.admit`, then (identity and policies settled) `AuditTrail.request`, the
engine, `Logins` or `Leases` for what the answer carries, `Wrapping`, and `AuditTrail.response`, which also sees errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from chancery.auth.tokens import TokenEntry
from chancery.kit.engine import Mount
from chancery.kit.errors import ChanceryError
from chancery.kit.request import Answer, Auth, Lease, Login, Operation, RawReply, Reply, Request, WrapInfo
from chancery.namespaces.model import Namespace


class Message(NamedTuple):
    """A request as the edge understood it, before anyone knows who asks and which engine serves."""

    request_id: str
    operation: Operation
    path: str
    """Without `/v1/`, decoded, without a trailing slash and without empty segments."""
    fields: Mapping[str, Any]
    token: str = ""
    namespace: str = ""
    remote_address: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    client_certificate: bytes | None = None
    """DER of the certificate that the client proved to hold, when the listener asks for one."""
    client_chain: tuple[bytes, ...] = ()
    """DER of the certificates that it sent along, which nobody has verified."""

    def __repr__(self) -> str:
        return f"Message({self.request_id}, {self.operation.value}, {self.path!r})"


class Exchange(NamedTuple):
    """One request with everything known about it."""

    message: Message
    request: Request
    namespace: Namespace
    path: str
    """The path below the namespace."""
    mount: Mount | None
    entry: TokenEntry | None
    """The caller's token; None on unauthenticated routes, and when it was refused."""
    wrap_ttl: int = 0
    """Seconds, when the client wants the answer wrapped."""

    def __repr__(self) -> str:
        return f"Exchange({self.message!r}, namespace={self.namespace.path!r})"


class Quotas(Protocol):
    """Rate limits."""

    def admit(self, message: Message, namespace: Namespace, path: str, mount: Mount | None) -> None:
        """Count a request. Raises RateLimited."""
        ...


class AuditTrail(Protocol):
    """The audit devices."""

    @property
    def is_active(self) -> bool:
        """Tell whether any device is enabled; without one nothing is recorded."""
        ...

    async def request(self, exchange: Exchange, error: ChanceryError | None) -> None:
        """Record a request before it is served; `error` when it was refused. Raises Unavailable if nobody can write."""
        ...

    async def response(self, exchange: Exchange, answer: Answer, error: ChanceryError | None) -> None:
        """Record an answer before it leaves. Raises Unavailable if nobody can write."""
        ...


class Logins(Protocol):
    """Turns what an auth method vouches for into a token."""

    async def accept(self, login: Login, exchange: Exchange) -> tuple[Auth, tuple[str, ...]]:
        """Make the token, and the entity if it is new. Returns it with warnings."""
        ...


class Registered(NamedTuple):
    """A lease on record. `ttl` is what was granted, in seconds: maxima and the caller's token may shorten it."""

    lease_id: str
    ttl: int


class Leases(Protocol):
    """Secrets that expire."""

    async def register(self, lease: Lease, exchange: Exchange) -> Registered:
        """Record a lease, durably. Raises Denied when the caller's token is gone meanwhile."""
        ...


class Wrapping(Protocol):
    """Answers that wait behind a single-use token."""

    async def wrap(self, answer: Reply | RawReply, exchange: Exchange) -> WrapInfo:
        """Keep an answer, durably, and return what the client gets instead."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The ports that are filled. None: the server has no such thing."""

    quotas: Quotas | None = None
    audit: AuditTrail | None = None
    logins: Logins | None = None
    leases: Leases | None = None
    wrapping: Wrapping | None = None
