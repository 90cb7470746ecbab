"""token: create, look up, renew, revoke, and what a token may do."""

from collections.abc import Sequence
from typing import Any

from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import RemoteFailed, UsageFailed, failing_as
from chancery.cli.flags import BOOLEAN, DURATION, INTEGER, PAIR, STRING, Flag
from chancery.cli.golang import Duration, Json, render
from chancery.cli.session import Session

_TEXTS_AND_SWITCHES = ("id", "display_name", "no_default_policy", "renewable", "type", "entity_alias")
"""Settings of a new token that the API names as the flags do."""
_ANSWERS = Prints.FORMAT | Prints.FIELD
_BY_ACCESSOR = Flag("accessor", BOOLEAN, "The argument is an accessor, not a token.", default=False)


@remote_command(
    "create",
    arity=Arity(),
    prints=_ANSWERS,
    flags=[
        Flag("id", STRING, "The token itself, instead of a random one; needs sudo."),
        Flag("display-name", STRING, "Name that audit logs show."),
        Flag("policy", STRING, "Policy that the token has; may be repeated.", repeated=True),
        Flag("no-default-policy", BOOLEAN, "Leave the default policy out."),
        Flag("ttl", DURATION, "How long it lives unless renewed."),
        Flag("explicit-max-ttl", DURATION, "How long it lives at most, whatever renews it."),
        Flag("period", DURATION, "Every renewal gives this long, without end; needs sudo."),
        Flag("renewable", BOOLEAN, "Whether it can be renewed. Default true."),
        Flag("orphan", BOOLEAN, "It outlives the token that creates it; needs sudo.", default=False),
        Flag("use-limit", INTEGER, "How many requests it can make; 0 is any number."),
        Flag("type", STRING, "service or batch. Default service."),
        Flag("role", STRING, "Token role to create it by.", default=""),
        Flag("entity-alias", STRING, "Entity alias to create it for, with -role."),
        Flag("metadata", PAIR, "key=value that audit logs show; may be repeated.", repeated=True),
    ],
)
def create_command(
    session: Session,
    arguments: Sequence[str],  # noqa: ARG001  # the signature is every command's
    **values: Any,
) -> None:
    """Create a token: a child of the token in effect, with its policies unless others are named."""
    path = f"auth/token/create/{values['role']}" if values["role"] else "auth/token/create"
    with failing_as("Error creating token"):
        secret = session.client.written(Call("POST", path, body=_new_token(values)))
    if secret is None:
        raise RemoteFailed("Error creating token: the answer is empty")
    session.show(secret)


def _new_token(values: dict[str, Any]) -> dict[str, Json]:
    """Return the request: what was given and nothing else, so that a role's own settings hold."""
    body: dict[str, Json] = {name: values[name] for name in _TEXTS_AND_SWITCHES if values[name] is not None}
    body |= {name: str(values[name]) for name in ("ttl", "explicit_max_ttl", "period") if values[name] is not None}
    if values["use_limit"] is not None:
        body["num_uses"] = values["use_limit"]
    if values["policy"]:
        body["policies"] = list(values["policy"])
    if values["metadata"]:
        body["meta"] = dict(values["metadata"])
    if values["orphan"]:
        body["no_parent"] = True
    return body


@remote_command("lookup", usage="[TOKEN | ACCESSOR]", arity=Arity(0, 1), prints=_ANSWERS, flags=[_BY_ACCESSOR])
def lookup_command(session: Session, arguments: Sequence[str], *, accessor: bool) -> None:
    """Show what a token is; without an argument, the token in effect."""
    given = arguments[0].strip() if arguments else ""
    if accessor and not given:
        raise UsageFailed("Not enough arguments with -accessor (expected 1, got 0)")
    if accessor:
        call = Call("POST", "auth/token/lookup-accessor", body={"accessor": given})
    elif given:
        call = Call("POST", "auth/token/lookup", body={"token": given})
    else:
        call = Call("GET", "auth/token/lookup-self")
    with failing_as("Error looking up token"):
        session.show(session.client.written(call))


