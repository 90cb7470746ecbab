"""When a token is valid: `iat`, `nbf`, `exp`, `auth_time` with leeways for clocks that disagree. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chancery.auth.jose.tokens import TokenRefused

_CLOCK_SKEW: Final = 60
_EXPIRATION: Final = 150
_NOT_BEFORE: Final = 150


@dataclass(frozen=True, slots=True)
class Leeways:
    """Seconds, as a role says them: 0 = the default, negative = none."""

    clock_skew: int = 0
    """Around every moment; 60 by default."""
    expiration: int = 0
    """How long a token without `exp` is valid after its beginning; 150 by default."""
    not_before: int = 0
    """How long before its end a token without beginning was valid already; 150 by default."""
    max_age: int = 0
    """The longest time since the person proved who they are; 0 = any."""


def demand_valid_at(claims: Mapping[str, Any], leeways: Leeways, now: float) -> None:
    """Raise TokenRefused unless a token is valid at a moment (seconds since 1970)."""
    issued, start, end = (_moment(claims, name) for name in ("iat", "nbf", "exp"))
    if issued is None and start is None and end is None:
        raise TokenRefused("it has neither iat nor nbf nor exp")
    skew = _seconds(leeways.clock_skew, _CLOCK_SKEW)
    if end is None:
        end = max(moment for moment in (issued, start) if moment is not None)
        end += _seconds(leeways.expiration, _EXPIRATION)
    if start is None:
        start = issued if issued is not None else end - _seconds(leeways.not_before, _NOT_BEFORE)
    if issued is not None and issued > now + skew:
        raise TokenRefused("it was issued in the future")
    if start > now + skew:
        raise TokenRefused("it is not valid yet")
    if now - skew >= end:
        raise TokenRefused("it is expired")
    if leeways.max_age > 0:
        _demand_fresh(claims, leeways.max_age + skew, now)


def _demand_fresh(claims: Mapping[str, Any], max_age: int, now: float) -> None:
    proven = _moment(claims, "auth_time")
    if proven is None:
        raise TokenRefused("it does not say when the person proved who they are (auth_time)")
    if now - proven > max_age:
        raise TokenRefused("too long ago the person proved who they are (auth_time)")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefused(f"its {name} is no number")
    return float(value)


def _seconds(setting: int, default: int) -> int:
    return max(setting, 0) if setting else default
