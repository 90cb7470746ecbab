"""What a handler is given and what it gives back. Neither knows HTTP.

What every request makes anew is a NamedTuple: as immutable as a frozen dataclass, and made in a fifth of the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple


class Operation(Enum):
    """What a client wants done with a path. PUT and POST are the same."""

    READ = "read"
    LIST = "list"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"


class Caller(NamedTuple):
    """Who asks: the token behind the request, without the token itself."""

    accessor: str
    display_name: str
    policies: tuple[str, ...]
    token_hash: bytes = b""
    entity_id: str = ""
    is_root: bool = False
    namespace_id: str = "root"
    """Where the token lives; its policies are that namespace's."""


class Request(NamedTuple):
    """One authorised request on its way to an engine."""

    id: str
    operation: Operation
    path: str
    """The path below the mount, without a leading slash."""
    mount_path: str
    """Where the engine is mounted, with its trailing slash: `pki/`."""
    raw: Mapping[str, Any]
    """Path captures over body over query, as submitted."""
    now: datetime
    caller: Caller | None = None
    """None only on routes that are declared unauthenticated."""
    namespace: str = ""
    """Path of the namespace, `""` for root."""
    namespace_id: str = "root"
    """Identifier of the namespace (`engine.ROOT_NAMESPACE` for root): what documents and mounts are asked for by."""
    remote_address: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    token: str = ""
    """The caller's token itself, filled in only for the token store's own routes and sys; empty for engines."""
    fields: Mapping[str, Any] = MappingProxyType({})
    """The body, or the query, alone: for what is kept as it was sent."""
    client_certificate: bytes | None = None
    """DER of the certificate that the client proved to hold in TLS; None when it showed none."""
    client_chain: tuple[bytes, ...] = ()
    """DER of the certificates that it sent along, which nobody has verified."""

    def __repr__(self) -> str:
        return f"Request({self.id}, {self.operation.value}, {self.mount_path + self.path!r})"

    @property
    def authenticated(self) -> Caller:
        """Return the caller of a route that demands one."""
        assert self.caller is not None, "only unauthenticated routes have no caller"
        return self.caller


@dataclass(frozen=True, slots=True)
class Auth:
    """A token that a request gave birth to or renewed, as the envelope's `auth` renders it."""

    client_token: str
    accessor: str
    policies: Sequence[str]
    token_policies: Sequence[str]
    lease_duration: int
    renewable: bool
    token_type: str
    metadata: Mapping[str, str] | None = None
    identity_policies: Sequence[str] | None = None
    entity_id: str = ""
    orphan: bool = False
    num_uses: int = 0


class TokenKind(StrEnum):
    """Which type of token an auth method wants. A mount tuned to `service` or `batch` has the last word."""

    DEFAULT = "default"
    DEFAULT_SERVICE = "default-service"
    DEFAULT_BATCH = "default-batch"
    SERVICE = "service"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Login:
    """What an auth method vouches for. The host turns it into an entity and a token; the method never makes tokens.

    Durations in seconds, 0 = the mount's or system's own.
    """

    alias: str
    """Name of the person or machine within the method: a user name, a role id, a certificate's common name."""
    display_name: str
    policies: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Shown on the token, recorded in audit lines."""
    alias_metadata: Mapping[str, str] = field(default_factory=dict)
    """Kept with the alias, for policy templates."""
    ttl: int = 0
    max_ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    num_uses: int = 0
    token_type: TokenKind = TokenKind.DEFAULT
    no_default_policy: bool = False
    renewable: bool = True
    bound_cidrs: tuple[str, ...] = ()
    renewal: Mapping[str, str] = field(default_factory=dict)
    """Given back to the method's `renew`, so that it can look whether it would still vouch."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A secret that expires: what `revoke` will be given when it does. `ttl` in seconds."""

    ttl: int
    revocation: Mapping[str, str]
    max_ttl: int = 0
    renewable: bool = False


@dataclass(frozen=True, slots=True)
class WrapInfo:
    """Stands for an answer that waits behind a single-use token."""

    token: str
    accessor: str
    ttl: int
    creation_time: datetime
    creation_path: str
    wrapped_accessor: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in Vault's envelope. `data` None renders as null; handlers return None itself for 204."""

    data: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    auth: Auth | None = None
    status: int = 200
    lease_id: str = ""
    lease_duration: int = 0
    renewable: bool = False
    wrap_info: "WrapInfo | None" = None
    flat: bool = False
    """Render the members of `data` at the top level as well, as some `sys` answers do."""
    login: Login | None = None
    """Only from auth methods: becomes `auth`."""
    lease: Lease | None = None
    """The host registers it and renders `lease_id` and `lease_duration`."""
    bare: bool = False
    """Render `data` alone, without the envelope: `sys/health`, `sys/seal-status`, `sys/init`, `sys/leader`."""


@dataclass(frozen=True, slots=True)
class RawReply:
    """An answer that is not JSON: DER, PEM, text. An empty body with status 200 becomes 204."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Reply | RawReply | None


def listing(keys: Sequence[str], key_info: Mapping[str, Any] | None = None) -> Reply:
    """Render the answer to LIST. Raises NotFound when there is nothing, as Vault answers 404 to that."""
    from chancery.kit.errors import NotFound

    if not keys:
        raise NotFound
    return Reply({"keys": list(keys)} if key_info is None else {"keys": list(keys), "key_info": dict(key_info)})
