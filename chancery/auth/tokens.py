"""What a token is, once it is found. Values only; no storage, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from chancery.kit.engine import ROOT_NAMESPACE
from chancery.kit.networks import is_within

SERVICE_PREFIX = "hvs."
BATCH_PREFIX = "hvb."


class TokenType(StrEnum):
    """Service tokens are rows; batch tokens carry their whole entry, sealed."""

    SERVICE = "service"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a new token shall be. Durations in seconds, 0 = none; a `ttl` of 0 never expires."""

    policies: tuple[str, ...]
    path: str
    display_name: str = "token"
    meta: Mapping[str, str] = field(default_factory=dict)
    ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    num_uses: int = 0
    """0 = as often as one likes."""
    renewable: bool = True
    type: TokenType = TokenType.SERVICE
    parent: bytes | None = None
    """Hash of the token that this one dies with; None for an orphan."""
    role: str = ""
    entity_id: str = ""
    bound_cidrs: tuple[str, ...] = ()
    namespace: str = ROOT_NAMESPACE
    token_id: str = ""
    """The text of the token, when it is chosen by its creator."""
    mount: str = ""
    """Identity of the auth mount that vouched for the token; empty for tokens made by tokens."""
    renewal: Mapping[str, str] = field(default_factory=dict)
    """What that mount's method wants to see again at a renewal."""


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A token as the server knows it: everything but the token itself. Times in whole seconds since 1970."""

    token_hash: bytes
    accessor: str
    """Empty for batch tokens, which have none."""
    policies: tuple[str, ...]
    display_name: str
    meta: Mapping[str, str]
    path: str
    creation_time: int
    creation_ttl: int
    ttl: int
    """The duration granted last, by creation or renewal."""
    explicit_max_ttl: int
    period: int
    expires_at: datetime | None
    num_uses: int
    """Uses left; 0 = without limit, -1 = the present request was the last."""
    renewable: bool
    type: TokenType
    parent: bytes | None
    role: str
    entity_id: str
    bound_cidrs: tuple[str, ...]
    namespace: str
    last_renewal: int = 0
    mount: str = ""
    renewal: Mapping[str, str] = field(default_factory=dict)

    @property
    def orphan(self) -> bool:
        """Tell whether the token lives on when another is revoked."""
        return self.parent is None

    @property
    def issued_at(self) -> datetime:
        """Return when the token was made."""
        return datetime.fromtimestamp(self.creation_time, UTC)

    @property
    def renewed_at(self) -> datetime:
        """Return when the token was last renewed; without meaning when it never was."""
        return datetime.fromtimestamp(self.last_renewal, UTC)

    def seconds_left(self, now: datetime) -> int:
        """Return for how long the token is valid yet; 0 when it never expires."""
        return 0 if self.expires_at is None else max(0, int((self.expires_at - now).total_seconds()))


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token. The only moment at which its text is known."""

    token: str = field(repr=False)
    entry: TokenEntry


def permitted_from(entry: TokenEntry, remote_address: str) -> bool:
    """Tell whether a token may be used from an address. Without bound networks: from anywhere."""
    return not entry.bound_cidrs or is_within(remote_address, entry.bound_cidrs)
