"""The book of leases: registered, looked up, listed, renewed, counted."""

import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from chancery.auth.tokens import TokenEntry, TokenType
from chancery.exchange import Exchange, Registered
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, Denied
from chancery.kit.request import Lease
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database
from chancery.leases import rows
from chancery.leases.model import LeaseRecord, Terms, granted_ttl, renewal

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 24
_PAGE = 500


class LeaseBook:
    """`Leases` of the pipeline, and what `sys/leases` reads."""

    def __init__(self, database: Database, barrier: Barrier, clock: Clock, *, default_ttl: int, max_ttl: int) -> None:
        self._database = database
        self._barrier = barrier
        self._clock = clock
        self._default_ttl = default_ttl
        self._max_ttl = max_ttl
        self.on_due: Callable[[], None] | None = None
        """Called when a lease is due at once."""

    async def register(self, lease: Lease, exchange: Exchange) -> Registered:
        """Record a lease, durably. Raises Denied, and has the secret taken back, when the token is gone meanwhile."""
        mount = exchange.mount
        assert mount is not None, "only mounts answer with leases"
        now = _seconds(self._clock)
        ttl, max_ttl = granted_ttl(
            lease,
            mount.config.default_lease_ttl or self._default_ttl,
            mount.config.max_lease_ttl or self._max_ttl,
            exchange.entry,
            now,
        )
        lease_id = f"{exchange.path}/{''.join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))}"
        terms = Terms(
            path=exchange.path,
            mount_accessor=mount.accessor,
            revocation=dict(lease.revocation),
            ttl=ttl,
            max_ttl=max_ttl,
            renewable=lease.renewable,
        )
        key = (exchange.namespace.id, lease_id)
        row = {
            "namespace": key[0],
            "id": key[1],
            "mount": mount.uuid,
            "token_hash": _holder(exchange.entry),
            "issued_at": now,
            "expires_at": now + ttl,
            "due_at": now + ttl,
            "attempts": 0,
            "error": "",
            "sealed": self._sealed(key, terms),
        }
        if not await self._database.write(lambda at: rows.add(at, row)):
            if self.on_due is not None:
                self.on_due()
            raise Denied
        return Registered(lease_id, ttl)

    async def find(self, namespace_id: str, lease_id: str) -> LeaseRecord | None:
        """Return a lease, or None."""
        row = await self._database.read(lambda at: rows.find(at, (namespace_id, lease_id)))
        return self.opened(row) if row is not None else None

    async def renew(self, namespace_id: str, lease_id: str, increment: int) -> tuple[LeaseRecord, tuple[str, ...]]:
        """Let a lease end later, durably; returns it with warnings. Raises BadInput when that cannot be."""
        record = await self.find(namespace_id, lease_id)
        if record is None:
            raise BadInput("lease not found")
        now = _seconds(self._clock)
        lifetime = renewal(record, increment, now)
        terms = record.terms.model_copy(update={"ttl": lifetime.ttl, "last_renewal": now})
        key, due_at, until = (namespace_id, lease_id), record.due_at, now + lifetime.ttl
        assert due_at is not None, "irrevocable leases are not renewed"
        sealed = self._sealed(key, terms)
        if not await self._database.write(lambda at: rows.renew(at, key, due_at, until, sealed)):
            raise BadInput("lease not found")
        return replace(record, expires_at=until, due_at=until, terms=terms), lifetime.warnings

    async def children(self, namespace_id: str, prefix: str) -> list[str]:
        """Return what is directly below a prefix, in order; what goes deeper ends in a slash.

        `prefix` is empty or ends in a slash. Reads pages, and skips whatever lies within a child that is known.
        """
        found: list[str] = []
        after = ""
        while page := await self._ids(namespace_id, prefix, after):
            for lease_id in page:
                name, slash, _ = lease_id[len(prefix) :].partition("/")
                if not found or found[-1] != name + slash:
                    found.append(name + slash)
            last = found[-1]
            after = f"{prefix}{last}\U0010ffff" if last.endswith("/") else page[-1]
        return found

    async def irrevocable(self, namespace_id: str, limit: int) -> list[LeaseRecord]:
        """Return leases that could not be taken back, in the order of their identifiers."""
        return await self.page(rows.irrevocable(namespace_id), ("", ""), limit)

    async def count_by_mount(self, namespace_id: str, *, irrevocable_only: bool) -> dict[str, int]:
        """Count the leases of a namespace by the uuid of their mount."""
        condition = rows.irrevocable(namespace_id) if irrevocable_only else rows.all_of(namespace_id)
        return await self._database.read(lambda at: rows.count_by_mount(at, condition))

    async def page(self, condition: rows.Condition, after: rows.Key, limit: int) -> list[LeaseRecord]:
        """Return the next leases that fulfil a condition."""
        found = await self._database.read(lambda at: rows.page(at, condition, after, limit))
        return [self.opened(row) for row in found]

    async def due(self, now: int, limit: int) -> list[LeaseRecord]:
        """Return leases that are due."""
        found = await self._database.read(lambda at: rows.due(at, now, limit))
        return [self.opened(row) for row in found]

    def opened(self, row: Row[Any]) -> LeaseRecord:
        """Read a row. Raises Corrupted when it is not what was written."""
        key = (row.namespace, row.id)
        terms = Terms.model_validate_json(self._barrier.open(row.sealed, _context(key)))
        return LeaseRecord(
            namespace=row.namespace,
            id=row.id,
            mount=row.mount,
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            due_at=row.due_at,
            attempts=row.attempts,
            error=row.error,
            terms=terms,
        )

    def _sealed(self, key: rows.Key, terms: Terms) -> bytes:
        return self._barrier.seal(terms.model_dump_json().encode(), _context(key))

    async def _ids(self, namespace_id: str, prefix: str, after: str) -> Sequence[str]:
        return await self._database.read(lambda at: rows.ids(at, namespace_id, prefix, after, _PAGE))


def _holder(entry: TokenEntry | None) -> bytes | None:
    """Return the token that takes a lease along: batch tokens have no row, their parent stands in for them."""
    if entry is None:
        return None
    return entry.parent if entry.type is TokenType.BATCH else entry.token_hash


def _context(key: rows.Key) -> bytes:
    return f"leases/{key[0]}/{key[1]}".encode()


def _seconds(clock: Clock) -> int:
    return int(clock.now().timestamp())
