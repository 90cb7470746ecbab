"""What clients say about a managed key, whatever its type. Each type adds its own fields in a subclass.

The same model parses requests and what is stored. A write merges: stored values, then those that were submitted; an
empty string takes a value away. Rules that concern several fields are in `problems`, so that all of them are reported
at once.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema

from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import CommaList, LaxBool, Params, Text
from managed_keys.keys import Usage

REDACTED = "redacted"
"""What reads show in place of a secret. Written back, it leaves the secret as it is."""

MAX_NAME = 256
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")

# Vault returned these numbers before 2.0, and calls generate_random `random` in one place.
_USAGE_NUMBERS = {
    "1": Usage.ENCRYPT,
    "2": Usage.DECRYPT,
    "3": Usage.SIGN,
    "4": Usage.VERIFY,
    "5": Usage.WRAP,
    "6": Usage.UNWRAP,
    "7": Usage.GENERATE_RANDOM,
    "8": Usage.MAC,
    "random": Usage.GENERATE_RANDOM,
}


_COMMA_LIST = TypeAdapter(CommaList)


def _usages(value: object) -> object:
    names = _COMMA_LIST.validate_python(value)
    found: list[Usage] = []
    for name in names or ("sign", "verify"):
        try:
            usage = _USAGE_NUMBERS.get(name) or Usage(name.lower())
        except ValueError:
            raise ValueError(f"unknown usage: expected any of {', '.join(Usage)}") from None
        if usage not in found:
            found.append(usage)
    return tuple(found)


Usages = Annotated[
    tuple[Usage, ...],
    BeforeValidator(_usages),
    WithJsonSchema({"type": "string", "description": "comma-separated"}),
]


class KeyParameters(Params):
    """The parameters that every type has."""

    secret_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields whose values never leave the server."""
    location_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where the key is. When one changes, the key is looked for anew; its public key may not differ."""

    name: Text = Field("", description="Name of the key: lower case, unique over all types in the namespace")
    allow_generate_key: LaxBool = Field(False, description="Generate the key in the backend when it is absent")
    allow_replace_key: LaxBool = Field(False, description="Allow generation or import over a key that exists")
    allow_store_key: LaxBool = Field(False, description="Allow a key to be stored in the backend")
    any_mount: LaxBool = Field(False, description="Let every mount of the namespace use the key")
    usages: Usages = Field(
        (Usage.SIGN, Usage.VERIFY),
        description="What the key may be used for: any of " + ", ".join(Usage),
    )

    def problems(self) -> Sequence[Problem]:
        """Return every rule that the values break among themselves."""
        return ()

    def merged_with(self, raw: Mapping[str, Any]) -> Self:
        """Return these parameters with what a client submitted over them. Raises BadInput naming every wrong field."""
        known = type(self).model_fields
        changes = {
            name: value
            for name, value in raw.items()
            if name in known and not (name in self.secret_fields and value == REDACTED)
        }
        merged = type(self).parse(self.stored() | changes)
        problems = [*name_problems(merged.name), *merged.problems()]
        if problems:
            raise BadInput(problems=problems)
        return merged

    def stored(self) -> dict[str, Any]:
        """Return the values as JSON, secrets included."""
        return self.model_dump(mode="json")

    def rendered(self) -> dict[str, Any]:
        """Return the values as a read shows them, secrets redacted."""
        return {
            name: REDACTED if name in self.secret_fields and value else value for name, value in self.stored().items()
        }

    def relocated(self, other: "KeyParameters") -> bool:
        """Tell whether the other parameters point to another place."""
        return any(getattr(self, name) != getattr(other, name) for name in self.location_fields)

    def connects_as(self, other: "KeyParameters") -> bool:
        """Tell whether the other parameters differ at most in what does not concern the backend: grants and usages."""
        return self.model_copy(update={name: getattr(other, name) for name in KeyParameters.model_fields}) == other

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    __str__ = __repr__


def name_problems(name: str) -> list[Problem]:
    """Return what is wrong with a key's name."""
    if name != name.lower():
        return [Problem("name", "must be lower case")]
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        return [
            Problem("name", f"must be 1 to {MAX_NAME} letters, digits, '_', '.' or '-', and end with a letter or digit")
        ]
    return []
