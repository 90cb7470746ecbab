"""Claims of a token: finding them, comparing them with what a role demands, copying them. Pure.

A claim is named by its key, or by a JSON pointer (RFC 6901) when the name begins with a slash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chancery.auth.globs import glob_matches
from chancery.auth.jose.tokens import TokenRefused

Scalar = str | bool | int | float


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim, or None when there is none."""
    return point(claims, name) if name.startswith("/") else claims.get(name)


def point(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer leads to, or None."""
    found = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(key)
        elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(found):
            found = found[int(key[:9])]
        else:
            return None
    return found


def demand_bound(claims: Mapping[str, Any], bound: Mapping[str, Any], *, as_globs: bool) -> None:
    """Raise TokenRefused unless every bound claim has one of the values that the role demands of it."""
    for name, wanted in bound.items():
        found = find_claim(claims, name)
        if found is None:
            raise TokenRefused(f"the bound claim {name} is missing")
        expected = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
        actual = found if isinstance(found, list) else [found]
        if not any(_agree(one, other, as_globs=as_globs) for one in expected for other in actual):
            raise TokenRefused(f"the bound claim {name} has another value")


def _agree(expected: Any, actual: Any, *, as_globs: bool) -> bool:
    if isinstance(expected, str) and isinstance(actual, str):
        return glob_matches(expected, actual) if as_globs else expected == actual
    # In Python True equals 1; in JSON it does not.
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return isinstance(expected, int | float) and isinstance(actual, int | float) and expected == actual


def copied(claims: Mapping[str, Any], mappings: Mapping[str, str]) -> dict[str, str]:
    """Return metadata: claims under the names that the role gives them; absent ones are left out.

    Raises TokenRefused for a claim that is neither text nor number nor boolean.
    """
    metadata = {}
    for name, key in mappings.items():
        value = find_claim(claims, name)
        if value is None:
            continue
        if not isinstance(value, Scalar):
            raise TokenRefused(f"the claim {name} cannot become metadata")
        metadata[key] = (
            value if isinstance(value, str) else str(value).lower() if value in {True, False} else str(value)
        )
    return metadata


def groups(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the groups that a claim lists. Raises TokenRefused when it is missing, or no list of text."""
    value = find_claim(claims, name)
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TokenRefused(f"the groups claim {name} is missing, or no list of text")
    return tuple(value)
