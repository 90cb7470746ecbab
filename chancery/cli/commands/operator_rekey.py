"""operator: new shares of the unseal key or the recovery key. `rekey` speaks Vault's paths, `rotate-keys` OpenBao's."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chancery.cli.client import Call
from chancery.cli.command import Arity, GoCommand, Prints, remote_command
from chancery.cli.failures import UsageFailed, failing_as
from chancery.cli.flags import BOOLEAN, INTEGER, STRING, Flag
from chancery.cli.golang import Json
from chancery.cli.rekey_views import shares_text, show_status
from chancery.cli.seal_attempts import Answer, ask, only_one, share_and_nonce
from chancery.cli.session import Session

DEFAULT_SHARES = 5
DEFAULT_THRESHOLD = 3


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Where a command's attempts are, and what it calls them."""

    name: str
    noun: str
    verb: str
    barrier: str
    recovery: str
    barrier_backup: str
    recovery_backup: str

    def root(self, target: str) -> str:
        """Return the path of a target's attempts. Raises UsageFailed."""
        if target not in {"barrier", "recovery"}:
            raise UsageFailed(f"Unknown target: {target}")
        return self.recovery if target == "recovery" else self.barrier

    def backup(self, target: str) -> str:
        """Return the path of a target's encrypted shares."""
        return self.recovery_backup if target == "recovery" else self.barrier_backup


_REKEY = _Dialect(
    "rekey", "rekey", "rekeying", "sys/rekey", "sys/rekey-recovery-key", "sys/rekey/backup",
    "sys/rekey/recovery-key-backup",
)  # fmt: skip
_ROTATE_KEYS = _Dialect(
    "rotate-keys", "rotation", "rotation", "sys/rotate/root", "sys/rotate/recovery", "sys/rotate/root/backup",
    "sys/rotate/recovery/backup",
)  # fmt: skip

_FLAGS = (
    Flag("init", BOOLEAN, "Start an attempt.", default=False),
    Flag("cancel", BOOLEAN, "Give the attempt up, or with -verify begin its verification anew.", default=False),
    Flag("status", BOOLEAN, "Show where the attempt stands.", default=False),
    Flag(
        "verify", BOOLEAN, "With -init: new shares count only once they were entered. Else: about that.", default=False
    ),
    Flag("key-shares", INTEGER, "Number of new shares. Default 5.", aliases=("n",), default=DEFAULT_SHARES),
    Flag("key-threshold", INTEGER, "New shares that are needed. Default 3.", aliases=("t",), default=DEFAULT_THRESHOLD),
    Flag("nonce", STRING, "The nonce that the attempt was started with.", default=""),
    Flag("target", STRING, "barrier or recovery. Default barrier.", default="barrier"),
    Flag("pgp-keys", STRING, "Files with PGP keys to encrypt the shares with, where the server can.", default=""),
    Flag("backup", BOOLEAN, "Have the server keep the shares that it encrypted with PGP keys.", default=False),
    Flag("backup-retrieve", BOOLEAN, "Show the kept shares.", default=False),
    Flag("backup-delete", BOOLEAN, "Delete the kept shares.", default=False),
)


def _command(dialect: _Dialect, help_text: str) -> GoCommand:
    def body(session: Session, arguments: Sequence[str], **values: Any) -> None:
        _run(dialect, session, arguments, **values)

    body.__doc__ = help_text
    declare = remote_command(dialect.name, usage="[SHARE]", arity=Arity(0, 1), prints=Prints.FORMAT, flags=[*_FLAGS])
    return declare(body)


def _run(
    dialect: _Dialect,
    session: Session,
    arguments: Sequence[str],
    *,
    init: bool,
    cancel: bool,
    status: bool,
    verify: bool,
    nonce: str,
    target: str,
    backup_retrieve: bool,
    backup_delete: bool,
    **order: Any,
) -> None:
    only_one(init=init, cancel=cancel, status=status, backup_retrieve=backup_retrieve, backup_delete=backup_delete)
    root = dialect.root(target)
    if init:
        _begin(dialect, session, root, require_verification=verify, **order)
    elif cancel:
        _cancel(dialect, session, f"{root}/{'verify' if verify else 'init'}", nonce)
    elif status:
        with failing_as(f"Error reading {dialect.noun} status"):
            answer = ask(session, "GET", f"{root}/{'verify' if verify else 'init'}")
        show_status(session, answer, verification=verify)
    elif backup_retrieve:
        with failing_as(f"Error retrieving {dialect.noun} backed up keys"):
            session.show(session.client.secret(Call("GET", dialect.backup(target))))
    elif backup_delete:
        with failing_as(f"Error deleting {dialect.noun} backed up keys"):
            session.client.require(Call("DELETE", dialect.backup(target), wraps=False))
        session.output.line("Success! Deleted backed up keys (if they existed)")
    else:
        _enter(dialect, session, arguments, root, nonce, verify=verify)


