"""Secret ids: made, found by keyed hash, spent atomically, tidied. Neither their text nor a cache of it is kept."""

import hmac
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, or_, select, update

from chancery.auth.approle.tables import SECRET_IDS
from chancery.kit.errors import BadInput
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, DuplicateRow, Stored

_S = SECRET_IDS.c
_PAGE = 1000
_MINE = and_(_S.mount == bindparam("m"), _S.hash == bindparam("h"))
_FIND = select(SECRET_IDS).where(_MINE)
_SPEND_ONE = (
    update(SECRET_IDS).where(_MINE, _S.uses_left > 1).values(uses_left=_S.uses_left - 1, updated_at=bindparam("now"))
)
_SPEND_LAST = delete(SECRET_IDS).where(_MINE, _S.uses_left == 1)


class Details(Stored):
    """What of a secret id has no column."""

    metadata: Mapping[str, str] = {}
    cidr_list: tuple[str, ...] = ()
    """Networks that may log in with it."""
    token_bound_cidrs: tuple[str, ...] = ()
    """Networks that its tokens may be used from, instead of the role's."""


@dataclass(frozen=True, slots=True)
class SecretId:
    """A secret id, without its text. Times in seconds since 1970."""

    hash: bytes
    accessor: str
    created_at: int
    updated_at: int
    expires_at: int | None
    ttl: int
    """0 = never expires."""
    uses_left: int
    """0 = without limit."""
    details: Details


@dataclass(frozen=True, slots=True)
class NewSecretId:
    """What a new secret id shall be. `text` empty: random."""

    ttl: int
    num_uses: int
    details: Details
    text: str = ""


