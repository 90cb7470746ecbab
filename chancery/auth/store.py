"""Where tokens are kept: rows by keyed hash, entries sealed, the ones in use cached.

Neither tokens nor accessors are stored, and none is kept in memory: caches are keyed by hash. What this process revokes
is gone from its cache at once. Every revocation also touches one document, `revocation/last`, within the same
transaction: whoever follows the changes of other processes sees it and calls `changed`.
"""

import asyncio
import hashlib
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection

from chancery.auth import rows
from chancery.auth.lifetimes import Limits
from chancery.auth.sealed import Row, fresh, open_batch, open_entry, seal_batch, seal_entry
from chancery.auth.tokens import (
    BATCH_PREFIX,
    SERVICE_PREFIX,
    CreatedToken,
    NewToken,
    TokenEntry,
    TokenType,
    permitted_from,
)
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, Denied
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, Documents, DuplicateRow, Stored
from chancery.policy.acl import ROOT
from chancery.storage.schema import TOKENS

__all__ = ["TokenStore", "permitted_from"]

_ALPHABET = (string.ascii_letters + string.digits).encode()
_LETTER_OF = bytes(_ALPHABET[number % 62] for number in range(256))
_UNFAIR = bytes(range(248, 256))
"""Bytes that would favour some letters: 248 is the greatest multiple of 62."""
_TOKEN_LENGTH = 32
"""Characters after the prefix: 190 bits."""
ROOT_TOKEN_LENGTH = len(SERVICE_PREFIX) + _TOKEN_LENGTH
"""Bytes of the text of a root token that is not chosen."""
_ACCESSOR_LENGTH = 24
_MAX_TOKEN = 16 * 1024
"""Longer texts cannot be tokens."""
_MAX_CACHED = 65_536
_TIDY_BATCH = 500

V = TypeVar("V")

Work = Callable[[Connection], list[bytes]]
"""Returns the hashes of the tokens that are no longer what they were."""


class LastRevocation(Stored):
    """Changes with every revocation; only that it changes matters."""

    at: int
    nonce: str


@dataclass(frozen=True, slots=True)
class _Valid:
    """A cached entry, and until when it and everything above it is valid."""

    until: datetime | None
    entry: TokenEntry


