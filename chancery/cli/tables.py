"""Vault's table layout: columns four spaces apart, a rule of dashes under each heading, `n/a` for what is empty."""

from collections.abc import Iterable, Sequence

from chancery.cli.answers import Auth, Secret, WrapInfo
from chancery.cli.golang import Duration, Json, render, render_quoted

GAP = "    "
EMPTY = "n/a"
INFINITE = "∞"

Row = tuple[str, ...]


def columns(rows: Iterable[Row]) -> str:
    """Lay rows out in columns. The last column is not padded; cells lose outer spaces, and empty ones say `n/a`."""
    cells = [tuple(cell.strip() or EMPTY for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        GAP.join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in cells
    )


def headed(headings: Row, rows: Iterable[Row]) -> str:
    """Lay rows out under their headings."""
    return columns([headings, tuple("-" * len(heading) for heading in headings), *rows])


def key_values(rows: Iterable[Row]) -> str:
    """Lay out rows of two under Key and Value."""
    return headed(("Key", "Value"), rows)


def is_duration(name: str) -> bool:
    """Tell whether a field holds seconds, judging by its name as Vault does."""
    units = ("period", "ttl", "duration")
    return name in {*units, "lease_max", "ttl_max"} or name.endswith(tuple(f"_{unit}" for unit in units))


def seconds(value: int) -> str:
    """Render seconds as people write them: `72h`."""
    return Duration.seconds(value).brief()


def cell(name: str, value: Json) -> str:
    """Render a field of `data`."""
    if is_duration(name) and isinstance(value, int) and not isinstance(value, bool):
        return seconds(value)
    return render(value)


def secret_table(secret: Secret) -> str:
    """Lay out an answer: lease, token, wrapping token and data, as far as there are any; otherwise nothing."""
    rows = [*_lease_rows(secret)]
    if secret.auth is not None:
        rows += _auth_rows(secret.auth)
    if secret.wrap_info is not None:
        rows += _wrap_rows(secret.wrap_info)
    rows += [(name, cell(name, value)) for name, value in sorted((secret.data or {}).items())]
    return key_values(rows) if rows else ""


def _lease_rows(secret: Secret) -> list[Row]:
    if secret.lease_duration <= 0:
        return []
    duration = seconds(secret.lease_duration)
    if not secret.lease_id:
        return [("refresh_interval", duration)]
    return [
        ("lease_id", secret.lease_id),
        ("lease_duration", duration),
        ("lease_renewable", render(secret.renewable)),
    ]


def _auth_rows(auth: Auth) -> list[Row]:
    return [
        ("token", auth.client_token),
        ("token_accessor", auth.accessor),
        ("token_duration", seconds(auth.lease_duration) if auth.lease_duration else INFINITE),
        ("token_renewable", render(auth.renewable)),
        ("token_policies", render_quoted(auth.token_policies or ())),
        ("identity_policies", render_quoted(auth.identity_policies or ())),
        ("policies", render_quoted(auth.policies or ())),
        *((f"token_meta_{name}", render(value)) for name, value in sorted((auth.metadata or {}).items())),
    ]


def _wrap_rows(wrap: WrapInfo) -> list[Row]:
    rows: list[Row] = [
        ("wrapping_token:", wrap.token),
        ("wrapping_accessor:", wrap.accessor),
        ("wrapping_token_ttl:", seconds(wrap.ttl)),
        ("wrapping_token_creation_time:", go_time(wrap.creation_time)),
        ("wrapping_token_creation_path:", wrap.creation_path),
    ]
    return [*rows, ("wrapped_accessor:", wrap.wrapped_accessor)] if wrap.wrapped_accessor else rows


def go_time(text: str) -> str:
    """Render an RFC 3339 time in UTC the way Go prints times: `2026-11-22 07:48:05.3 +0000 UTC`."""
    if not text.endswith("Z"):
        return text
    day, _, clock = text.removesuffix("Z").partition("T")
    return f"{day} {clock} +0000 UTC"


def detailed_list(keys: Sequence[str], details: dict[str, Json]) -> str:
    """Lay out keys with the columns that `key_info` has for any of them."""
    infos = {key: info for key, info in details.items() if isinstance(info, dict)}
    names = sorted({name for info in infos.values() for name in info})
    rows = [(key, *(cell(name, infos.get(key, {}).get(name, "")) for name in names)) for key in keys]
    return headed(("Keys", *names), rows)
