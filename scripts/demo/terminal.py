"""Runs commands in front of an audience: shows each as it would be typed, then its real answer.

Plain text that reads well without colour; the middle of long PEM blocks is left out, and the place says so.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

_WIDTH = 100
_PEM_BODY = re.compile(r"(-----BEGIN [A-Z0-9 ]+-----\n(?:.*\n){2})((?:.*\n){4,}?)(.*\n-----END [A-Z0-9 ]+-----)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did: its exit status, and everything it printed."""

    status: int
    output: str


class Terminal:
    """A directory and an environment in which commands are shown and run."""

    def __init__(self, directory: Path, variables: Mapping[str, str], path: Sequence[Path]) -> None:
        """`variables` are shown as exports by `open`; `path` goes before PATH, so that programs need no folder."""
        self.directory = directory
        self.variables = dict(variables)
        search = os.pathsep.join([*map(str, path), os.environ.get("PATH", os.defpath)])
        self._environment = {**os.environ, "PATH": search, **self.variables}
        self._console = Console(highlight=False, soft_wrap=True)

    def open(self) -> None:
        """Show what a user would type first."""
        self._show(f"cd {shlex.quote(str(self.directory))}")
        for name, value in self.variables.items():
            self._show(f"export {name}={shlex.quote(value)}")

    def heading(self, number: int, title: str) -> None:
        """Begin a step."""
        self._console.print()
        self._console.print(Text(f"{number}. {title}", style="bold"))
        self._console.print()

    def say(self, text: str, style: str = "") -> None:
        """Print a line of explanation."""
        self._console.print(Text(text, style=style))

    def run(self, command: Sequence[str], *, into: str = "") -> Outcome:
        """Show a command and run it; `into` names a file that its output goes to, as a shell's `>` does."""
        self._show(shlex.join(command) + (f" > {into}" if into else ""))
        finished = subprocess.run(
            command,
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if into and finished.returncode == 0:
            (self.directory / into).write_text(finished.stdout)
        else:
            self._answer(finished.stdout)
        return Outcome(finished.returncode, finished.stdout)

    def _show(self, line: str) -> None:
        self._console.print(Text(f"  $ {_folded(line)}", style="cyan"))

    def _answer(self, output: str) -> None:
        for line in _PEM_BODY.sub(_shortened, output).rstrip().splitlines():
            self._console.print(Text(f"  {line}".rstrip()))


def _shortened(block: re.Match[str]) -> str:
    return f"{block[1]}[... {block[2].count(chr(10))} lines ...]\n{block[3]}"


def _folded(line: str) -> str:
    """Break a long command where a shell lets a line go on."""
    lines = [""]
    for word in re.findall(r"(?:'[^']*'|\S)+", line):
        if lines[-1] and len(lines[-1]) + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{word}"
    return " \\\n        ".join(lines)
