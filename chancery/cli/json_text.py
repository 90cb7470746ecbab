"""JSON as the command line reads and writes it: number literals survive, and text is escaped as Go escapes it."""

import json
from json.encoder import encode_basestring

from chancery.cli.golang import Json, Number

_ESCAPES = str.maketrans(
    {character: f"\\u{ord(character):04x}" for character in ("<", ">", "&", "\u2028", "\u2029")},
)


class NotJson(ValueError):
    """The text is not JSON."""


def decode(text: str | bytes) -> Json:
    """Parse JSON text. Raises NotJson saying where it stops being JSON."""
    try:
        document: Json = json.loads(text, parse_float=Number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    return document


def _refuse_constant(literal: str) -> Json:
    raise NotJson(f"{literal} is not a JSON number")


def encode(value: Json, *, indent: int | None = None) -> str:
    """Write JSON text in the order given; `indent` spaces a level, or everything on one line."""
    return "".join(_encode(value, indent, "\n"))


def _encode(value: Json, indent: int | None, line: str) -> list[str]:  # noqa: PLR0911  # one case a kind of value
    match value:
        case None:
            return ["null"]
        case bool():
            return ["true" if value else "false"]
        case int():
            return [str(value)]
        case Number():
            return [value.literal]
        case str():
            return [_string(value)]
        case list():
            return _enclosed("[", [_encode(item, indent, _deeper(line, indent)) for item in value], "]", indent, line)
        case dict():
            colon = ": " if indent else ":"
            items = [
                [_string(key), colon, *_encode(item, indent, _deeper(line, indent))] for key, item in value.items()
            ]
            return _enclosed("{", items, "}", indent, line)


def _string(text: str) -> str:
    return encode_basestring(text).translate(_ESCAPES)


def _deeper(line: str, indent: int | None) -> str:
    return line + " " * indent if indent else line


def _enclosed(opening: str, items: list[list[str]], closing: str, indent: int | None, line: str) -> list[str]:
    """Put items between brackets, one a line when indented; nothing between them stays on one line."""
    if not items:
        return [opening, closing]
    start, end = (_deeper(line, indent), line) if indent else ("", "")
    parts = [opening]
    for number, item in enumerate(items):
        parts += ["," if number else "", start, *item]
    return [*parts, end, closing]


def sorted_keys(value: Json) -> Json:
    """Return the value with every object's keys in order, as Go prints maps."""
    match value:
        case list():
            return [sorted_keys(item) for item in value]
        case dict():
            return {key: sorted_keys(item) for key, item in sorted(value.items())}
        case _:
            return value
