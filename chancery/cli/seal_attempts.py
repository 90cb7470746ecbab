"""What the commands of attempts share: shares from people, nonces, and answers with or without an envelope."""

from collections.abc import Sequence

from chancery.cli import terminal
from chancery.cli.client import Call
from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Json, render
from chancery.cli.session import Session
from chancery.cli.tables import Row

STDIN = "-"

Answer = dict[str, Json]


def ask(session: Session, method: str, path: str, body: Json = None) -> Answer:
    """Call a path that answers bare or in an envelope, and return what it says. Raises CallFailed."""
    answer = session.client.require(Call(method, path, body=body, wraps=False)).object()
    data = answer.get("data")
    return data if isinstance(data, dict) and "request_id" in answer else answer


def share_and_nonce(session: Session, arguments: Sequence[str], nonce: str, status: Answer) -> tuple[str, str]:
    """Return the share to enter and the nonce it is meant for. Raises UsageFailed and NoTerminal.

    A share that comes by argument or stdin must name its nonce: the attempt under way may be somebody else's.
    """
    if arguments:
        if not nonce:
            raise UsageFailed("Missing nonce value: specify it via the -nonce flag")
        return (session.read_stdin() if arguments[0] == STDIN else arguments[0]).strip(), nonce
    chosen = nonce or render(status.get("nonce", ""))
    session.output.notice(f"Operation nonce: {chosen}")
    share = terminal.ask_hidden(
        "Unseal Key (will be hidden): ",
        remedy="give the share on stdin, with - as the argument and -nonce",
        non_interactive=session.flags.non_interactive,
    )
    return share, chosen


def only_one(**switches: bool) -> None:
    """Raise UsageFailed when more than one of these flags is given."""
    given = [f"-{name.replace('_', '-')}" for name, is_given in switches.items() if is_given]
    if len(given) > 1:
        raise UsageFailed(f"{given[0]} and {given[1]} exclude each other")


def progress_row(label: str, answer: Answer, required: str) -> Row:
    """Return `1/3` as a row."""
    return (label, f"{render(answer.get('progress', 0))}/{render(answer.get(required, 0))}")
