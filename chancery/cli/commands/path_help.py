"""path-help: what the API offers at a path, in the server's own words."""

from collections.abc import Sequence

from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import failing_as
from chancery.cli.golang import render
from chancery.cli.session import Session


@remote_command("path-help", usage="PATH", arity=Arity(1, 1), prints=Prints.FORMAT)
def path_help_command(session: Session, arguments: Sequence[str]) -> None:
    """Show what the API offers at a path. With -format=json: as an OpenAPI document."""
    path = arguments[0].strip().strip("/")
    with failing_as("Error retrieving help"):
        answer = session.client.require(Call("GET", path, query=(("help", "1"),), wraps=False)).object()
    document = answer.get("openapi", answer)
    session.output.document(document, lambda: render(answer.get("help", "")).rstrip("\n"))
