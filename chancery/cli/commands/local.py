"""version and print token: answered without a server."""

import sys
from collections.abc import Sequence

import click

import chancery
from chancery.cli.command import Arity, local_command, remote_command
from chancery.cli.session import Session


@local_command("version", arity=Arity(0, None))
def version_command(arguments: Sequence[str]) -> None:  # noqa: ARG001  # the signature is every command's
    """Print the version of this program. The server's own is in `chancery status`."""
    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"Chancery v{chancery.__version__} (Python {python})")


@remote_command("token", arity=Arity())
def token_command(session: Session, arguments: Sequence[str]) -> None:  # noqa: ARG001
    """Print the token that commands use, from the environment or from ~/.vault-token."""
    session.output.line(session.token)
