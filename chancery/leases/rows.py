"""Units of work on the table of leases: plain functions over a connection, to be run in a transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, not_, or_, select, update

from chancery.auth.belongings import AT_ONCE
from chancery.storage.schema import LEASES, TOKENS

_L = LEASES.c

Key = tuple[str, str]
"""Namespace and identifier."""

Condition = ColumnElement[bool]
"""Which leases are meant."""


def below(prefix: str) -> Condition:
    """Return the condition for the leases at or below a path, which has no slash at its end."""
    return or_(_L.id == prefix, and_(_L.id >= f"{prefix}/", _L.id < f"{prefix}0"))  # `0` comes after `/`


def _is(key: Key) -> Condition:
    return and_(_L.namespace == key[0], _L.id == key[1])


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Insert a lease. False when its token is gone already: the lease is then due at once."""
    token_hash = row["token_hash"]
    alive = (
        token_hash is None or connection.scalar(select(TOKENS.c.hash).where(TOKENS.c.hash == token_hash)) is not None
    )
    connection.execute(insert(LEASES).values(row if alive else {**row, "token_hash": None, "due_at": AT_ONCE}))
    return alive


def find(connection: Connection, key: Key) -> Row[Any] | None:
    """Read one lease."""
    return connection.execute(select(LEASES).where(_is(key))).one_or_none()


def renew(connection: Connection, key: Key, due_at: int, expires_at: int, sealed: bytes) -> bool:
    """Postpone the end of a lease. False when it is not any more what was read (`due_at`)."""
    renewed = update(LEASES).where(_is(key), _L.due_at == due_at)
    return connection.execute(renewed.values(expires_at=expires_at, due_at=expires_at, sealed=sealed)).rowcount == 1


def remove(connection: Connection, condition: Condition) -> int:
    """Forget leases. Returns how many."""
    return connection.execute(delete(LEASES).where(condition)).rowcount


def failed(connection: Connection, key: Key, attempts: int, due_at: int | None, error: str) -> None:
    """Write down that a secret could not be taken back, and when to try again."""
    connection.execute(update(LEASES).where(_is(key)).values(attempts=attempts, due_at=due_at, error=error))


def mark_due(connection: Connection, condition: Condition) -> int:
    """Let leases fall due at once, irrevocable ones included. Returns how many."""
    return connection.execute(update(LEASES).where(condition).values(due_at=AT_ONCE)).rowcount


def without_token() -> Condition:
    """Return the condition for leases whose token is gone without having taken them along."""
    holder = select(TOKENS.c.hash).where(TOKENS.c.hash == _L.token_hash).exists()
    return and_(_L.token_hash.is_not(None), not_(holder))


def due(connection: Connection, now: int, limit: int) -> Sequence[Row[Any]]:
    """Return leases that are due, the longest overdue first."""
    return connection.execute(select(LEASES).where(_L.due_at <= now).order_by(_L.due_at).limit(limit)).all()


def any_due(connection: Connection, now: int) -> bool:
    """Tell whether any lease is due."""
    return connection.scalar(select(_L.due_at).where(_L.due_at <= now).limit(1)) is not None


def page(connection: Connection, condition: Condition, after: Key, limit: int) -> Sequence[Row[Any]]:
    """Return the next leases that fulfil a condition, in the order of their keys."""
    beyond = or_(_L.namespace > after[0], and_(_L.namespace == after[0], _L.id > after[1]))
    statement = select(LEASES).where(condition, beyond).order_by(_L.namespace, _L.id).limit(limit)
    return connection.execute(statement).all()


def ids(connection: Connection, namespace_id: str, prefix: str, after: str, limit: int) -> list[str]:
    """Return the next identifiers that begin with a prefix and are greater than `after`."""
    statement = select(_L.id).where(_L.namespace == namespace_id, _L.id > after, _L.id >= prefix)
    if prefix:
        statement = statement.where(_L.id < prefix[:-1] + chr(ord(prefix[-1]) + 1))
    return list(connection.scalars(statement.order_by(_L.id).limit(limit)))


def one(namespace_id: str, lease_id: str) -> Condition:
    """Return the condition for a single lease."""
    return _is((namespace_id, lease_id))


def of_mount(mount: str) -> Condition:
    """Return the condition for the leases of a mount, by its uuid."""
    return _L.mount == mount


def of_namespace(namespace_id: str, prefix: str) -> Condition:
    """Return the condition for the leases at or below a path of a namespace."""
    return and_(_L.namespace == namespace_id, below(prefix))


def irrevocable(namespace_id: str) -> Condition:
    """Return the condition for the leases of a namespace that could not be taken back."""
    return and_(_L.namespace == namespace_id, _L.due_at.is_(None))


def all_of(namespace_id: str) -> Condition:
    """Return the condition for every lease of a namespace."""
    return _L.namespace == namespace_id


def count_by_mount(connection: Connection, condition: Condition) -> dict[str, int]:
    """Count leases by the uuid of their mount."""
    counted = select(_L.mount, func.count().label("number")).where(condition).group_by(_L.mount)
    return {row.mount: row.number for row in connection.execute(counted)}


def remove_resisting(connection: Connection, condition: Condition) -> int:
    """Forget leases whose secret could not be taken back when it was tried. Returns how many."""
    return connection.execute(delete(LEASES).where(condition, _L.attempts > 0)).rowcount
