"""Whose turn it is with a job: the rule (pure), and the row that keeps it.

A row says who has the job, until when nobody else may take it, and when it is next due, by the wall clock. A clock can
be set: a moment that lies further ahead than it could have been put there by a right clock counts as past. So an hour
back delays nothing by more than a period, and the worst that a forward step does is one run early.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from chancery.storage.schema import TURNS

HOLD = 10
"""Seconds for which a node that has a job keeps it without a sign of life."""

_T = TURNS.c


@dataclass(frozen=True, slots=True)
class Turn:
    """A row. Moments in whole seconds since 1970."""

    holder: str
    held_until: int
    due_at: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: ask again after so many seconds."""

    seconds: int


def judge(turn: Turn | None, me: str, period: int, now: int) -> Turn | Wait:
    """Return the row to write if a node may run a job now, else how long to wait."""
    if turn is not None:
        until_due = turn.due_at - now
        if 0 < until_due <= period:
            return Wait(until_due)
        until_free = turn.held_until - now
        if turn.holder != me and 0 < until_free <= HOLD:
            return Wait(until_free)
    return Turn(me, now + HOLD, now + period)


def read(connection: Connection, name: str) -> Turn | None:
    """Return the row of a job, or None."""
    row = connection.execute(select(TURNS).where(_T.name == name)).one_or_none()
    return None if row is None else Turn(row.holder, row.held_until, row.due_at)


def replace(connection: Connection, name: str, before: Turn | None, after: Turn) -> bool:
    """Put a row in the place of what was read. False when another node was faster."""
    values = {"holder": after.holder, "held_until": after.held_until, "due_at": after.due_at}
    if before is None:
        if read(connection, name) is not None:
            return False
        connection.execute(insert(TURNS).values(name=name, **values))
        return True
    is_same = (_T.holder == before.holder, _T.held_until == before.held_until, _T.due_at == before.due_at)
    return connection.execute(update(TURNS).where(_T.name == name, *is_same).values(values)).rowcount == 1


def keep(connection: Connection, name: str, me: str, now: int) -> None:
    """Give a sign of life for a job that is still running."""
    connection.execute(update(TURNS).where(_T.name == name, _T.holder == me).values(held_until=now + HOLD))


def forget(connection: Connection, prefix: str) -> None:
    """Remove the rows of jobs that there are no more, by the beginning of their names."""
    connection.execute(delete(TURNS).where(_T.name >= prefix, _T.name < prefix[:-1] + chr(ord(prefix[-1]) + 1)))
