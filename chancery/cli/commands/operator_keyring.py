"""operator: rotate the key that the server encrypts with, and tell which it is."""

from collections.abc import Sequence
from datetime import datetime

from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import failing_as
from chancery.cli.golang import Json, render
from chancery.cli.seal_attempts import Answer, ask
from chancery.cli.session import Session
from chancery.cli.tables import columns


@remote_command("rotate", arity=Arity(), prints=Prints.FORMAT)
def rotate_command(
    session: Session,
    arguments: Sequence[str],  # noqa: ARG001  # the signature is every command's
) -> None:
    """Have the server encrypt with a new key from now on.

    Older keys stay, for what they encrypted. Nobody's shares change, and nothing stops meanwhile.
    """
    with failing_as("Error rotating key"):
        session.client.require(Call("PUT", "sys/rotate", wraps=False))
        status = ask(session, "GET", "sys/key-status")
    session.output.success("Success! Rotated key\n")
    _show(session, status)


@remote_command("key-status", arity=Arity(), prints=Prints.FORMAT)
def key_status_command(
    session: Session,
    arguments: Sequence[str],  # noqa: ARG001  # the signature is every command's
) -> None:
    """Show the number of the key that the server encrypts with, its age, and how much it encrypted."""
    with failing_as("Error reading key status"):
        status = ask(session, "GET", "sys/key-status")
    _show(session, status)


def _show(session: Session, status: Answer) -> None:
    document: dict[str, Json] = {name: status.get(name) for name in ("term", "install_time", "encryptions")}
    rows = [
        ("Key Term", render(document["term"])),
        ("Install Time", _install_time(render(document["install_time"]))),
        ("Encryption Count", render(document["encryptions"])),
    ]
    session.output.document(document, lambda: columns(rows))


def _install_time(text: str) -> str:
    """Render an RFC 3339 time as `22 Nov 26 08:51 UTC`; what is not one stays as it is."""
    try:
        moment = datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return text
    return moment.strftime("%d %b %y %H:%M UTC")
