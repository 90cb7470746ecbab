"""operator: initialise, unseal and seal."""

from collections.abc import Sequence

from chancery.cli import terminal
from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import failing_as
from chancery.cli.flags import BOOLEAN, INTEGER, Flag
from chancery.cli.golang import Json, render
from chancery.cli.seal_status import fetch_leader, fetch_status, status_document, status_table
from chancery.cli.session import Session

NOT_INITIALISED = 2
DEFAULT_SHARES = 5
DEFAULT_THRESHOLD = 3
STDIN = "-"

_INIT_FLAGS = [
    Flag("key-shares", INTEGER, "Shares to split the unseal key into. Default 5.", aliases=("n",)),
    Flag("key-threshold", INTEGER, "Shares needed to unseal. Default 3.", aliases=("t",)),
    Flag("recovery-shares", INTEGER, "Auto-unseal: shares to split the recovery key into. Default 5."),
    Flag("recovery-threshold", INTEGER, "Auto-unseal: shares needed for recovery. Default 3."),
    Flag("status", BOOLEAN, "Only tell whether the server is initialised: exit code 0, or 2 when not.", default=False),
]


@remote_command("init", arity=Arity(), prints=Prints.FORMAT, flags=_INIT_FLAGS)
def init_command(
    session: Session,
    arguments: Sequence[str],  # noqa: ARG001  # the signature is every command's
    *,
    key_shares: int | None,
    key_threshold: int | None,
    recovery_shares: int | None,
    recovery_threshold: int | None,
    status: bool,
) -> int:
    """Initialise a server: it makes its root key, and shows the shares of the unseal key and the first root token once.

    A server that unseals itself through an HSM or KMS shows shares of a recovery key instead.
    """
    if status:
        return _show_whether_initialised(session)
    with failing_as(""):
        auto = not session.connection.prints_curl and bool(fetch_status(session.client).get("recovery_seal"))
    shares, threshold = ("recovery_shares", "recovery_threshold") if auto else ("secret_shares", "secret_threshold")
    given: dict[str, int | None] = {
        "secret_shares": key_shares,
        "secret_threshold": key_threshold,
        "recovery_shares": recovery_shares,
        "recovery_threshold": recovery_threshold,
    }
    body: dict[str, Json] = {shares: DEFAULT_SHARES, threshold: DEFAULT_THRESHOLD}
    body |= {name: value for name, value in given.items() if value is not None}
    with failing_as("Error initializing"):
        answer = session.client.require(Call("PUT", "sys/init", body=body, wraps=False)).object()
    document = _init_document(answer, body)
    session.output.document(document, lambda: _init_text(document))
    return 0


def _show_whether_initialised(session: Session) -> int:
    with failing_as(""):
        status = session.client.require(Call("GET", "sys/init", wraps=False)).object()
    initialised = bool(status.get("initialized"))
    words = f"Vault is {'' if initialised else 'not '}initialized"
    if session.output.is_table:
        session.output.line(words)
    else:
        session.output.document({"Initialized": initialised})
    return 0 if initialised else NOT_INITIALISED


def _init_document(answer: dict[str, Json], asked: dict[str, Json]) -> dict[str, Json]:
    """Return the answer under the names that the command line has always used for it."""
    recovery = answer.get("recovery_keys")
    return {
        "unseal_keys_b64": answer.get("keys_base64"),
        "unseal_keys_hex": answer.get("keys"),
        "unseal_shares": asked.get("secret_shares", 0),
        "unseal_threshold": asked.get("secret_threshold", 0),
        "recovery_keys_b64": answer.get("recovery_keys_base64"),
        "recovery_keys_hex": recovery,
        "recovery_keys_shares": asked.get("recovery_shares", 0),
        "recovery_keys_threshold": asked.get("recovery_threshold", 0),
        "root_token": answer.get("root_token"),
    }


def _init_text(document: dict[str, Json]) -> str:
    """Lay out the shares, the token, and what to do with them."""
    lines: list[str] = []
    for label, name in (("Unseal", "unseal_keys_b64"), ("Recovery", "recovery_keys_b64")):
        shares = document[name]
        if isinstance(shares, list) and shares:
            lines += [f"{label} Key {number}: {render(share)}" for number, share in enumerate(shares, 1)]
    kind = "recovery_keys" if document["recovery_keys_b64"] else "unseal"
    shares_made, needed = render(document[f"{kind}_shares"]), render(document[f"{kind}_threshold"])
    advice = (
        f"There are {shares_made} shares, and {needed} of them are needed. They are shown this once and kept nowhere:\n"
        "hand each to another person now."
    )
    if kind == "unseal":
        advice += f" After every restart or seal, {needed} of them must be entered\nwith `chancery operator unseal`."
        advice += " If fewer remain, nothing in this server can ever be read again."
    return "\n".join([*lines, "", f"Initial Root Token: {render(document['root_token'])}", "", advice])


@remote_command(
    "unseal",
    usage="[SHARE]",
    arity=Arity(0, 1),
    prints=Prints.FORMAT,
    flags=[
        Flag("reset", BOOLEAN, "Forget the shares entered so far.", default=False),
        Flag("migrate", BOOLEAN, "The share belongs to the migration from one seal to another.", default=False),
    ],
)
def unseal_command(session: Session, arguments: Sequence[str], *, reset: bool, migrate: bool) -> None:
    """Enter one share of the unseal key.

    Without an argument the share is asked for and not echoed; with - it is read from stdin. A share given as an
    argument ends up in the shell's history.
    """
    if reset:
        with failing_as("Error resetting unseal process"):
            status = session.client.require(Call("PUT", "sys/unseal", body={"reset": True}, wraps=False)).object()
            leader = None
    else:
        body: Json = {"key": _share(session, arguments), "migrate": migrate}
        with failing_as("Error unsealing"):
            status = session.client.require(Call("PUT", "sys/unseal", body=body, wraps=False)).object()
            leader = None if status.get("sealed") else fetch_leader(session.client)
    session.output.document(status_document(status, leader), lambda: status_table(status, leader))


def _share(session: Session, arguments: Sequence[str]) -> str:
    if arguments and arguments[0] != STDIN:
        return arguments[0].strip()
    if arguments:
        return session.read_stdin().strip()
    return terminal.ask_hidden(
        "Unseal Key (will be hidden): ",
        remedy="give the share on stdin with `chancery operator unseal -`",
        non_interactive=session.flags.non_interactive,
    )


@remote_command("seal", arity=Arity())
def seal_command(session: Session, arguments: Sequence[str]) -> None:  # noqa: ARG001  # the signature is every command's
    """Seal the server: it forgets its keys and answers nothing until it is unsealed again."""
    with failing_as("Error sealing"):
        session.client.require(Call("PUT", "sys/seal", wraps=False))
    session.output.line("Success! Vault is sealed.")
