"""status: whether the server is sealed. Exit code 0 unsealed, 2 sealed, 1 when it cannot be told."""

from collections.abc import Sequence

from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import USAGE_ERROR, failing_as
from chancery.cli.seal_status import fetch_leader, fetch_status, status_document, status_table
from chancery.cli.session import Session

SEALED = 2


@remote_command("status", arity=Arity(), prints=Prints.FORMAT | Prints.FIELD)
def status_command(session: Session, arguments: Sequence[str]) -> int:  # noqa: ARG001  # the signature is every command's
    """Show whether the server is initialised and sealed, and its part in a cluster.

    Exit code 0: unsealed. 2: sealed. 1: it could not be told.
    """
    with failing_as("Error checking seal status", exit_code=USAGE_ERROR):
        status = fetch_status(session.client)
        leader = None if status.get("sealed") else fetch_leader(session.client)
    document = status_document(status, leader)
    if session.output.field:
        session.output.value(document.get(session.output.field), "seal status")
    else:
        session.output.document(document, lambda: status_table(status, leader))
    return SEALED if status.get("sealed") else 0
