"""How commands are declared: click commands and groups that read Go's grammar and load nothing they do not run."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Flag as Choices
from enum import auto
from importlib import import_module
from typing import Any

import click

from chancery.cli.connection import ConnectionFlags
from chancery.cli.environment import Environment
from chancery.cli.failures import USAGE_ERROR, UsageFailed
from chancery.cli.flags import Flag, connection_flags, field_flag, format_flag
from chancery.cli.grammar import FlagSyntax, translate
from chancery.cli.output import Output, choose_format
from chancery.cli.session import Session
from chancery.cli.terminal import cautious

Body = Callable[..., int | None]
"""A command's function. Returns its exit code; None is 0."""


class Prints(Choices):
    """What a command's output can be."""

    FORMAT = auto()
    """Has `-format`."""
    FIELD = auto()
    """Has `-field`."""
    RAW = auto()
    """`-format=raw` makes sense."""


@dataclass(frozen=True, slots=True)
class Arity:
    """How many arguments a command takes; `most=None` is any number."""

    least: int = 0
    most: int | None = 0

    def check(self, count: int) -> None:
        """Raise UsageFailed unless the count is right."""
        if count < self.least:
            raise UsageFailed(f"Not enough arguments (expected {self._expected()}, got {count})")
        if self.most is not None and count > self.most:
            raise UsageFailed(f"Too many arguments (expected {self._expected()}, got {count})")

    def _expected(self) -> str:
        return f"{self.least}" if self.most in {None, self.least} else f"{self.least}-{self.most}"


class GoCommand(click.Command):
    """A command with Go's flags. Its single click argument takes everything that is not a flag."""

    def __init__(self, name: str, body: Body, *, usage: str, arity: Arity, flags: Sequence[Flag]) -> None:
        everything = click.Argument(["arguments"], nargs=-1)
        super().__init__(name, callback=body, params=[*flags, everything], help=body.__doc__, add_help_option=False)
        self.usage = usage
        self.arity = arity
        self.flags = tuple(flags)

    @property
    def syntax(self) -> Mapping[str, FlagSyntax]:
        """Return every spelling of every flag."""
        return {spelling: flag.syntax for flag in self.flags for spelling in (flag.spelling, *flag.aliases)}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Translate from Go, then let click read it. Raises UsageFailed."""
        line = translate(args, self.syntax)
        if line.wants_help:
            click.echo(self.get_help(ctx))
            ctx.exit()
        if line.misplaced:
            late = " ".join(line.misplaced)
            click.echo(cautious(f"Flags come before arguments; taken as arguments: {late}", sys.stderr), err=True)
        self.arity.check(len(line.arguments))
        return super().parse_args(ctx, line.for_click())

    def get_help(self, ctx: click.Context) -> str:
        """Return usage, description and flags."""
        formatter = click.HelpFormatter(width=100)
        formatter.write_usage(ctx.command_path, f"[options] {self.usage}".strip())
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_paragraphs(self.help or ""))
        if self.flags:
            with formatter.section("Options"):
                formatter.write_dl([(flag.usage(), flag.help or "") for flag in self.flags], col_max=36)
        return formatter.getvalue().rstrip("\n")


def _paragraphs(docstring: str) -> str:
    """Unindent a docstring and join the lines of each paragraph."""
    lines = [line.strip() for line in docstring.strip().splitlines()]
    return "\n\n".join(" ".join(block.split("\n")) for block in "\n".join(lines).split("\n\n"))


def local_command(
    name: str, *, usage: str = "", arity: Arity, flags: Sequence[Flag] = ()
) -> Callable[[Body], GoCommand]:
    """Declare a command that talks to no server: `body(arguments, **flags)`."""

    def declare(body: Body) -> GoCommand:
        return GoCommand(name, body, usage=usage, arity=arity, flags=flags)

    return declare


_PLAIN = Prints(0)


def remote_command(
    name: str, *, usage: str = "", arity: Arity, prints: Prints = _PLAIN, flags: Sequence[Flag] = ()
) -> Callable[[Body], GoCommand]:
    """Declare a command that talks to a server: `body(session, arguments, **flags)`."""
    output_flags = [
        *([field_flag()] if Prints.FIELD in prints else []),
        *([format_flag()] if Prints.FORMAT in prints else []),
    ]

    def declare(body: Body) -> GoCommand:
        def run(arguments: tuple[str, ...], **values: Any) -> int | None:
            session = _open_session(values, prints)
            return body(session, arguments, **values)

        run.__doc__ = body.__doc__
        return GoCommand(name, run, usage=usage, arity=arity, flags=[*flags, *output_flags, *connection_flags()])

    return declare


def _open_session(values: dict[str, Any], prints: Prints) -> Session:
    """Take the common flags out of the values and make a session of them."""
    environment = Environment(os.environ)
    common = ConnectionFlags(**{part.name: values.pop(part.name) for part in fields(ConnectionFlags)})
    form = choose_format(values.pop("format", None), environment, allows_raw=Prints.RAW in prints)
    output = Output(form, values.pop("field", ""), sys.stdout, sys.stderr)
    return Session(common, output, environment)


@dataclass(frozen=True, slots=True)
class Entry:
    """A command in a group: where it is (`module:attribute`), and what help says of it."""

    source: str
    summary: str

    def load(self) -> click.Command:
        """Import and return it."""
        module, _, attribute = self.source.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group that imports a command when it is called."""

    def __init__(
        self, name: str, entries: Mapping[str, Entry], description: str, *, unknown: int = USAGE_ERROR
    ) -> None:
        super().__init__(name, help=description, add_help_option=False)
        self.entries = entries
        self.unknown_exit_code = unknown

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature is click's
        """Return the names in alphabetical order."""
        return sorted(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command, or None."""
        entry = self.entries.get(cmd_name)
        return entry.load() if entry else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Answer calls for help, and refuse what is no command by showing what there is."""
        if args and args[0].lstrip("-") in {"h", "help"} and args[0].startswith("-"):
            click.echo(self.get_help(ctx))
            ctx.exit()
        if not args or args[0] not in self.entries:
            if args:
                click.echo(f"unknown command: {args[0]}\n", err=True)
            click.echo(self.get_help(ctx), err=True)
            ctx.exit(self.unknown_exit_code)
        return super().parse_args(ctx, ["--", *args])

    def get_help(self, ctx: click.Context) -> str:
        """Return usage and the commands, without importing any."""
        formatter = click.HelpFormatter(width=100)
        formatter.write_usage(ctx.command_path, "<command> [options] [arguments]")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_paragraphs(self.help or ""))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.entries[name].summary) for name in self.list_commands(ctx)])
        return formatter.getvalue().rstrip("\n")
