"""The parts of Go that shape what Vault's command line reads and prints: durations, `%v`, and its JSON encoder.

Scripts depend on these to the letter, so they live here, pure, and are tested against the real thing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number that is not an integer, kept as the server wrote it: `1.50` must not become `1.5`."""

    literal: str


Json: TypeAlias = "bool | int | Number | str | list[Json] | dict[str, Json] | None"

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
    "d": 86400 * 1_000_000_000,
}
_COMPONENT = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|[smhd])")
_SECOND = _NANOSECONDS["s"]


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time as Go counts it, in nanoseconds."""

    nanoseconds: int

    @classmethod
    def seconds(cls, seconds: int) -> Self:
        """Build from whole seconds."""
        return cls(seconds * _SECOND)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `90`, `1h30m`, `1.5h`, `30d`; a bare number is seconds. Raises ValueError."""
        unsigned = text.removeprefix("-")
        if re.fullmatch(r"[0-9]+", unsigned):
            total = int(unsigned) * _SECOND
        else:
            total, position = 0, 0
            while match := _COMPONENT.match(unsigned, position):
                total += _scaled(match[1], _NANOSECONDS[match[2]])
                position = match.end()
            if position == 0 or position != len(unsigned):
                raise ValueError(f'invalid duration "{text}": write it as 90, 90s, 15m, 24h or 30d')
        return cls(-total if text.startswith("-") else total)

    def __str__(self) -> str:
        """Render as Go does: `1h30m0s`, `1.5s`, `250ms`, `0s`."""
        if self.nanoseconds == 0:
            return "0s"
        sign = "-" if self.nanoseconds < 0 else ""
        total = abs(self.nanoseconds)
        if total < _SECOND:
            unit = next(unit for unit in ("ms", "µs", "ns") if total >= _NANOSECONDS[unit])
            return f"{sign}{_decimal(total, _NANOSECONDS[unit])}{unit}"
        minutes, below = divmod(total, 60 * _SECOND)
        hours, minutes = divmod(minutes, 60)
        head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
        return f"{sign}{head}{_decimal(below, _SECOND)}s"

    def brief(self) -> str:
        """Render without the parts that are zero at the end: `72h`, `1h1m1s`, `5m`."""
        text = str(self)
        if text.endswith("m0s"):
            text = text[:-2]
        head, zero, tail = text.partition("h0m")
        return f"{head}h{tail}" if zero else text


def _scaled(number: str, unit: int) -> int:
    """Multiply a decimal numeral by a unit exactly, dropping what is below a nanosecond."""
    whole, _, fraction = number.partition(".")
    return int(whole or "0") * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def _decimal(total: int, unit: int) -> str:
    """Divide by a power of ten exactly, without trailing zeros."""
    whole, remainder = divmod(total, unit)
    digits = str(remainder).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def render(value: Json) -> str:
    """Write a decoded JSON value as Go's `%v` does: `[a b]`, `map[k:v]`, `<nil>`."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case Number():
            return value.literal
        case list():
            return f"[{' '.join(map(render, value))}]"
        case dict():
            return f"map[{' '.join(f'{key}:{render(item)}' for key, item in sorted(value.items()))}]"
        case _:
            return str(value)


def render_quoted(items: Iterable[str]) -> str:
    """Write strings as Go's `%q` writes a slice: `["a" "b"]`."""
    return f"[{' '.join(f'{chr(34)}{item}{chr(34)}' for item in items)}]"
