"""policy: write, read, list, delete, and fmt, which works on local files alone."""

from collections.abc import Sequence
from pathlib import Path

import click

from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, local_command, remote_command
from chancery.cli.failures import Absent, RemoteFailed, UsageFailed, failing_as
from chancery.cli.golang import Json, render
from chancery.cli.session import Session

STDIN = "-"
_POLICIES = "sys/policies/acl"


def _name(session: Session, argument: str) -> str:
    """Return the name as the server keeps it: lower case."""
    name = argument.strip().lower()
    if name != argument.strip():
        session.output.notice(f'Policy name was converted from "{argument.strip()}" to "{name}"')
    return name


def _read_policy(path: str, failure: str) -> str:
    """Return a file's text. Raises UsageFailed."""
    try:
        return Path(path).read_bytes().decode()
    except OSError as error:
        raise UsageFailed(f"{failure}: open {path}: {(error.strerror or 'failed').lower()}") from error
    except UnicodeDecodeError:
        raise UsageFailed(f"{failure}: {path} is not UTF-8 text") from None


@remote_command("write", usage="NAME FILE", arity=Arity(2, 2))
def write_command(session: Session, arguments: Sequence[str]) -> None:
    """Upload a policy from a file, or from stdin when the file is -. A policy of that name is replaced."""
    name = _name(session, arguments[0])
    source = arguments[1].strip()
    text = session.read_stdin() if source == STDIN else _read_policy(source, "Error opening policy file")
    with failing_as("Error uploading policy"):
        session.client.require(Call("PUT", f"{_POLICIES}/{name}", body={"policy": text}, wraps=False))
    session.output.line(f"Success! Uploaded policy: {name}")


@remote_command("read", usage="NAME", arity=Arity(1, 1), prints=Prints.FORMAT)
def read_command(session: Session, arguments: Sequence[str]) -> None:
    """Print a policy."""
    name = _name(session, arguments[0])
    try:
        with failing_as(f"Error reading policy named {name}"):
            data = session.client.secret(Call("GET", f"{_POLICIES}/{name}", wraps=False)).data or {}
    except Absent as absent:
        raise RemoteFailed(f"No policy named: {name}") from absent
    text = data.get("policy", data.get("rules", ""))
    if session.output.is_table:
        session.output.line(render(text).strip())
    else:
        session.output.document({"policy": text})


@remote_command("list", arity=Arity(), prints=Prints.FORMAT)
def list_command(session: Session, arguments: Sequence[str]) -> None:  # noqa: ARG001  # the signature is every command's
    """List the names of the policies."""
    with failing_as("Error listing policies"):
        secret = session.client.written(Call("GET", _POLICIES, query=(("list", "true"),), wraps=False))
    keys = (secret.data or {}).get("keys") if secret else None
    names: Json = keys if isinstance(keys, list) else []
    if session.output.is_table:
        for name in names if isinstance(names, list) else []:
            session.output.line(render(name))
    else:
        session.output.document(names)


@remote_command("delete", usage="NAME", arity=Arity(1, 1))
def delete_command(session: Session, arguments: Sequence[str]) -> None:
    """Delete a policy; tokens that have it lose what it grants. Succeeds when there is none."""
    name = _name(session, arguments[0])
    with failing_as(f"Error deleting {name}"):
        session.client.require(Call("DELETE", f"{_POLICIES}/{name}", wraps=False))
    session.output.line(f"Success! Deleted policy: {name}")


@local_command("fmt", usage="FILE", arity=Arity(1, 1))
def fmt_command(arguments: Sequence[str]) -> None:
    """Format a policy file in place. Nothing is written when it is not a policy in HCL."""
    from chancery.cli.policy_format import PolicySyntax, format_policy

    path = arguments[0].strip()
    text = _read_policy(path, "Error reading source file")
    try:
        formatted = format_policy(text)
    except PolicySyntax as error:
        raise UsageFailed(f"failed to parse policy: {error}") from error
    try:
        Path(path).write_text(formatted, encoding="utf-8")
    except OSError as error:
        raise UsageFailed(f"Error writing result: {path}: {(error.strerror or 'failed').lower()}") from error
    click.echo(f"Success! Formatted policy: {path}")
