"""How rows of one shape reach a table of PostgreSQL with the least work: one prepared statement for any number of rows.

The values travel as one array a column, and `unnest` makes rows of them again. A second statement tells which of some
rows are there already, value for value: it settles what a connection that was lost in mid-statement left open.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import ARRAY, Column, Dialect, Table
from sqlalchemy.types import String

Values = tuple[Any, ...]


class AppendPlan:
    """The insertion of rows that have the same columns of the same table."""

    def __init__(self, table: Table, names: Sequence[str], dialect: Dialect) -> None:
        quote = dialect.identifier_preparer.quote
        columns = [table.c[name] for name in names]
        target, listed = dialect.identifier_preparer.format_table(table), ", ".join(map(quote, names))
        arrays = ", ".join(f"${n}::{_array(column, dialect)}" for n, column in enumerate(columns, 1))
        self.insert = f"INSERT INTO {target} ({listed}) SELECT * FROM unnest({arrays})"  # noqa: S608  # names are ours
        same = " AND ".join(_same(column, quote(column.name)) for column in columns)
        self.present = (
            f"SELECT sent.place FROM unnest({arrays}) WITH ORDINALITY AS sent({listed}, place) "  # noqa: S608
            f"JOIN {target} AS kept ON {same}"
        )
        self._pick: Callable[[Mapping[str, Any]], Any] = itemgetter(*names)
        self._single = len(names) == 1
        self._converters = [(n, c) for n, column in enumerate(columns) if (c := _converter(column, dialect))]

    def values(self, row: Mapping[str, Any]) -> Values:
        """Return the row as the statements want it."""
        picked: Values = (self._pick(row),) if self._single else self._pick(row)
        if not self._converters:
            return picked
        converted = list(picked)
        for index, convert in self._converters:
            converted[index] = convert(converted[index])
        return tuple(converted)


def columns_of(rows: Sequence[Values]) -> list[tuple[Any, ...]]:
    """Return the arguments of a plan's statements for several rows."""
    return list(zip(*rows, strict=True))


def append_plan(table: Table, names: Sequence[str], dialect: Dialect) -> AppendPlan | None:
    """Make a plan; None when the row needs more than its values, or could not be recognized by its primary key."""
    absent = [column for column in table.columns if column.name not in names]
    keyed = len(table.primary_key) > 0 and all(column.name in names for column in table.primary_key)
    plain = not any(column.default is not None for column in absent)
    flat = not any(isinstance(table.c[name].type, ARRAY) for name in names)  # unnest would take arrays apart
    return AppendPlan(table, names, dialect) if keyed and plain and flat else None


def _array(column: Column[Any], dialect: Dialect) -> str:
    # A cast to varchar(n) would cut the text silently; as text it arrives whole and the column refuses it.
    kind = "text" if isinstance(column.type, String) else column.type.compile(dialect=dialect)
    return f"{kind}[]"


def _same(column: Column[Any], name: str) -> str:
    if column.primary_key:
        return f"kept.{name} = sent.{name}"
    # Not every type can be compared (json cannot); every type has a text.
    return f"kept.{name}::text IS NOT DISTINCT FROM sent.{name}::text"


def _converter(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    return column.type.dialect_impl(dialect).bind_processor(dialect)
