"""path-help: what the API offers at a path: the server's own help where it has any, otherwise its OpenAPI document."""

from collections.abc import Sequence

from chancery.cli.api_description import describe, parse_paths
from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import CallFailed, Unreachable, failing_as
from chancery.cli.session import Session

OPENAPI = "sys/internal/specs/openapi"


@remote_command("path-help", usage="PATH", arity=Arity(1, 1), prints=Prints.FORMAT)
def path_help_command(session: Session, arguments: Sequence[str]) -> None:
    """Show what the API offers at a path. With -format=json: as an OpenAPI document."""
    path = arguments[0].strip().strip("/")
    with failing_as("Error retrieving help"):
        try:
            answer = session.client.require(Call("GET", path, query=(("help", "1"),), wraps=False)).object()
            text = answer.get("help")
            if not isinstance(text, str):
                raise CallFailed(f"the server has no help for {path}")
            document = answer.get("openapi", answer)
        except Unreachable:
            raise
        except CallFailed:
            described = session.client.require(Call("GET", OPENAPI, wraps=False)).object()
            document, text = described, describe(parse_paths(described), path)
            if not text:
                raise
    shown = text.rstrip("\n")
    session.output.document(document, lambda: shown)