class SecretIds:
    """The secret ids of one mount."""

    def __init__(self, database: Database, barrier: Barrier, mount: str) -> None:
        self._database = database
        self._barrier = barrier
        self._mount = mount

    async def add(self, role: str, new: NewSecretId, now: datetime) -> tuple[str, str]:
        """Store a secret id, durably. Returns its text, for the only time, and its accessor.

        Raises BadInput when the text is registered with the role already.
        """
        text, accessor, moment = new.text or str(uuid.uuid4()), str(uuid.uuid4()), int(now.timestamp())
        secret_hash = self._hash(role, text)
        row = {
            "mount": self._mount,
            "hash": secret_hash,
            "role": role,
            "accessor": accessor,
            "created_at": moment,
            "updated_at": moment,
            "expires_at": moment + new.ttl if new.ttl else None,
            "ttl": new.ttl,
            "uses_left": new.num_uses,
            "sealed": self._barrier.seal(new.details.model_dump_json().encode(), self._context(secret_hash)),
        }
        if new.text:
            await self._database.write(lambda at: at.execute(_expired(self._mount, secret_hash, moment)))
        try:
            await self._database.append(SECRET_IDS, row)
        except DuplicateRow:
            raise BadInput("failed to store secret_id: SecretID is already registered") from None
        return text, accessor

    async def find(self, role: str, text: str, now: datetime) -> SecretId | None:
        """Return the valid secret id of a role with a text, or None."""
        secret_hash = self._hash(role, text)
        row = await self._database.read(
            lambda at: at.execute(_FIND, {"m": self._mount, "h": secret_hash}).one_or_none()
        )
        return self._valid(row, now)

    async def by_accessor(self, role: str, accessor: str, now: datetime) -> SecretId | None:
        """Return the valid secret id of a role with an accessor, or None."""
        statement = select(SECRET_IDS).where(self._of_role(role), _S.accessor == accessor)
        row = await self._database.read(lambda at: at.execute(statement).one_or_none())
        return self._valid(row, now)

    async def accessors(self, role: str, now: datetime) -> list[str]:
        """Return the accessors of a role's valid secret ids, in order."""
        found: list[str] = []
        while page := await self._page(role, found[-1] if found else "", int(now.timestamp())):
            found.extend(page)
        return found

    async def spend(self, secret: SecretId, now: datetime) -> bool:
        """Take one of the counted uses, durably; with the last one the secret id is gone. False: there was none."""
        mine: dict[str, Any] = {"m": self._mount, "h": secret.hash}

        def work(connection: Connection) -> bool:
            one = connection.execute(_SPEND_ONE, {**mine, "now": int(now.timestamp())})
            return one.rowcount == 1 or connection.execute(_SPEND_LAST, mine).rowcount == 1

        return await self._database.write(work)

    async def remove(self, secret: SecretId) -> None:
        """Destroy a secret id, durably."""
        await self._database.write(lambda at: at.execute(delete(SECRET_IDS).where(_MINE), self._named(secret)))

    async def remove_role(self, role: str) -> None:
        """Destroy the secret ids of a role, in small transactions."""
        await self._remove(self._of_role(role))

    async def remove_all(self) -> None:
        """Destroy every secret id of the mount, in small transactions."""
        await self._remove(_S.mount == self._mount)

    async def tidy(self, known_roles: Sequence[str], now: datetime) -> int:
        """Remove what is expired, and what deleted roles left behind. Returns how many."""
        expired = await self._remove(self._over(int(now.timestamp())))
        here = select(_S.role).where(_S.mount == self._mount).distinct()
        roles = await self._database.read(lambda at: list(at.scalars(here)))
        for stray in set(roles).difference(known_roles):
            expired += await self._remove(self._of_role(stray))
        return expired

    async def any_expired(self, now: datetime) -> bool:
        """Tell whether `tidy` would find anything expired; one look into an index."""
        statement = select(_S.hash).where(self._over(int(now.timestamp()))).limit(1)
        return await self._database.read(lambda at: at.scalar(statement)) is not None

    async def _page(self, role: str, after: str, moment: int) -> Sequence[str]:
        statement = (
            select(_S.accessor)
            .where(self._of_role(role), _S.accessor > after, or_(_S.expires_at.is_(None), _S.expires_at > moment))
            .order_by(_S.accessor)
            .limit(_PAGE)
        )
        return await self._database.read(lambda at: list(at.scalars(statement)))

    async def _remove(self, which: ColumnElement[bool]) -> int:
        total = 0
        chunk = select(_S.hash).where(which).limit(_PAGE)
        statement = delete(SECRET_IDS).where(_S.mount == self._mount, _S.hash.in_(chunk))
        work: Callable[[Connection], int] = lambda at: at.execute(statement).rowcount  # noqa: E731 - typed once
        while removed := await self._database.write(work):
            total += removed
        return total

    def _valid(self, row: Row[Any] | None, now: datetime) -> SecretId | None:
        if row is None or (row.expires_at is not None and row.expires_at <= int(now.timestamp())):
            return None
        details = Details.model_validate_json(self._barrier.open(row.sealed, self._context(row.hash)))
        return SecretId(
            row.hash, row.accessor, row.created_at, row.updated_at, row.expires_at, row.ttl, row.uses_left, details
        )

    def _hash(self, role: str, text: str) -> bytes:
        key = self._barrier.derive(b"approle-secret-id/" + self._mount.encode())
        return hmac.digest(key, f"{role}/{text}".encode("utf-8", "surrogatepass"), "sha256")

    def _context(self, secret_hash: bytes) -> bytes:
        return b"approle/" + self._mount.encode() + b"/" + secret_hash

    def _named(self, secret: SecretId) -> dict[str, Any]:
        return {"m": self._mount, "h": secret.hash}

    def _of_role(self, role: str) -> ColumnElement[bool]:
        return and_(_S.mount == self._mount, _S.role == role)

    def _over(self, moment: int) -> ColumnElement[bool]:
        return and_(_S.mount == self._mount, _S.expires_at <= moment)


def _expired(mount: str, secret_hash: bytes, moment: int) -> Any:
    return delete(SECRET_IDS).where(_S.mount == mount, _S.hash == secret_hash, _S.expires_at <= moment)
