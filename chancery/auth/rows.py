"""Units of work on the table of tokens: plain functions over a connection, to be run in a transaction.

A token lives only as long as every token above it: what is below an expired or revoked one is gone with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, literal_column, or_, select, update
from sqlalchemy.sql.selectable import CTE

from chancery.auth.belongings import follow, leave_namespace
from chancery.auth.sealed import Row
from chancery.kit.errors import Denied
from chancery.storage.schema import TOKENS

SPENT = -1
"""`uses_left` of a token whose last use is being served, or was: nobody else may use it; tidying removes it."""

_T = TOKENS.c
_PAGE = 500


def _above(token_hash: object) -> CTE:
    """A token and everything above it."""
    above = select(_T.hash, _T.parent_hash, _T.expires_at).where(_T.hash == token_hash).cte("above", recursive=True)
    parents = select(_T.hash, _T.parent_hash, _T.expires_at).join(above, _T.hash == above.c.parent_hash)
    return above.union(parents)


def _below(roots: Select[tuple[bytes]]) -> CTE:
    """Tokens and everything below them."""
    tree = roots.cte("tree", recursive=True)
    return tree.union(select(_T.hash).join(tree, _T.parent_hash == tree.c.hash))


# Building a statement costs several times what running it does, so those of every request are built once.
_MINE = _T.hash == bindparam("mine")
_ROW = select(_T.hash, _T.parent_hash, _T.uses_left, _T.sealed, _T.expires_at).where(_MINE)
_EARLIEST = select(func.min(_above(bindparam("mine")).c.expires_at))
_IS_SPENT = _T.uses_left < literal_column("0")  # spelled out: a parameter would hide from SQLite that its index fits
_HASH_OF = select(_T.hash).where(_T.accessor_hash == bindparam("accessor"))
_INSERT = insert(TOKENS)
_RENEW = update(TOKENS).where(_MINE).values(expires_at=bindparam("until"), sealed=bindparam("entry"))
_SPEND_ONE = update(TOKENS).where(_MINE, _T.uses_left > 1).values(uses_left=_T.uses_left - 1)
_SPEND_LAST = update(TOKENS).where(_MINE, _T.uses_left == 1).values(uses_left=SPENT)
_DESCENDANTS = select(_below(select(_T.hash).where(_MINE)).c.hash)


@dataclass(frozen=True, slots=True)
class Found:
    """A row, and the moment (seconds) at which it or something above it expires; None = never."""

    row: Row
    valid_until: int | None


def find(connection: Connection, token_hash: bytes) -> Found | None:
    """Read a token's row together with the earliest expiry of the tokens above it."""
    found = connection.execute(_ROW, {"mine": token_hash}).one_or_none()
    if found is None:
        return None
    row = Row(found.hash, found.parent_hash, found.uses_left, found.sealed)
    if row.parent_hash is None:
        return Found(row, found.expires_at)
    return Found(row, connection.scalar(_EARLIEST, {"mine": token_hash}))


def hash_of_accessor(connection: Connection, accessor_hash: bytes) -> bytes | None:
    """Return the hash of the token with an accessor."""
    found: bytes | None = connection.scalar(_HASH_OF, {"accessor": accessor_hash})
    return found


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a token without a parent."""
    connection.execute(_INSERT, row)


def add_child(connection: Connection, row: Mapping[str, Any], now: int) -> None:
    """Insert a token below another. Raises Denied when that one is no longer valid."""
    parent = find(connection, row["parent_hash"])
    if parent is None or _is_over(parent, now):
        raise Denied("the parent token is no longer valid")
    connection.execute(_INSERT, row)


def clear(connection: Connection, token_hash: bytes, now: int) -> list[bytes]:
    """Make room for a token with a chosen text: remove the one that had it, if that is over."""
    found = find(connection, token_hash)
    return delete_tree(connection, [token_hash]) if found is not None and _is_over(found, now) else []


def renew(connection: Connection, token_hash: bytes, expires_at: int, sealed: bytes) -> bool:
    """Replace the expiry and the sealed entry. False when the token is gone."""
    changed = connection.execute(_RENEW, {"mine": token_hash, "until": expires_at, "entry": sealed})
    return changed.rowcount == 1


def spend(connection: Connection, token_hash: bytes) -> bool:
    """Take one of a token's counted uses. False when there is none left."""
    mine = {"mine": token_hash}
    return connection.execute(_SPEND_ONE, mine).rowcount == 1 or connection.execute(_SPEND_LAST, mine).rowcount == 1


