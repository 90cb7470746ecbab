"""What the seal keeps in the database, readable while the server is sealed, and the SQL for it."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from sqlalchemy import Connection, Select, delete, insert, select, update

from chancery.kit.errors import BadInput, Conflict, Corrupted
from chancery.kit.storage import Stored
from chancery.seal.shamir import MAX_SHARES
from chancery.storage.schema import META

SHAMIR = "shamir"

_SEAL = "seal"
_KEYRING = "keyring"
_ROOT_KEY = "root key"
_ENCRYPTIONS = "encryptions"

_COUNT = struct.Struct(">QQ")
"""Number of a key, and how often it encrypted."""

_WANTED_COUNT = select(META.c.value).where(META.c.key == _ENCRYPTIONS)

Work = Callable[[Connection], object]


class SealRecord(Stored):
    """How this installation is sealed. Nothing in it is secret."""

    type: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    """`shamir`, or the type of the keeper that wrapped the root key."""
    shares: int = Field(ge=1, le=MAX_SHARES)
    """Shares of the unseal key or, with a keeper, of the recovery key; `threshold` as well."""
    threshold: int = Field(ge=1, le=MAX_SHARES)
    wrapped_root_key: bytes
    recovery_check: bytes = b""
    """Proves a recovery key; only with a keeper."""
    cluster_name: str
    cluster_id: str

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if (self.type == SHAMIR) is bool(self.recovery_check):
            raise ValueError("a recovery key belongs to a keeper, and a keeper has one")
        return self

    @property
    def is_kept(self) -> bool:
        """Tell whether a keeper, not the unseal key, opens the root key."""
        return self.type != SHAMIR


@dataclass(frozen=True, slots=True)
class SealState:
    """The rows of the seal as they are stored: what compare-and-swap compares."""

    record: SealRecord
    stored_record: bytes
    keyring: bytes
    """Wrapped under the root key."""
    root_key: bytes | None
    """Sealed by the barrier for processes that were unsealed when another one replaced it."""


def read_state(connection: Connection) -> SealState | None:
    """Return everything, None before initialisation. Raises Corrupted."""
    wanted = select(META.c.key, META.c.value).where(META.c.key.in_([_SEAL, _KEYRING, _ROOT_KEY]))
    rows = {row.key: row.value for row in connection.execute(wanted)}
    if _SEAL not in rows:
        return None
    try:
        record = SealRecord.model_validate_json(rows[_SEAL])
    except ValidationError:
        raise Corrupted("the seal configuration in the database does not have the form of this release") from None
    if _KEYRING not in rows:
        raise Corrupted("the database has lost its keyring: restore it from a backup")
    return SealState(record, rows[_SEAL], rows[_KEYRING], rows.get(_ROOT_KEY))


def initialize(connection: Connection, state: SealState, also: Work | None) -> None:
    """Store everything that makes an installation. Raises BadInput when there is one."""
    if read_state(connection) is not None:
        raise BadInput("Vault is already initialized")
    connection.execute(insert(META).values(key=_SEAL, value=state.stored_record))
    connection.execute(insert(META).values(key=_KEYRING, value=state.keyring))
    if also is not None:
        also(connection)


def replace_keyring(connection: Connection, before: bytes, after: bytes) -> None:
    """Store a rotated keyring in the place of the one it was made from. Raises Conflict when that is not there."""
    if not _replace(connection, _KEYRING, before, after):
        raise Conflict("another process rotated the keyring first; try again")


def replace_state(connection: Connection, before: SealState, after: SealState) -> None:
    """Store a changed seal in the place of the one it was made from, all of it or nothing.

    Raises Conflict when the seal or the keyring changed meanwhile.
    """
    unmoved = _replace(connection, _SEAL, before.stored_record, after.stored_record) and _replace(
        connection, _KEYRING, before.keyring, after.keyring
    )
    if not unmoved:
        raise Conflict("another process changed the seal meanwhile; begin again")
    if after.root_key is not None and after.root_key != before.root_key:
        connection.execute(delete(META).where(META.c.key == _ROOT_KEY))
        connection.execute(insert(META).values(key=_ROOT_KEY, value=after.root_key))


def read_encryptions(connection: Connection, term: int) -> int:
    """Return how much a key of the keyring encrypted, as far as it was added up."""
    counted = _counted(connection, _WANTED_COUNT)
    return counted[1] if counted is not None and counted[0] == term else 0


def add_encryptions(connection: Connection, term: int, number: int) -> None:
    """Add to what a key encrypted. Counts of older keys are of no interest any more."""
    before = _counted(connection, _WANTED_COUNT.with_for_update())
    if before is not None and before[0] > term:
        return
    total = number + (before[1] if before is not None and before[0] == term else 0)
    connection.execute(delete(META).where(META.c.key == _ENCRYPTIONS))
    connection.execute(insert(META).values(key=_ENCRYPTIONS, value=_COUNT.pack(term, total)))


def _counted(connection: Connection, wanted: Select[Any]) -> tuple[int, int] | None:
    stored_count: bytes | None = connection.scalar(wanted)
    if stored_count is None:
        return None
    term, number = _COUNT.unpack(stored_count)
    return term, number


def stored(record: SealRecord) -> bytes:
    """Return a record as it is stored."""
    return record.model_dump_json().encode()


def _replace(connection: Connection, key: str, before: bytes, after: bytes) -> bool:
    changed = update(META).where(META.c.key == key, META.c.value == before).values(value=after)
    return connection.execute(changed).rowcount == 1