def _begin(
    dialect: _Dialect,
    session: Session,
    root: str,
    *,
    require_verification: bool,
    key_shares: int,
    key_threshold: int,
    pgp_keys: str,
    backup: bool,
) -> None:
    keys = _read_keys(pgp_keys)
    body: dict[str, Json] = {
        "secret_shares": key_shares,
        "secret_threshold": key_threshold,
        "pgp_keys": keys,
        "backup": backup,
        "require_verification": require_verification,
    }
    with failing_as(f"Error initializing {dialect.noun}"):
        answer = ask(session, "PUT", f"{root}/init", body)
    if not keys:
        session.output.notice(
            "The new shares will be shown once and kept nowhere: if they are lost, so is everything. With -verify the\n"
            "present shares count until the new ones were entered."
        )
    show_status(session, answer)


def _read_keys(files: str) -> list[Json] | None:
    """Read PGP keys, binary or base64, as base64. Raises UsageFailed."""
    keys: list[Json] = []
    for name in filter(None, files.split(",")):
        try:
            content = Path(name.removeprefix("@")).read_bytes()
        except OSError as error:
            raise UsageFailed(f'invalid value "{name}" for flag -pgp-keys: {error.strerror}') from None
        try:
            base64.b64decode(content.strip(), validate=True)
            keys.append(content.strip().decode())
        except ValueError:
            keys.append(base64.b64encode(content).decode())
    return keys or None


def _cancel(dialect: _Dialect, session: Session, path: str, nonce: str) -> None:
    with failing_as(f"Error canceling {dialect.noun}"):
        session.client.require(Call("DELETE", path, query=(("nonce", nonce),) if nonce else (), wraps=False))
    session.output.line(f"Success! Canceled {dialect.verb} (if it was started)")


def _enter(
    dialect: _Dialect, session: Session, arguments: Sequence[str], root: str, nonce: str, *, verify: bool
) -> None:
    with failing_as(f"Error getting {dialect.noun} status"):
        status = ask(session, "GET", f"{root}/{'verify' if verify else 'init'}")
    if not status.get("started"):
        raise UsageFailed(f'No {dialect.noun} is in progress. Start one with "chancery operator {dialect.name} -init".')
    share, chosen = share_and_nonce(session, arguments, nonce, status)
    with failing_as("Error posting unseal key"):
        body: Json = {"key": share, "nonce": chosen}
        answer = ask(session, "PUT", f"{root}/{'verify' if verify else 'update'}", body)
    if not answer.get("complete"):
        show_status(session, answer, verification=verify)
    elif verify:
        session.output.document(
            answer, lambda: f"The {dialect.noun} is verified and complete: from now on the new shares count."
        )
    else:
        _show_shares(session, answer, status)


def _show_shares(session: Session, answer: Answer, status: Answer) -> None:
    session.output.document(answer, lambda: shares_text(answer, status))
    if session.output.is_table and answer.get("verification_required"):
        session.output.line("")
        show_status(
            session,
            {
                "nonce": answer.get("verification_nonce"),
                "started": True,
                "t": status.get("t"),
                "n": status.get("n"),
                "progress": 0,
            },
            verification=True,
        )


rekey_command = _command(
    _REKEY,
    """Make new shares of the unseal key, or with -target=recovery of the recovery key.

    -init starts an attempt; then holders of the present shares enter them, each with -nonce, until there are enough.
    Without an argument the share is asked for and not echoed; with - it is read from stdin.
    """,
)
rotate_keys_command = _command(
    _ROTATE_KEYS,
    """Make new shares as rekey does, over the paths that OpenBao has for it, which always ask for a token.""",
)