@remote_command(
    "renew",
    usage="[TOKEN | ACCESSOR]",
    arity=Arity(0, 1),
    prints=Prints.FORMAT,
    flags=[
        _BY_ACCESSOR,
        Flag("increment", DURATION, "Ask for this much from now; the server may give less.", aliases=("i",)),
    ],
)
def renew_command(session: Session, arguments: Sequence[str], *, accessor: bool, increment: Duration | None) -> None:
    """Extend a token's life; without an argument, of the token in effect."""
    given = arguments[0].strip() if arguments else ""
    if accessor and not given:
        raise UsageFailed("Not enough arguments with -accessor (expected 1, got 0)")
    body: dict[str, Json] = {} if increment is None else {"increment": increment.nanoseconds // 1_000_000_000}
    if accessor:
        call = Call("POST", "auth/token/renew-accessor", body={"accessor": given, **body})
    elif given:
        call = Call("PUT", "auth/token/renew", body={"token": given, **body})
    else:
        call = Call("PUT", "auth/token/renew-self", body=body)
    with failing_as("Error renewing token"):
        session.show(session.client.written(call))


@remote_command(
    "revoke",
    usage="[TOKEN | ACCESSOR]",
    arity=Arity(0, None),
    flags=[
        _BY_ACCESSOR,
        Flag("self", BOOLEAN, "Revoke the token in effect.", default=False),
        Flag("mode", STRING, "orphan: leave its children. path: every token issued below a path.", default=""),
    ],
)
def revoke_command(session: Session, arguments: Sequence[str], **values: Any) -> None:
    """Revoke a token and its children."""
    accessor, revokes_self, mode = values["accessor"], values["self"], values["mode"]
    _check_revocation(arguments, accessor=accessor, revokes_self=revokes_self, mode=mode)
    given = arguments[0].strip() if arguments else ""
    if revokes_self:
        call = Call("PUT", "auth/token/revoke-self")
    elif accessor:
        call = Call("POST", "auth/token/revoke-accessor", body={"accessor": given})
    elif mode == "path":
        call = Call("PUT", f"sys/leases/revoke-prefix/{given}")
    else:
        call = Call("PUT", "auth/token/revoke-orphan" if mode else "auth/token/revoke", body={"token": given})
    with failing_as("Error revoking token"):
        session.client.require(call)
    session.output.line("Success! Revoked token (if it existed)")


def _check_revocation(arguments: Sequence[str], *, accessor: bool, revokes_self: bool, mode: str) -> None:
    """Refuse what contradicts itself. Raises UsageFailed."""
    if not arguments and not revokes_self:
        raise UsageFailed("Not enough arguments (expected 1 or -self, got 0)")
    if arguments and revokes_self:
        raise UsageFailed(f"Too many arguments with -self (expected 0, got {len(arguments)})")
    if len(arguments) > 1:
        raise UsageFailed(f"Too many arguments (expected 1 or -self, got {len(arguments)})")
    if mode not in {"", "orphan", "path"}:
        raise UsageFailed(f"Invalid mode: {mode}")
    for clash, excluded in (("-accessor", accessor), ("-self", revokes_self)):
        if mode and excluded:
            raise UsageFailed(f"Cannot use {clash} with -mode!")
    if accessor and revokes_self:
        raise UsageFailed("Cannot use -accessor with -self!")


@remote_command("capabilities", usage="[TOKEN] PATH", arity=Arity(1, 2), prints=Prints.FORMAT)
def capabilities_command(session: Session, arguments: Sequence[str]) -> None:
    """Print what a token may do on a path; without a token, the one in effect."""
    path = arguments[-1].strip()
    if len(arguments) == 1:
        call = Call("POST", "sys/capabilities-self", body={"path": path}, wraps=False)
    else:
        call = Call("POST", "sys/capabilities", body={"path": path, "token": arguments[0].strip()}, wraps=False)
    with failing_as("Error listing capabilities"):
        secret = session.client.written(call)
    data = (secret.data if secret else None) or {}
    found = data.get(path, data.get("capabilities"))
    if not isinstance(found, list):
        raise RemoteFailed("Error listing capabilities: the answer names none for this path")
    names = sorted(render(name) for name in found)
    session.output.document(list(names), lambda: ", ".join(names))
