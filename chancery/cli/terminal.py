"""Niceties for people at a terminal: colour, hidden prompts, a spinner. Pipes and files see none of it.

Rich is loaded only when something is to be coloured; `NO_COLOR` turns that off.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from chancery.cli.failures import CommandFailed

_BRIGHT_RED = "\x1b[91m"
_YELLOW = "\x1b[33m"
_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_PLAIN = "\x1b[0m"


class NoTerminal(CommandFailed):
    """Something must be asked, and nobody is there to answer."""


def is_colourful(stream: TextIO) -> bool:
    """Tell whether to colour what goes to the stream."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def alarming(text: str, stream: TextIO) -> str:
    """Return an error message, red where there is colour."""
    return f"{_BRIGHT_RED}{text}{_PLAIN}" if is_colourful(stream) else text


def cautious(text: str, stream: TextIO) -> str:
    """Return a warning, yellow where there is colour."""
    return f"{_YELLOW}{text}{_PLAIN}" if is_colourful(stream) else text


def table(text: str, stream: TextIO) -> str:
    """Return a table with its headings set off; other text as it is."""
    headings, _, rest = text.partition("\n")
    rule, _, rows = rest.partition("\n")
    if not is_colourful(stream) or set(rule) != {"-", " "}:
        return text
    return f"{_BOLD}{headings}{_PLAIN}\n{_DIM}{rule}{_PLAIN}\n{rows}"


def structured(text: str, stream: TextIO) -> str:
    """Return JSON or YAML with keys, strings and numbers in colour."""
    if not is_colourful(stream):
        return text
    from io import StringIO

    from rich.console import Console
    from rich.highlighter import JSONHighlighter

    console = Console(file=StringIO(), force_terminal=True, width=1 << 20)
    with console.capture() as captured:
        console.print(JSONHighlighter()(text), soft_wrap=True, end="")
    return captured.get()


def ask_hidden(prompt: str, *, remedy: str, non_interactive: bool = False) -> str:
    """Ask for a secret without echo. Raises NoTerminal, saying how else to give it, when nobody can be asked."""
    if non_interactive or not sys.stdin.isatty():
        why = "-non-interactive is set" if non_interactive else "standard input is not a terminal"
        raise NoTerminal(f"cannot ask for it: {why}; {remedy}")
    import getpass

    return getpass.getpass(prompt, stream=sys.stderr).strip()


@contextmanager
def waiting(text: str, stream: TextIO) -> Iterator[None]:
    """Show a spinner on a terminal while something takes its time."""
    if not is_colourful(stream):
        yield
        return
    from rich.console import Console

    with Console(file=stream).status(text):
        yield
