"""Token entries as sealed bytes: the part of a row that only the barrier can read, and whole batch tokens.

What must be found, counted or expired by SQL (hash, parent, expiry, uses) is in columns; the rest is here, bound to the
hash of its token, so that a row cannot be given the powers of another.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from chancery.auth.tokens import NewToken, TokenEntry, TokenType
from chancery.kit.errors import Corrupted
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Stored

_BATCH = b"batch-token"


class StoredEntry(Stored):
    """The facts of an entry that have no column."""

    accessor: str
    policies: tuple[str, ...]
    display_name: str
    meta: dict[str, str]
    path: str
    creation_time: int
    creation_ttl: int
    ttl: int
    explicit_max_ttl: int
    period: int
    expires_at: int | None
    renewable: bool
    type: TokenType
    role: str
    entity_id: str
    bound_cidrs: tuple[str, ...]
    namespace: str
    last_renewal: int = 0
    mount: str = ""
    renewal: dict[str, str] = Field(default_factory=dict)


class StoredBatch(StoredEntry):
    """A batch token, which has no row at all."""

    parent: bytes | None


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a token's row that concern its entry."""

    hash: bytes
    parent_hash: bytes | None
    uses_left: int
    sealed: bytes


def fresh(new: NewToken, token_hash: bytes, accessor: str, now: int) -> TokenEntry:
    """Return the entry of a token that begins at `now`."""
    return TokenEntry(
        token_hash=token_hash,
        accessor=accessor,
        policies=new.policies,
        display_name=new.display_name,
        meta=new.meta,
        path=new.path,
        creation_time=now,
        creation_ttl=new.ttl,
        ttl=new.ttl,
        explicit_max_ttl=new.explicit_max_ttl,
        period=new.period,
        expires_at=datetime.fromtimestamp(now + new.ttl, UTC) if new.ttl else None,
        num_uses=new.num_uses,
        renewable=new.renewable and new.ttl > 0,
        type=new.type,
        parent=new.parent,
        role=new.role,
        entity_id=new.entity_id,
        bound_cidrs=new.bound_cidrs,
        namespace=new.namespace,
        mount=new.mount,
        renewal=new.renewal,
    )


def seal_entry(barrier: Barrier, entry: TokenEntry) -> bytes:
    """Seal an entry for its row."""
    stored = StoredEntry.model_validate(_facts(entry))
    return barrier.seal(stored.model_dump_json().encode(), _context(entry.token_hash))


def open_entry(barrier: Barrier, row: Row) -> TokenEntry:
    """Read an entry back. Raises Corrupted when the row is not what was written."""
    stored = StoredEntry.model_validate_json(barrier.open(row.sealed, _context(row.hash)))
    return _entry(stored, row.hash, row.parent_hash, row.uses_left)


def seal_batch(barrier: Barrier, entry: TokenEntry) -> str:
    """Return the text of a batch token, without its prefix."""
    stored = StoredBatch.model_validate(_facts(entry) | {"parent": entry.parent})
    sealed = barrier.seal(stored.model_dump_json().encode(), _BATCH)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def open_batch(barrier: Barrier, text: str, token_hash: bytes) -> TokenEntry | None:
    """Read a batch token, or return None for a text that this server did not make."""
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        stored = StoredBatch.model_validate_json(barrier.open(sealed, _BATCH))
    except (binascii.Error, ValueError, Corrupted):
        return None
    return _entry(stored, token_hash, stored.parent, 0)


def _context(token_hash: bytes) -> bytes:
    return b"tokens/" + token_hash


def _facts(entry: TokenEntry) -> dict[str, object]:
    facts: dict[str, object] = {name: getattr(entry, name) for name in StoredEntry.model_fields}
    return facts | {"expires_at": None if entry.expires_at is None else int(entry.expires_at.timestamp())}


def _entry(stored: StoredEntry, token_hash: bytes, parent: bytes | None, uses_left: int) -> TokenEntry:
    return TokenEntry(
        token_hash=token_hash,
        accessor=stored.accessor,
        policies=stored.policies,
        display_name=stored.display_name,
        meta=stored.meta,
        path=stored.path,
        creation_time=stored.creation_time,
        creation_ttl=stored.creation_ttl,
        ttl=stored.ttl,
        explicit_max_ttl=stored.explicit_max_ttl,
        period=stored.period,
        expires_at=None if stored.expires_at is None else datetime.fromtimestamp(stored.expires_at, UTC),
        num_uses=uses_left,
        renewable=stored.renewable,
        type=stored.type,
        parent=parent,
        role=stored.role,
        entity_id=stored.entity_id,
        bound_cidrs=stored.bound_cidrs,
        namespace=stored.namespace,
        last_renewal=stored.last_renewal,
        mount=stored.mount,
        renewal=stored.renewal,
    )