class TokenStore:
    """All tokens of the server. One object for life; the barrier decides when it can be used."""

    def __init__(
        self,
        database: Database,
        documents: Documents,
        barrier: Barrier,
        clock: Clock,
        *,
        default_ttl: int,
        max_ttl: int,
    ) -> None:
        self.documents = documents
        self.limits = Limits(default_ttl=default_ttl, max_ttl=max_ttl)
        self._database = database
        self._barrier = barrier
        self._clock = clock
        self._revocations = documents.collection("revocation", LastRevocation)
        self._key = b""
        self._accessor_key = b""
        self._changing: set[asyncio.Task[None]] = set()
        self._service: dict[bytes, _Valid] = {}
        self._batch: dict[bytes, TokenEntry] = {}
        self._generation = 0
        self.hits = 0
        self.misses = 0
        """How many look-ups of service tokens the cache answered, and how many not."""
        self.on_ended: Callable[[], None] | None = None
        """Called after tokens ended: what they left behind (leases) waits to be cleared away."""

    async def lookup(self, token: str, now: datetime, *, spent: bool = False) -> TokenEntry | None:
        """Return the entry of a valid token, or None. A warm look-up reads no database.

        `spent` finds also the token whose last use is the request being served. Raises Sealed.
        """
        if len(token) > _MAX_TOKEN:
            return None
        token_hash = self.hash(token)
        if token.startswith(BATCH_PREFIX):
            return await self._lookup_batch(token, token_hash, now)
        known = self._service.get(token_hash)
        if known is not None and (known.until is None or known.until > now):
            self.hits += 1
            return known.entry
        self.misses += 1
        entry = await self._read(token_hash, now)
        return entry if entry is None or entry.num_uses >= 0 or spent else None

    async def by_accessor(self, accessor: str, now: datetime) -> TokenEntry | None:
        """Return the entry of the valid token with an accessor, or None."""
        accessor_hash = self._accessor_hash(accessor)
        token_hash = await self._database.read(lambda at: rows.hash_of_accessor(at, accessor_hash))
        entry = await self._read(token_hash, now) if token_hash is not None else None
        return entry if entry is not None and entry.num_uses >= 0 else None

    async def accessors(self, now: datetime, namespace_id: str) -> list[str]:
        """Return the accessors of all valid tokens of a namespace."""
        found: list[str] = []
        after, moment = b"", _seconds(now)
        while page := await self._page(after, moment, namespace_id):
            found.extend(open_entry(self._barrier, row).accessor for row in page)
            after = page[-1].hash
        return found

    async def create(self, new: NewToken) -> CreatedToken:
        """Make a token, durably. Raises BadInput when its chosen text is taken, Denied when its parent is gone."""
        now = _seconds(self._clock.now())
        if new.type is TokenType.BATCH:
            return self._create_batch(new, now)
        created, row = self._draft(new, now)
        if new.token_id:
            self._drop(await self._database.write(lambda at: rows.clear(at, created.entry.token_hash, now)))
        try:
            if new.parent is None:
                await self._database.append(TOKENS, row)
            else:
                await self._database.write(lambda at: rows.add_child(at, row, now))
        except DuplicateRow:
            raise BadInput("cannot create a token with a duplicate ID") from None
        return created

    async def create_with(
        self, new: NewToken, belongings: Callable[[TokenEntry], Callable[[Connection], None]]
    ) -> CreatedToken:
        """Make an orphan service token together with rows that belong to it, in one transaction."""
        created, row = self._draft(new, _seconds(self._clock.now()))
        add_belongings = belongings(created.entry)

        def work(connection: Connection) -> None:
            rows.add(connection, row)
            add_belongings(connection)

        await self._database.write(work)
        return created

    async def create_root(self, *, token_id: str = "") -> CreatedToken:
        """Make a token that may do everything and never expires, with a text of one's own for development."""
        return await self.create(_root(token_id))

    def first_root(self, barrier: Barrier, *, token_id: str = "") -> tuple[CreatedToken, Callable[[Connection], None]]:
        """Draft a root token under a barrier that is only being made; returns it with the work that stores it."""
        store = TokenStore(
            self._database,
            self.documents,
            barrier,
            self._clock,
            default_ttl=self.limits.default_ttl,
            max_ttl=self.limits.max_ttl,
        )
        now = _seconds(self._clock.now())
        created, row = store._draft(_root(token_id), now)
        return created, lambda at: rows.add(at, row)

    async def use(self, token: str) -> None:
        """Spend one of a token's counted uses, durably. Raises Denied when another request took the last one."""
        token_hash = self.hash(token)
        if not await self._database.write(lambda at: rows.spend(at, token_hash)):
            raise Denied

    async def renew(self, entry: TokenEntry, ttl: int, now: datetime) -> TokenEntry:
        """Let a token expire `ttl` seconds from now, durably. Raises BadInput when it is gone meanwhile."""
        moment = _seconds(now)
        expires_at = datetime.fromtimestamp(moment, UTC) + timedelta(seconds=ttl)
        renewed = replace(entry, ttl=ttl, expires_at=expires_at, last_renewal=moment)
        sealed = seal_entry(self._barrier, renewed)

        def work(connection: Connection) -> list[bytes]:
            if not rows.renew(connection, entry.token_hash, moment + ttl, sealed):
                raise BadInput("token not found")
            return rows.descendants(connection, entry.token_hash)

        if entry.expires_at is not None and expires_at < entry.expires_at:
            await self._change(work)
        else:
            self._drop(await self._database.write(work))
        return renewed

    async def revoke(self, token_hash: bytes) -> None:
        """End a token and everything below it, durably. An absent one is fine."""
        await self._change(lambda at: rows.delete_tree(at, [token_hash]))

    async def revoke_orphan(self, token_hash: bytes) -> None:
        """End a token alone, durably; its children live on as orphans."""
        await self._change(lambda at: rows.delete_alone(at, token_hash))

    async def revoke_namespace(self, namespace_id: str) -> None:
        """End every token of a namespace and everything below them; called when the namespace is deleted."""
        await self._change(lambda at: rows.delete_namespace(at, namespace_id))

    async def revoke_mount(self, mount: str) -> None:
        """End every token that an auth mount vouched for, and everything below them; called when it is disabled."""
        await self._change(lambda at: rows.delete_mount(at, mount))

    async def tidy(self, now: datetime) -> int:
        """Remove expired and spent tokens with everything below them, in small transactions. Returns how many."""
        moment, total = _seconds(now), 0
        while removed := await self._database.write(lambda at: rows.delete_expired(at, moment, _TIDY_BATCH)):
            self._drop(removed)
            total += len(removed)
        if total and self.on_ended is not None:
            self.on_ended()
        return total

    async def any_to_tidy(self, now: datetime) -> bool:
        """Tell whether `tidy` would find anything; cheap."""
        moment = _seconds(now)
        return await self._database.read(lambda at: rows.any_expired(at, moment))

    def hash(self, token: str) -> bytes:
        """Return the keyed hash under which a token is known. Raises Sealed."""
        if not self._key:
            self._key = self._barrier.derive(b"token-hash")
        return _keyed_hash(self._key, token)

    def changed(self) -> None:
        """Forget cached entries: another process revoked something."""
        self._generation += 1
        self._service.clear()
        self._batch.clear()

    def forget(self) -> None:
        """Forget everything, the key of the hashes included; called at seal."""
        self.changed()
        self._key = b""
        self._accessor_key = b""

    def _draft(self, new: NewToken, now: int) -> tuple[CreatedToken, Mapping[str, Any]]:
        token = new.token_id or SERVICE_PREFIX + _random(_TOKEN_LENGTH)
        entry = fresh(new, self.hash(token), _random(_ACCESSOR_LENGTH), now)
        row = {
            "hash": entry.token_hash,
            "accessor_hash": self._accessor_hash(entry.accessor),
            "parent_hash": entry.parent,
            "namespace": entry.namespace,
            "mount": entry.mount or None,
            "expires_at": now + new.ttl if new.ttl else None,
            "created_at": now,
            "uses_left": entry.num_uses,
            "sealed": seal_entry(self._barrier, entry),
        }
        return CreatedToken(token, entry), row

    def _accessor_hash(self, accessor: str) -> bytes:
        if not self._accessor_key:
            self._accessor_key = self._barrier.derive(b"accessor-hash")
        return _keyed_hash(self._accessor_key, accessor)

    async def _read(self, token_hash: bytes, now: datetime) -> TokenEntry | None:
        generation = self._generation
        found = await self._database.read(lambda at: rows.find(at, token_hash))
        if found is None:
            return None
        until = None if found.valid_until is None else datetime.fromtimestamp(found.valid_until, UTC)
        if until is not None and until <= now:
            self._service.pop(token_hash, None)
            return None
        entry = open_entry(self._barrier, found.row)
        # Counted uses change with each request, and what was read before a revocation must not outlive it.
        if not entry.num_uses and generation == self._generation:
            _keep(self._service, token_hash, _Valid(until, entry))
        return entry

    async def _lookup_batch(self, token: str, token_hash: bytes, now: datetime) -> TokenEntry | None:
        entry = self._batch.get(token_hash)
        if entry is None:
            entry = open_batch(self._barrier, token.removeprefix(BATCH_PREFIX), token_hash)
            if entry is None:
                return None
            _keep(self._batch, token_hash, entry)
        if entry.expires_at is None or entry.expires_at <= now:
            return None
        return entry if entry.parent is None or await self._lives(entry.parent, now) else None

    async def _lives(self, token_hash: bytes, now: datetime) -> bool:
        known = self._service.get(token_hash)
        if known is not None and (known.until is None or known.until > now):
            return True
        entry = await self._read(token_hash, now)
        return entry is not None and entry.num_uses >= 0

    def _create_batch(self, new: NewToken, now: int) -> CreatedToken:
        entry = fresh(replace(new, renewable=False, renewal={}), b"", "", now)
        token = BATCH_PREFIX + seal_batch(self._barrier, entry)
        if len(token) > _MAX_TOKEN:
            raise BadInput("the batch token would be too long; give it less metadata or fewer policies")
        return CreatedToken(token, replace(entry, token_hash=self.hash(token)))

    async def _page(self, after: bytes, moment: int, namespace_id: str) -> Sequence[Row]:
        return await self._database.read(lambda at: rows.page(at, after, moment, namespace_id))

    async def _change(self, work: Work) -> None:
        """Run work that ends or shortens the life of tokens, and tell the other processes.

        The cache follows even when the caller is cancelled while it waits: a client that hangs up must not leave a
        revoked token in use.
        """
        task = asyncio.ensure_future(self._changed_by(work))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        await asyncio.shield(task)

    async def _changed_by(self, work: Work) -> None:
        ended: list[bytes] = []

        def remember(connection: Connection) -> None:
            ended[:] = work(connection)

        change = self.documents.change()
        change.run(remember)
        mark = LastRevocation(at=_seconds(self._clock.now()), nonce=secrets.token_hex(8))
        change.put(self._revocations, "last", mark)
        await change.commit()
        self._drop(ended)
        if self.on_ended is not None:
            self.on_ended()

    def _drop(self, token_hashes: Sequence[bytes]) -> None:
        self._generation += 1
        for token_hash in token_hashes:
            self._service.pop(token_hash, None)


def _keep(cache: dict[bytes, V], key: bytes, value: V) -> None:
    if len(cache) >= _MAX_CACHED:
        del cache[next(iter(cache))]
    cache[key] = value


def _random(length: int) -> str:
    """Return letters and digits, each with the same probability."""
    text = b""
    while len(text) < length:
        text += secrets.token_bytes(2 * length).translate(_LETTER_OF, _UNFAIR)
    return text[:length].decode()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _root(token_id: str) -> NewToken:
    return NewToken(policies=(ROOT,), path="auth/token/root", display_name="root", renewable=False, token_id=token_id)


def _keyed_hash(key: bytes, text: str) -> bytes:
    """Return 32 octets of BLAKE2b in its keyed mode (RFC 7693): a MAC, at a third of what HMAC costs."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=32).digest()
