"""Go's flag syntax, translated for click.

Go knows one and two dashes as the same thing, `-name=value` and `-name value`, booleans that take a value only after
`=`, and no flags after the first argument. Click knows GNU's syntax. `translate` is the whole difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chancery.cli.environment import parse_bool
from chancery.cli.failures import UsageFailed

HELP = frozenset({"h", "help"})


@dataclass(frozen=True, slots=True)
class FlagSyntax:
    """How one flag is written. `name` is its canonical spelling, without dashes; aliases share the same object."""

    name: str
    is_boolean: bool = False


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line, taken apart."""

    flags: tuple[tuple[str, str], ...]
    """Canonical name and value, in the order given; booleans are `true` or `false`."""
    arguments: tuple[str, ...]
    wants_help: bool = False
    misplaced: tuple[str, ...] = ()
    """Arguments that are spelled like a known flag but come too late to be one."""

    def for_click(self) -> list[str]:
        """Return the same in the syntax that click parses without any guessing."""
        return [*(f"--{name}={value}" for name, value in self.flags), "--", *self.arguments]


def translate(words: Sequence[str], syntax: Mapping[str, FlagSyntax]) -> CommandLine:
    """Take a command line apart as Go's flag package does. Raises UsageFailed in Go's words."""
    flags: list[tuple[str, str]] = []
    position = 0
    while position < len(words) and _is_flag(words[position]):
        word = words[position]
        position += 1
        if word == "--":
            return CommandLine(tuple(flags), tuple(words[position:]))
        name, has_value, value = _split(word)
        flag = syntax.get(name)
        if flag is None:
            if name in HELP:
                return CommandLine((), (), wants_help=True)
            raise UsageFailed(f"flag provided but not defined: -{name}")
        if flag.is_boolean:
            value = _boolean(name, value) if has_value else "true"
        elif not has_value:
            if position == len(words):
                raise UsageFailed(f"flag needs an argument: -{name}")
            value = words[position]
            position += 1
        flags.append((flag.name, value))
    arguments = tuple(words[position:])
    return CommandLine(tuple(flags), arguments, misplaced=tuple(_known_flags(arguments, syntax)))


def _is_flag(word: str) -> bool:
    """Tell whether a word is a flag; a lone dash is an argument."""
    return word.startswith("-") and word != "-"


def _split(word: str) -> tuple[str, bool, str]:
    """Return name, whether a value follows an equals sign, and that value."""
    body = word[2:] if word.startswith("--") else word[1:]
    if body.startswith(("-", "=")):
        raise UsageFailed(f"bad flag syntax: {word}")
    name, equals, value = body.partition("=")
    return name, bool(equals), value


def _boolean(name: str, value: str) -> str:
    try:
        return "true" if parse_bool(value) else "false"
    except ValueError as error:
        raise UsageFailed(f'invalid boolean value "{value}" for -{name}: {error}') from None


def _known_flags(arguments: Sequence[str], syntax: Mapping[str, FlagSyntax]) -> list[str]:
    """Return the arguments, up to a double dash, that would have been flags further left."""
    known = []
    for word in arguments:
        if word == "--":
            break
        if _is_flag(word) and word.lstrip("-").partition("=")[0] in syntax:
            known.append(word)
    return known
