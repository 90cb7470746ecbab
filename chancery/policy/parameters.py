"""Whether the parameters of a request respect the limits of a rule. Pure.

A rule must not be evaded by spelling. Names are compared without regard to case, and so are the values of parameters
that hold names of policies. A scalar has one meaning whatever its JSON type (`"10"` and `10`). A list, or its
comma-separated form, is denied when any of its elements is, and allowed when all of them are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chancery.policy.model import Limits, ParameterValue

ANY = "*"

_FOLDED_VALUES = frozenset({"policies", "token_policies"})


def permitted(limits: Limits, data: Mapping[str, Any]) -> bool:
    """Tell whether a request with these parameters is within the limits."""
    if limits.required:
        names = {name.lower() for name in data}
        if any(name not in names for name in limits.required):
            return False
    if not data:
        return True
    return not _denied(limits, data) and _allowed(limits, data)


def _denied(limits: Limits, data: Mapping[str, Any]) -> bool:
    denied = limits.denied
    if not denied:
        return False
    if ANY in denied:
        return True
    for name, value in data.items():
        values = denied.get(name.lower())
        if values is not None and _listed(name, value, values, any):
            return True
    return False


def _allowed(limits: Limits, data: Mapping[str, Any]) -> bool:
    allowed = limits.allowed
    if not allowed:
        return True
    any_name = ANY in allowed
    for name, value in data.items():
        values = allowed.get(name.lower())
        if values is None:
            if not any_name:
                return False
        elif not _listed(name, value, values, all):
            return False
    return True


def _listed(
    name: str, value: object, values: Sequence[ParameterValue], of_elements: Callable[[Sequence[bool]], bool]
) -> bool:
    """Tell whether a value is among those of a rule: as a whole, or element by element."""
    if not values:
        return True
    if name.lower() in _FOLDED_VALUES:
        value = _folded(value)
    if _among(value, values):
        return True
    if isinstance(value, str):
        value = [piece.strip() for piece in value.split(",")]
    return isinstance(value, list) and of_elements([_among(element, values) for element in value])


def _folded(value: object) -> object:
    if isinstance(value, list):
        return [_folded(element) for element in value]
    return value.lower() if isinstance(value, str) else value


def _among(value: object, values: Sequence[ParameterValue]) -> bool:
    return any(_same(value, candidate) for candidate in values)


def _same(value: object, candidate: ParameterValue) -> bool:
    if value is None or candidate is None:
        return value is candidate
    if isinstance(value, list | dict) or isinstance(candidate, list | dict):
        return value == candidate
    return _matches(_text(candidate), _text(value))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _matches(glob: str, text: str) -> bool:
    """Compare with a glob that may begin or end with `*`. A lone `*` is no glob, as in Vault: it matches itself."""
    if len(glob) < 2:
        return glob == text
    opens, closes = glob.startswith(ANY), glob.endswith(ANY)
    if opens and closes:
        return glob[1:-1] in text
    if opens:
        return text.endswith(glob[1:])
    if closes:
        return text.startswith(glob[:-1])
    return glob == text
