"""How long a token may live: the arithmetic of TTL, period and maximum. Pure; everything in whole seconds."""

from dataclasses import dataclass

from chancery.kit.errors import BadInput


@dataclass(frozen=True, slots=True)
class Limits:
    """The system's (or the mount's) TTLs."""

    default_ttl: int
    max_ttl: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, by the request and by the role; 0 = nothing."""

    ttl: int = 0
    period: int = 0
    explicit_max_ttl: int = 0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What is granted: seconds from now, and what the client should know about it."""

    ttl: int
    warnings: tuple[str, ...] = ()


def grant(wish: Wish, limits: Limits, *, created_at: int, now: int) -> Lifetime:
    """Return the lifetime to grant, now, to a token created at `created_at`.

    A periodic token gets its period again and again, up to its explicit maximum; any other may live no longer than the
    smaller of the system's and its own maximum, counted from its creation. Raises BadInput when that is past.
    """
    max_ttl = min(limits.max_ttl, wish.explicit_max_ttl) if wish.explicit_max_ttl else limits.max_ttl
    warnings: list[str] = []
    if wish.period:
        ttl = min(wish.period, max_ttl)
        if ttl < wish.period:
            warnings.append(_capped("period", wish.period, max_ttl))
        last = created_at + wish.explicit_max_ttl if wish.explicit_max_ttl else None
    else:
        ttl = wish.ttl or limits.default_ttl
        last = created_at + max_ttl
    if last is not None:
        left = last - now
        if left <= 0:
            raise BadInput("past the max TTL, cannot renew")
        if ttl > left:
            warnings.append(_capped("TTL", ttl, left))
            ttl = left
    return Lifetime(ttl, tuple(warnings))


def format_seconds(seconds: int) -> str:
    """Write a duration as clients of Vault are used to: `768h`, `1h30m`, `45s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{amount}{unit}" for amount, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if amount]
    return "".join(parts) or "0s"


def _capped(what: str, asked: int, allowed: int) -> str:
    value = "period" if what == "period" else "TTL"
    return (
        f'{what} of "{format_seconds(asked)}" exceeded the effective max_ttl of "{format_seconds(allowed)}"; '
        f"{value} value is capped accordingly"
    )
