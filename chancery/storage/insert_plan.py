"""How rows of one shape reach their table with the least work: SQL compiled once, values in the order it wants.

Why not an executemany: `sqlite3` gives up the interpreter lock for every row, and a writer thread beside a busy event
loop waits for it again each time. One statement with many rows gives it up once.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Dialect, LargeBinary, Table, insert

_MAX_VARIABLES = 32766
_MAX_ROWS = 64

Values = tuple[Any, ...]


class InsertPlan:
    """The insertion of rows that have the same columns of the same table."""

    def __init__(self, table: Table, ordered: Sequence[str], sql: str, dialect: Dialect) -> None:
        self.rows_per_statement = max(1, min(_MAX_ROWS, _MAX_VARIABLES // len(ordered)))
        head, _, self._group = sql.rpartition(" VALUES ")
        self._head = f"{head} VALUES "
        self._statements: dict[int, str] = {}
        self._pick: Callable[[Mapping[str, Any]], Any] = itemgetter(*ordered)
        self._single = len(ordered) == 1
        self._converters = [(i, c) for i, name in enumerate(ordered) if (c := _converter(table, name, dialect))]

    def values(self, row: Mapping[str, Any]) -> Values:
        """Return the row as the statement wants it."""
        picked: Values = (self._pick(row),) if self._single else self._pick(row)
        if not self._converters:
            return picked
        converted = list(picked)
        for index, convert in self._converters:
            converted[index] = convert(converted[index])
        return tuple(converted)

    def statement(self, rows: int) -> str:
        """Return the SQL that inserts so many rows, at most `rows_per_statement`, all or none of them."""
        try:
            return self._statements[rows]
        except KeyError:
            sql = self._statements[rows] = self._head + ", ".join([self._group] * rows)
            return sql


def flattened(rows: Sequence[Values]) -> Values:
    """Return the parameters of one statement for several rows."""
    return rows[0] if len(rows) == 1 else tuple(chain.from_iterable(rows))


def plan_for(table: Table, columns: Sequence[str], dialect: Dialect) -> InsertPlan | None:
    """Compile a plan; None when the row needs more than its values, such as a default computed by Python."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
    ordered, sql = getattr(compiled, "positiontup", None) or (), str(compiled)
    plain = sql.endswith(f" VALUES ({', '.join('?' * len(columns))})")
    return InsertPlan(table, ordered, sql, dialect) if plain and set(ordered) == set(columns) else None


def _converter(table: Table, name: str, dialect: Dialect) -> Callable[[Any], Any] | None:
    kind = table.c[name].type
    if isinstance(kind, LargeBinary):
        return None  # bytes are bound as they are; SQLAlchemy's memoryview around them costs more and changes nothing
    return kind.dialect_impl(dialect).bind_processor(dialect)