def delete_tree(connection: Connection, roots: Sequence[bytes]) -> list[bytes]:
    """Remove tokens and everything below them; returns the hashes of what was removed."""
    return _delete_below(connection, select(_T.hash).where(_T.hash.in_(roots)))


def _delete_below(connection: Connection, roots: Select[tuple[bytes]]) -> list[bytes]:
    tree = _below(roots)
    statement = delete(TOKENS).where(_T.hash.in_(select(tree.c.hash))).returning(_T.hash)
    removed = list(connection.execute(statement).scalars())
    follow(connection, removed)
    return removed


def delete_alone(connection: Connection, token_hash: bytes) -> list[bytes]:
    """Remove one token; its children become orphans. Returns the hashes of whatever is no longer what it was."""
    below = descendants(connection, token_hash)
    connection.execute(update(TOKENS).where(_T.parent_hash == token_hash).values(parent_hash=None))
    connection.execute(delete(TOKENS).where(_T.hash == token_hash))
    follow(connection, [token_hash])
    return below


def take(connection: Connection, token_hash: bytes, uses_left: int) -> bool:
    """Remove one token whose uses stand at `uses_left`. False when somebody else was first."""
    taken = connection.execute(delete(TOKENS).where(_T.hash == token_hash, _T.uses_left == uses_left)).rowcount == 1
    if taken:
        follow(connection, [token_hash])
    return taken


def descendants(connection: Connection, token_hash: bytes) -> list[bytes]:
    """Return the hashes of a token and everything below it."""
    return list(connection.scalars(_DESCENDANTS, {"mine": token_hash}))


def delete_expired(connection: Connection, now: int, limit: int) -> list[bytes]:
    """Remove up to `limit` expired or spent tokens with everything below them; returns the hashes of the removed."""
    roots: list[bytes] = list(connection.scalars(_over(now).limit(limit)))
    return delete_tree(connection, roots) if roots else []


def any_expired(connection: Connection, now: int) -> bool:
    """Tell whether `delete_expired` would find anything. Two looks into an index."""
    return connection.scalar(_over(now).limit(1)) is not None


def _over(now: int) -> Select[tuple[bytes]]:
    return select(_T.hash).where(or_(_T.expires_at <= now, _IS_SPENT))


def delete_namespace(connection: Connection, namespace_id: str) -> list[bytes]:
    """Remove the tokens of a namespace and everything below them; returns the hashes of what was removed."""
    leave_namespace(connection, namespace_id)
    return _delete_below(connection, select(_T.hash).where(_T.namespace == namespace_id))


def delete_mount(connection: Connection, mount: str) -> list[bytes]:
    """Remove the tokens of an auth mount and everything below them; returns the hashes of what was removed."""
    return _delete_below(connection, select(_T.hash).where(_T.mount == mount))


def page(connection: Connection, after: bytes, now: int, namespace_id: str) -> list[Row]:
    """Return the next rows of a namespace in the order of hashes that are neither spent nor themselves expired."""
    rows = connection.execute(
        select(_T.hash, _T.parent_hash, _T.uses_left, _T.sealed)
        .where(_T.namespace == namespace_id)
        .where(_T.hash > after, _T.uses_left != SPENT, or_(_T.expires_at.is_(None), _T.expires_at > now))
        .order_by(_T.hash)
        .limit(_PAGE)
    )
    return [Row(row.hash, row.parent_hash, row.uses_left, row.sealed) for row in rows]


def _is_over(found: Found, now: int) -> bool:
    return found.row.uses_left == SPENT or (found.valid_until is not None and found.valid_until <= now)
