"""operator: generate a root token when enough holders of shares agree."""

from collections.abc import Sequence

from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import UsageFailed, failing_as
from chancery.cli.flags import BOOLEAN, STRING, Flag
from chancery.cli.golang import Json, render
from chancery.cli.seal_attempts import STDIN, Answer, ask, only_one, progress_row, share_and_nonce
from chancery.cli.session import Session
from chancery.cli.tables import Row, columns
from chancery.kit.errors import BadInput
from chancery.seal import one_time_password

_ATTEMPT = "sys/generate-root/attempt"


@remote_command(
    "generate-root",
    usage="[SHARE]",
    arity=Arity(0, 1),
    prints=Prints.FORMAT,
    flags=[
        Flag("init", BOOLEAN, "Start an attempt.", default=False),
        Flag("cancel", BOOLEAN, "Give the attempt up.", default=False),
        Flag("status", BOOLEAN, "Show where the attempt stands.", default=False),
        Flag("generate-otp", BOOLEAN, "Print a one-time password for -otp.", default=False),
        Flag("decode", STRING, "Decode the token that the last share was answered with; - reads it from stdin."),
        Flag("otp", STRING, "One-time password to start with, or to decode with.", default=""),
        Flag("nonce", STRING, "The nonce that the attempt was started with.", default=""),
        Flag("pgp-key", STRING, "PGP key to encrypt the token with, where the server can.", default=""),
    ],
)
def generate_root_command(
    session: Session,
    arguments: Sequence[str],
    *,
    init: bool,
    cancel: bool,
    status: bool,
    generate_otp: bool,
    decode: str | None,
    otp: str,
    nonce: str,
    pgp_key: str,
) -> None:
    """Generate a root token.

    -init starts an attempt and shows a one-time password; then holders of shares enter them, each with -nonce, until
    there are enough; the last one is shown the encoded token, which -decode turns into the token with -otp.
    """
    only_one(init=init, cancel=cancel, status=status, generate_otp=generate_otp, decode=decode is not None)
    if generate_otp:
        _generate_otp(session)
    elif decode is not None:
        _decode(session, decode, otp)
    elif cancel:
        with failing_as("Error canceling root token generation"):
            session.client.require(Call("DELETE", _ATTEMPT, query=(("nonce", nonce),) if nonce else (), wraps=False))
        session.output.line("Success! Root token generation canceled (if it was started)")
    elif init:
        _begin(session, otp, pgp_key)
    elif status:
        _show(session, _status(session))
    else:
        _enter(session, arguments, nonce)


def _status(session: Session) -> Answer:
    with failing_as("Error getting root generation status"):
        return ask(session, "GET", _ATTEMPT)


def _begin(session: Session, otp: str, pgp_key: str) -> None:
    with failing_as("Error initializing root generation"):
        answer = ask(session, "PUT", _ATTEMPT, {"otp": otp, "pgp_key": pgp_key})
    if answer.get("otp"):
        session.output.notice(
            "Keep the one-time password (OTP): without it the token cannot be decoded. It is shown once."
        )
    _show(session, answer)


def _enter(session: Session, arguments: Sequence[str], nonce: str) -> None:
    status = _status(session)
    if not status.get("started"):
        raise UsageFailed(
            'No root generation is in progress. Start one with "chancery operator generate-root -init". An OTP of\n'
            f"your own must have {render(status.get('otp_length', 0))} characters."
        )
    share, chosen = share_and_nonce(session, arguments, nonce, status)
    with failing_as("Error posting unseal key"):
        answer = ask(session, "PUT", "sys/generate-root/update", {"key": share, "nonce": chosen})
    _show(session, answer)


def _generate_otp(session: Session) -> None:
    length = _status(session).get("otp_length")
    if not isinstance(length, int) or length < 1:
        raise UsageFailed("the server does not say how long a one-time password must be")
    otp = one_time_password.generate(length)
    _print_value(session, {"otp": otp, "otp_length": length}, otp)


def _decode(session: Session, encoded: str, otp: str) -> None:
    if not otp:
        raise UsageFailed("Missing otp: use -otp to supply it")
    text = session.read_stdin().strip() if encoded == STDIN else encoded
    try:
        token = one_time_password.decode(text, otp)
    except BadInput as error:
        raise UsageFailed(f"Error decoding root token: {error.message}") from None
    _print_value(session, {"token": token}, token)


def _print_value(session: Session, document: Json, value: str) -> None:
    """Print bare for people and pipes, or as a document."""
    if session.output.is_table:
        session.output.out.write(value)
    else:
        session.output.document(document)


def _show(session: Session, answer: Answer) -> None:
    rows: list[Row] = [
        ("Nonce", render(answer.get("nonce", ""))),
        ("Started", render(answer.get("started", False))),
        progress_row("Progress", answer, "required"),
        ("Complete", render(answer.get("complete", False))),
    ]
    optional = {
        "PGP Fingerprint": "pgp_fingerprint",
        "Encoded Token": "encoded_token",
        "OTP": "otp",
        "OTP Length": "otp_length",
    }
    rows += [(label, render(answer[name])) for label, name in optional.items() if answer.get(name)]
    session.output.document(answer, lambda: columns(rows))
