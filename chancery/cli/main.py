"""Entry point: the tree of commands, and the one place where a failure becomes a message and an exit code."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from chancery.cli.command import Entry, LazyGroup
from chancery.cli.curl import CurlInstead
from chancery.cli.failures import INTERRUPTED, REMOTE_ERROR, UNKNOWN_COMMAND, USAGE_ERROR, CommandFailed
from chancery.cli.terminal import alarming
from chancery.kit.errors import ChanceryError

_COMMANDS = "chancery.cli.commands"


def _entries(module: str, commands: dict[str, str]) -> dict[str, Entry]:
    """Return entries for functions of one module that are named like their commands."""
    return {
        name: Entry(f"{_COMMANDS}.{module}:{name.replace('-', '_')}_command", summary)
        for name, summary in commands.items()
    }


def _group(name: str, description: str, module: str, commands: dict[str, str]) -> click.Group:
    return LazyGroup(name, _entries(module, commands), description)


operator_group = LazyGroup(
    "operator",
    {
        **_entries(
            "operator",
            {"init": "Initialise a server", "seal": "Seal the server", "unseal": "Enter a share of the unseal key"},
        ),
        **_entries(
            "operator_keyring",
            {
                "key-status": "Show the key that the server encrypts with",
                "rotate": "Encrypt with a new key from now on",
            },
        ),
        **_entries(
            "operator_rekey",
            {
                "rekey": "Make new shares of the unseal key or the recovery key",
                "rotate-keys": "The same over the paths that OpenBao has for it",
            },
        ),
        **_entries("operator_root", {"generate-root": "Generate a root token from shares"}),
    },
    "Initialise, unseal and seal a server; change its keys and their shares.",
)
audit_group = _group(
    "audit",
    "Enable, list and disable audit devices, and verify what they wrote.",
    "audit",
    {
        "disable": "Disable an audit device",
        "enable": "Enable an audit device",
        "list": "List the enabled audit devices",
        "verify": "Tell whether audit logs are whole",
    },
)
secrets_group = _group(
    "secrets",
    "Enable, list, tune, move and disable secrets engines.",
    "secrets",
    {
        "disable": "Disable a secrets engine and erase its data",
        "enable": "Enable a secrets engine",
        "list": "List the enabled secrets engines",
        "move": "Move a secrets engine to another path",
        "tune": "Change the settings of a secrets engine",
    },
)
lease_group = _group(
    "lease",
    "Look up, renew and revoke leases: secrets that expire.",
    "lease",
    {
        "lookup": "Show a lease",
        "renew": "Let a lease end later",
        "revoke": "End leases before their time",
    },
)
policy_group = _group(
    "policy",
    "Write, read, list, delete and format policies.",
    "policy",
    {
        "delete": "Delete a policy",
        "fmt": "Format a policy file in place",
        "list": "List the policies",
        "read": "Print a policy",
        "write": "Upload a policy from a file or stdin",
    },
)
token_group = _group(
    "token",
    "Create, look up, renew and revoke tokens.",
    "token",
    {
        "capabilities": "Print what a token may do on a path",
        "create": "Create a token",
        "lookup": "Show what a token is",
        "renew": "Extend a token's life",
        "revoke": "Revoke a token and its children",
    },
)
print_group = _group(
    "print", "Print what the command line itself would use.", "local", {"token": "The token in effect"}
)

root = LazyGroup(
    "chancery",
    {
        **_entries(
            "data",
            {
                "delete": "Delete what is at a path",
                "list": "List what is below a path",
                "patch": "Change some fields of what is at a path",
                "read": "Read what is at a path",
                "unwrap": "Unwrap a wrapped answer",
                "write": "Write to a path",
            },
        ),
        **_entries("login", {"login": "Authenticate, and keep the token"}),
        **_entries("status", {"status": "Show whether the server is sealed"}),
        **_entries("server", {"server": "Run a server"}),
        **_entries("path_help", {"path-help": "Show what the API offers at a path"}),
        **_entries("local", {"version": "Print the version"}),
        "audit": Entry(f"{__name__}:audit_group", "Work with audit devices"),
        "operator": Entry(f"{__name__}:operator_group", "Initialise, unseal and seal a server; change its keys"),
        "lease": Entry(f"{__name__}:lease_group", "Work with leases"),
        "policy": Entry(f"{__name__}:policy_group", "Work with policies"),
        "print": Entry(f"{__name__}:print_group", "Print what the command line would use"),
        "secrets": Entry(f"{__name__}:secrets_group", "Work with secrets engines"),
        "token": Entry(f"{__name__}:token_group", "Work with tokens"),
    },
    "A certificate authority whose keys stay in your HSM or cloud KMS. It speaks Vault's HTTP API, and so does this "
    "command: it works with any server that does.",
    unknown=UNKNOWN_COMMAND,
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    words = list(arguments)
    if words[:1] in (["-v"], ["-version"], ["--version"]):
        words[0] = "version"
    try:
        result = root.main(words, prog_name="chancery", standalone_mode=False)
        sys.stdout.flush()
    except CurlInstead as instead:
        click.echo(instead.message)
        return 0
    except ChanceryError as error:
        return _fail(error.message, error.exit_code if isinstance(error, CommandFailed) else REMOTE_ERROR)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader went away, as `| head` does. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE_ERROR
    return result if isinstance(result, int) else 0


def _fail(message: str, exit_code: int) -> int:
    click.echo(alarming(message, sys.stderr), err=True)
    return exit_code


def main() -> NoReturn:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))
