"""What the seal keeps in the database, readable while the server is sealed, and the SQL for it."""

from collections.abc import Callable
from typing import Literal

from pydantic import Field, ValidationError
from sqlalchemy import Connection, insert, select, update

from chancery.kit.errors import BadInput, Conflict, Corrupted
from chancery.kit.storage import Stored
from chancery.seal.shamir import MAX_SHARES
from chancery.storage.schema import META

SEAL = "seal"
KEYRING = "keyring"

Work = Callable[[Connection], object]


class SealRecord(Stored):
    """How this installation is sealed. Written once by initialisation; nothing in it is secret."""

    type: Literal["shamir"]
    shares: int = Field(ge=1, le=MAX_SHARES)
    threshold: int = Field(ge=1, le=MAX_SHARES)
    wrapped_root_key: bytes
    cluster_name: str
    cluster_id: str


def read_record(connection: Connection) -> SealRecord | None:
    """Return the record, None before initialisation. Raises Corrupted."""
    stored = _value(connection, SEAL)
    if stored is None:
        return None
    try:
        return SealRecord.model_validate_json(stored)
    except ValidationError:
        raise Corrupted("the seal configuration in the database does not have the form of this release") from None


def read_keyring(connection: Connection) -> bytes:
    """Return the wrapped keyring. Raises Corrupted when it is missing."""
    stored = _value(connection, KEYRING)
    if stored is None:
        raise Corrupted("the database has lost its keyring: restore it from a backup")
    return stored


def initialize(connection: Connection, record: SealRecord, keyring: bytes, also: Work | None) -> None:
    """Store everything that makes an installation. Raises BadInput when there is one."""
    if _value(connection, SEAL) is not None:
        raise BadInput("Vault is already initialized")
    connection.execute(insert(META).values(key=SEAL, value=record.model_dump_json().encode()))
    connection.execute(insert(META).values(key=KEYRING, value=keyring))
    if also is not None:
        also(connection)


def replace_keyring(connection: Connection, before: bytes, after: bytes) -> None:
    """Store a rotated keyring in the place of the one it was made from. Raises Conflict when that is not there."""
    replaced = connection.execute(
        update(META).where(META.c.key == KEYRING, META.c.value == before).values(value=after)
    ).rowcount
    if replaced != 1:
        raise Conflict("another process rotated the keyring first; try again")


def _value(connection: Connection, key: str) -> bytes | None:
    return connection.scalar(select(META.c.value).where(META.c.key == key))
