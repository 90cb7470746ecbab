"""Vault's lenient wire types, and `Params`: the single source of a route's parsing, defaults, help and OpenAPI.

A field of `Params` is written once::

    class ReadRole(Params):
        name: str = Field(description="Name of the role")

Errors from here are `BadInput` with every wrong field named.
"""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic_core import PydanticUndefined

from chancery.kit.errors import BadInput, Problem

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)")
_MAX_DURATION_TEXT = 64
_MAX_SECONDS = 2**63 // 10**9  # Go's time.Duration counts nanoseconds in 64 bits


def parse_duration(value: object) -> int:
    """Turn Vault's duration (`"24h"`, `"1h30m"`, `"90d"`, `3600`, `"3600"`) into whole seconds.

    The empty string and null mean 0. Raises ValueError with a reason fit for a client.
    """
    if value is None or value == "":
        return 0
    if isinstance(value, bool):
        raise ValueError('expected a duration such as 3600 or "24h", got a boolean')
    if isinstance(value, int | float) and math.isfinite(value):
        seconds = int(value)
    elif isinstance(value, str):
        if len(value) > _MAX_DURATION_TEXT:
            raise ValueError("duration is too long")
        seconds = _duration_text(value.strip())
    else:
        raise ValueError('expected a duration such as 3600 or "24h"')
    if abs(seconds) > _MAX_SECONDS:
        raise ValueError("duration is too long")
    return seconds


@lru_cache(maxsize=1024)
def _duration_text(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    body = text.removeprefix("-").removeprefix("+")
    if body.isascii() and body.isdigit():
        return sign * int(body[:20])
    position, total = 0, 0.0
    for part in _DURATION_PART.finditer(body):
        if part.start() != position:
            break
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not body or position != len(body):
        raise ValueError('expected a duration such as 3600, "90s", "24h" or "90d"')
    return sign * int(total)


def _lax_bool(value: object) -> object:
    if value is None or value == "":
        return False
    if isinstance(value, str):
        folded = value.strip().lower()
        if folded in {"1", "t", "true"}:
            return True
        if folded in {"0", "f", "false"}:
            return False
        raise ValueError("expected true or false")
    if isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    return value


def _lax_int(value: object) -> object:
    if value is None or value == "":
        return 0
    if isinstance(value, bool):
        raise ValueError("expected a number, got a boolean")
    if isinstance(value, str):
        if len(value) > 40:
            raise ValueError("expected a whole number")
        try:
            return int(value.strip(), 0) if value.strip().lower().startswith("0x") else int(value.strip(), 10)
        except ValueError:
            raise ValueError("expected a whole number") from None
    return value


def _within_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError("number is too large")
    return value


def _text(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value


def _comma_list(value: object) -> object:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [part for part in (piece.strip() for piece in value.split(",")) if part]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, list):
        return [_text(item).strip() if isinstance(_text(item), str) else item for item in value]  # type: ignore[attr-defined]  # narrowed by isinstance
    return value


def _key_value(value: object) -> object:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        pairs: dict[str, str] = {}
        for item in value:
            if not isinstance(item, str) or "=" not in item:
                raise ValueError('expected a map, or a list of "key=value"')
            key, _, text = item.partition("=")
            pairs[key.strip()] = text
        return pairs
    if isinstance(value, Mapping):
        return {key: _text(item) for key, item in value.items()}
    return value


def decode_base64(text: str) -> bytes:
    """Decode standard base64. Raises ValueError with a reason fit for a client."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected standard base64") from None


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "format": "seconds"}),
]
"""Whole seconds; accepts numbers, numeric text and Go's units plus `d`."""

LaxBool = Annotated[bool, BeforeValidator(_lax_bool)]
"""A boolean; accepts `"true"`, `"false"`, `0`, `1` and the empty string for false."""

LaxInt = Annotated[int, BeforeValidator(_lax_int), AfterValidator(_within_64_bits)]
"""An integer of 64 bits, as databases keep them; accepts decimal and 0x text, and the empty string for 0."""

Text = Annotated[str, BeforeValidator(_text)]
"""A string; accepts numbers and booleans as the text that a CLI's user typed. Null means empty."""

CommaList = Annotated[list[str], BeforeValidator(_comma_list)]
"""A list of strings; accepts `"a,b"`."""

KeyValue = Annotated[dict[str, str], BeforeValidator(_key_value)]
"""A map of strings; accepts `["k=v"]` and `"k=v"`."""


class Params(BaseModel):
    """What one operation accepts, parsed once at the edge. Unknown fields are ignored, and named in a warning."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Make empty lists and maps anew where they are the default: pydantic would copy them deeply each time."""
        for field in cls.__pydantic_fields__.values():
            if field.default in ([], {}):
                field.default_factory = type(field.default)
                field.default = PydanticUndefined

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Validate what a client sent. Raises BadInput that names every wrong field."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise BadInput(problems=problems_of(error)) from None

    @classmethod
    def unknown(cls, raw: Mapping[str, Any]) -> list[str]:
        """Return the submitted names that this operation does not have, sorted."""
        known = _known_names(cls)
        return sorted(name for name in raw if name not in known)

    def submitted(self, name: str) -> bool:
        """Tell whether the client sent this field at all, whatever its value."""
        return name in self.model_fields_set


class NoParams(Params):
    """For operations that take nothing but their path."""


class FreeForm(Params):
    """For operations that keep whatever they are sent: handlers read `Request.fields`."""

    @classmethod
    def unknown(cls, raw: Mapping[str, Any]) -> list[str]:
        """Return nothing: there are no unknown names."""
        del raw
        return []


_KNOWN: dict[type[Params], frozenset[str]] = {}


def _known_names(model: type[Params]) -> frozenset[str]:
    known = _KNOWN.get(model)
    if known is None:
        fields = model.model_fields
        known = frozenset(fields) | {field.alias for field in fields.values() if field.alias}
        _KNOWN[model] = known
    return known


def problems_of(error: ValidationError) -> list[Problem]:
    """Translate pydantic's findings into problems that never repeat the submitted value."""
    return [
        Problem(
            field=".".join(str(part) for part in finding["loc"]),
            reason=_reason(finding["type"], finding["msg"]),
        )
        for finding in error.errors(include_url=False, include_input=False)
    ]


def _reason(kind: str, message: str) -> str:
    if kind == "missing":
        return "missing required field"
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]
