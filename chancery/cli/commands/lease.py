"""lease: look up, renew and revoke what expires."""

from collections.abc import Sequence

from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import UsageFailed, failing_as
from chancery.cli.flags import BOOLEAN, DURATION, Flag
from chancery.cli.golang import Duration, Json
from chancery.cli.session import Session

_OUT_OF_STEP = (
    "Warning! What a lease stood for may live on when the lease is removed by force: look into the secrets engine!"
)


def _lease_id(arguments: Sequence[str]) -> str:
    if not arguments:
        raise UsageFailed("Missing ID!")
    return arguments[0].strip()


@remote_command("lookup", usage="ID", arity=Arity(0, 1), prints=Prints.FORMAT | Prints.FIELD)
def lookup_command(session: Session, arguments: Sequence[str]) -> None:
    """Show when a lease was given out and when it ends."""
    lease_id = _lease_id(arguments)
    with failing_as(f"error looking up lease id {lease_id}"):
        secret = session.client.written(Call("PUT", "sys/leases/lookup", body={"lease_id": lease_id}))
    session.show(secret)


@remote_command(
    "renew",
    usage="ID",
    arity=Arity(0, 1),
    prints=Prints.FORMAT | Prints.FIELD,
    flags=[Flag("increment", DURATION, "How long the lease shall live from now; the server may give less.")],
)
def renew_command(session: Session, arguments: Sequence[str], *, increment: Duration | None) -> None:
    """Let a lease end later. Its secret stays what it was."""
    lease_id = _lease_id(arguments)
    seconds = increment.nanoseconds // 1_000_000_000 if increment is not None else 0
    body: dict[str, Json] = {"lease_id": lease_id, "increment": seconds}
    with failing_as(f"Error renewing {lease_id}"):
        secret = session.client.written(Call("PUT", "sys/leases/renew", body=body))
    session.show(secret)


@remote_command(
    "revoke",
    usage="ID",
    arity=Arity(1, 1),
    flags=[
        Flag("prefix", BOOLEAN, "Revoke every lease at or below this path.", default=False),
        Flag(
            "force",
            BOOLEAN,
            "Remove leases even when their secrets cannot be revoked; needs -prefix.",
            aliases=("f",),
            default=False,
        ),
        Flag("sync", BOOLEAN, "Wait until it is done, and hear of failures.", default=False),
    ],
)
def revoke_command(session: Session, arguments: Sequence[str], *, prefix: bool, force: bool, sync: bool) -> None:
    """End a lease before its time, or all those at or below a path.

    The server makes a note and answers; it tries until it succeeds. With -sync it answers when it has tried once.
    """
    lease_id = _lease_id(arguments)
    if force and not prefix:
        raise UsageFailed("Specifying -force requires also specifying -prefix")
    if force:
        session.output.notice(_OUT_OF_STEP)
        with failing_as(f"Error force revoking leases with prefix {lease_id}"):
            session.client.require(Call("PUT", f"sys/leases/revoke-force/{lease_id}"))
        session.output.line(f"Success! Force revoked any leases with prefix: {lease_id}")
        return
    kind, what = ("revoke-prefix", "leases with prefix") if prefix else ("revoke", "lease")
    with failing_as(f"Error revoking {what} {lease_id}"):
        session.client.require(Call("PUT", f"sys/leases/{kind}/{lease_id}", body={"sync": sync}))
    if not sync:
        session.output.line("All revocation operations queued successfully!")
    elif prefix:
        session.output.line(f"Success! Revoked any leases with prefix: {lease_id}")
    else:
        session.output.line(f"Success! Revoked lease: {lease_id}")
