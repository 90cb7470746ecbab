"""read, write, patch, delete, list and unwrap: the API itself, path by path."""

from collections.abc import Sequence

from chancery.cli.answers import Secret
from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import Absent, RemoteFailed, UsageFailed, failing_as
from chancery.cli.flags import BOOLEAN, INTEGER, STRING, Flag
from chancery.cli.golang import Json, render
from chancery.cli.keyvalues import parse_key_values
from chancery.cli.output import Format
from chancery.cli.session import Session
from chancery.cli.tables import detailed_list, headed

MERGE_PATCH = "application/merge-patch+json"
_FORCE = Flag("force", BOOLEAN, "Write although there are no data.", aliases=("f",), default=False)


def _query(session: Session, arguments: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read further arguments as query parameters; a list repeats its parameter."""
    pairs = parse_key_values(arguments, session.read_stdin)
    return tuple(
        (key, render(item)) for key, value in pairs.items() for item in (value if isinstance(value, list) else [value])
    )


def _path(argument: str) -> str:
    return argument.strip().strip("/")


@remote_command(
    "read",
    usage="PATH [K=V...]",
    arity=Arity(1, None),
    prints=Prints.FORMAT | Prints.FIELD | Prints.RAW,
)
def read_command(session: Session, arguments: Sequence[str]) -> None:
    """Read what is at a path. K=V pairs go into the query.

    -format=raw prints the answer as it came: for certificates and CRLs in DER or PEM.
    """
    path = _path(arguments[0])
    call = Call("GET", path, query=_query(session, arguments[1:]))
    if session.output.format is Format.RAW:
        with failing_as(f"Error reading: {path}"):
            session.output.raw(session.client.require(call).body)
        return
    try:
        with failing_as(f"Error reading {path}"):
            secret = session.client.secret(call)
    except Absent as absent:
        raise _nothing_at(path, absent) from absent
    session.show(secret)


def _nothing_at(path: str, absent: Absent) -> RemoteFailed:
    """Build the failure for a path with nothing there; the server may have said why, as for a mount that is not."""
    return RemoteFailed("\n".join(filter(None, [f"No value found at {path}", absent.message])))


@remote_command(
    "write",
    usage="PATH [K=V...]",
    arity=Arity(1, None),
    prints=Prints.FORMAT | Prints.FIELD,
    flags=[_FORCE],
)
def write_command(session: Session, arguments: Sequence[str], *, force: bool) -> None:
    """Write to a path.

    Data are K=V pairs. K=@file takes the value from a file, K=- from stdin; @file.json and - take whole JSON objects. A
    key given more than once makes a list.
    """
    _write(session, "PUT", arguments, force=force)


@remote_command(
    "patch",
    usage="PATH [K=V...]",
    arity=Arity(1, None),
    prints=Prints.FORMAT | Prints.FIELD,
    flags=[_FORCE],
)
def patch_command(session: Session, arguments: Sequence[str], *, force: bool) -> None:
    """Change some fields of what is at a path and leave the others. Data are given as for write."""
    _write(session, "PATCH", arguments, force=force)


def _write(session: Session, method: str, arguments: Sequence[str], *, force: bool) -> None:
    path = _path(arguments[0])
    if len(arguments) == 1 and not force:
        raise UsageFailed("Must supply data or use -force")
    data: Json = parse_key_values(arguments[1:], session.read_stdin)
    content_type = MERGE_PATCH if method == "PATCH" else ""
    with failing_as(f"Error writing data to {path}"):
        secret = session.client.written(Call(method, path, body=data, content_type=content_type))
    session.show(secret, f"Success! Data written to: {path}")


@remote_command("delete", usage="PATH [K=V...]", arity=Arity(1, None), prints=Prints.FORMAT | Prints.FIELD)
def delete_command(session: Session, arguments: Sequence[str]) -> None:
    """Delete what is at a path. K=V pairs go into the query. Succeeds when there was nothing."""
    path = _path(arguments[0])
    call = Call("DELETE", path, query=_query(session, arguments[1:]))
    with failing_as(f"Error deleting {path}"):
        secret = session.client.written(call)
    session.show(secret, f"Success! Data deleted (if it existed) at: {path}")


@remote_command(
    "list",
    usage="PATH",
    arity=Arity(1, 1),
    prints=Prints.FORMAT,
    flags=[
        Flag("after", STRING, "Start after this key, where paging is supported.", default=""),
        Flag("limit", INTEGER, "At most this many keys, where paging is supported."),
        Flag("detailed", BOOLEAN, "Show what else the answer says of each key. VAULT_DETAILED."),
    ],
)
def list_command(
    session: Session, arguments: Sequence[str], *, after: str, limit: int | None, detailed: bool | None
) -> int:
    """List what is below a path. Ends with code 2 when there is nothing."""
    path = _path(arguments[0])
    query = [("list", "true")]
    if after:
        query.append(("after", after))
    if limit is not None and limit >= 0:
        query.append(("limit", str(limit)))
    try:
        with failing_as(f"Error listing {path}"):
            secret = session.client.secret(Call("GET", path, query=tuple(query)))
    except Absent as absent:
        if session.output.is_table:
            raise _nothing_at(path, absent) from absent
        session.output.document({})
        return RemoteFailed.exit_code
    details = session.environment.flag("DETAILED") if detailed is None else detailed
    return _show_list(session, path, secret, detailed=details)


def _show_list(session: Session, path: str, secret: Secret, *, detailed: bool) -> int:
    output = session.output
    if secret.wrap_info is not None:
        output.secret(secret)
        return 0
    data = secret.data or {}
    keys, details = data.get("keys"), data.get("key_info")
    if not isinstance(keys, list):
        raise RemoteFailed(f"No entries found at {path}")
    names = [render(key) for key in keys]
    if output.is_table:
        output.warnings(secret.warnings or ())
    if not detailed:
        output.document(keys, lambda: headed(("Keys",), [(name,) for name in names]))
    else:
        known = details if isinstance(details, dict) else {}
        output.document(secret.document(), lambda: detailed_list(names, known))
    return 0


@remote_command("unwrap", usage="[TOKEN]", arity=Arity(0, 1), prints=Prints.FORMAT | Prints.FIELD)
def unwrap_command(session: Session, arguments: Sequence[str]) -> None:
    """Unwrap the answer that a wrapping token stands for; without an argument, the token in effect."""
    with failing_as("Error unwrapping"):
        secret = unwrap(session, arguments[0] if arguments else "")
    if secret is None:
        raise RemoteFailed("Could not find wrapped response")
    if not session.output.field and isinstance((secret.data or {}).get("keys"), list):
        _show_list(session, "the wrapped response", secret, detailed=False)
    else:
        session.show(secret)


def unwrap(session: Session, token: str) -> Secret | None:
    """Exchange a wrapping token for what it wraps. Raises CallFailed."""
    own = session.token
    body: Json = {"token": token} if token and token != own and own else {}
    used = token if token and not own else own
    return session.client.written(Call("PUT", "sys/wrapping/unwrap", body=body, token=used, wraps=False))
