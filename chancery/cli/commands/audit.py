"""audit: enable, list and disable audit devices; verify what they wrote."""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, local_command, remote_command
from chancery.cli.failures import REMOTE_ERROR, UsageFailed, failing_as
from chancery.cli.flags import BOOLEAN, STRING, Flag
from chancery.cli.golang import Json, render
from chancery.cli.keyvalues import parse_key_values
from chancery.cli.mounts import Mount, parse_mounts
from chancery.cli.session import Session
from chancery.cli.tables import Row, headed

_BROKEN = 1
"""Exit code of `verify` when a log is not whole."""


def _device_path(argument: str) -> str:
    return argument.strip().strip("/") + "/"


@remote_command(
    "enable",
    usage="TYPE [K=V...]",
    arity=Arity(0, None),
    flags=[
        Flag("description", STRING, "What the device is for, in words.", default=""),
        Flag("path", STRING, "Where to enable it; otherwise at its type.", default=""),
        Flag("local", BOOLEAN, "Keep the device out of replication.", default=False),
    ],
)
def enable_command(session: Session, arguments: Sequence[str], **values: Any) -> None:
    """Enable an audit device of a type, such as file, with its options as K=V.

    From then on the server refuses whatever none of its devices can record.
    """
    if not arguments:
        raise UsageFailed(
            "Error enabling audit device: audit type missing. Valid types include file, socket and syslog"
        )
    kind = arguments[0].strip()
    path = _device_path(values["path"] or kind)
    options = parse_key_values(arguments[1:], session.read_stdin)
    body: dict[str, Json] = {
        "type": kind,
        "description": values["description"],
        "options": {name: render(value) for name, value in options.items()},
        "local": values["local"],
    }
    with failing_as("Error enabling audit device"):
        session.client.require(Call("PUT", f"sys/audit/{path.rstrip('/')}", body=body, wraps=False))
    session.output.line(f"Success! Enabled the {kind} audit device at: {path}")


@remote_command("disable", usage="PATH", arity=Arity(1, 1))
def disable_command(session: Session, arguments: Sequence[str]) -> None:
    """Disable the audit device at a path. What it wrote stays. Succeeds when there is none."""
    path = _device_path(arguments[0])
    with failing_as("Error disabling audit device"):
        session.client.require(Call("DELETE", f"sys/audit/{path.rstrip('/')}", wraps=False))
    session.output.line(f"Success! Disabled audit device (if it was enabled) at: {path}")


@remote_command(
    "list",
    arity=Arity(),
    prints=Prints.FORMAT,
    flags=[Flag("detailed", BOOLEAN, "Show options and replication too.", default=False)],
)
def list_command(session: Session, arguments: Sequence[str], *, detailed: bool) -> int:  # noqa: ARG001
    """List the enabled audit devices. Exits with 2 when there are none, as bao does."""
    with failing_as("Error listing audits"):
        devices = parse_mounts(session.client.require(Call("GET", "sys/audit", wraps=False)).object())
    if not devices and session.output.is_table:
        session.output.line("No audit devices are enabled.")
        return REMOTE_ERROR
    documents: Json = {path: _document(path, device) for path, device in sorted(devices.items())}
    session.output.document(documents, lambda: _table(devices, detailed=detailed))
    return 0


@local_command(
    "verify",
    usage="FILE...",
    arity=Arity(1, None),
    flags=[
        Flag(
            "anchor",
            STRING,
            "Hash that was printed before: the log must still have its line; may be repeated.",
            repeated=True,
        )
    ],
)
def verify_command(arguments: Sequence[str], *, anchor: Sequence[str]) -> int:
    """Tell whether audit logs are whole: no line missing, altered or moved.

    Give rotated files with the oldest first; those ending in .gz are unpacked. Exits with 1 when a log is not whole.
    Prints the hash of the last line: note it elsewhere, and -anchor tells later that nothing before it was rewritten.
    """
    from chancery.audit.verify import Verifier

    verifier = Verifier(frozenset(text.strip().lower() for text in anchor))
    for name in arguments:
        with _opened(name) as lines:
            verifier.read(name, lines)
    findings = verifier.finish()
    for note in verifier.notes:
        click.echo(f"{note} (not a fault)")
    for finding in findings:
        click.echo(str(finding))
    for name, chain in verifier.chains.items():
        click.echo(f"chain {name}: lines {chain.first.sequence} to {chain.last.sequence}, {chain.lines} here")
        click.echo(f"  last: {chain.where}, hash {chain.last.hash}")
    if not verifier.chains:
        click.echo("no line with a chain found")
    click.echo(f"{len(findings)} faults" if findings else "no faults")
    return _BROKEN if findings or not verifier.chains else 0


@contextmanager
def _opened(name: str) -> Iterator[Iterator[bytes]]:
    path = Path(name)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            yield iter(stream)
    except (OSError, EOFError) as error:
        raise UsageFailed(f"cannot read {name}: {error.strerror if isinstance(error, OSError) else error}") from None


def _document(path: str, device: Mount) -> Mount:
    known: Mount = {"type": "", "description": "", "options": None, "local": False, "path": path}
    return {name: device.get(name, default) for name, default in known.items()}


def _table(devices: dict[str, Mount], *, detailed: bool) -> str:
    headings: Row = ("Path", "Type", "Description")
    if detailed:
        headings = (*headings, "Replication", "Options")
    return headed(headings, [_row(path, device, detailed=detailed) for path, device in sorted(devices.items())])


def _row(path: str, device: Mount, *, detailed: bool) -> Row:
    row: Row = (path, render(device.get("type", "")), render(device.get("description", "")))
    if not detailed:
        return row
    options = device.get("options")
    pairs = sorted(options.items()) if isinstance(options, dict) else []
    replication = "local" if device.get("local") else "replicated"
    return (*row, replication, " ".join(f"{name}={render(value)}" for name, value in pairs))
