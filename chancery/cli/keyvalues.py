"""`K=V` arguments: values from the command line, from files (`k=@file`, `@file.json`) and from stdin (`k=-`, `-`)."""

from collections.abc import Callable, Iterable
from pathlib import Path

from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Json
from chancery.cli.json_text import NotJson, decode

STDIN = "-"


class _Wrong(Exception):
    """What is wrong with one argument."""


class _Builder:
    """Collects values; a key that comes again makes a list."""

    def __init__(self, read_stdin: Callable[[], str]) -> None:
        self.values: dict[str, Json] = {}
        self._read_stdin = read_stdin
        self._stdin_is_used = False

    def add(self, argument: str) -> None:
        """Add one argument. Raises _Wrong."""
        key, equals, value = argument.partition("=")
        if equals:
            self._put(key, self._text_of(value))
        elif argument == STDIN:
            self._merge(self._stdin())
        elif argument.startswith("@"):
            self._merge(_read_file(argument[1:]))
        else:
            raise _Wrong("format must be key=value")

    def _text_of(self, value: str) -> str:
        if value.startswith("@"):
            return _read_file(value[1:])
        if value == STDIN:
            return self._stdin()
        return value.removeprefix("\\") if value.startswith("\\@") else value

    def _stdin(self) -> str:
        if self._stdin_is_used:
            raise _Wrong("stdin was already consumed by an earlier argument")
        self._stdin_is_used = True
        return self._read_stdin()

    def _merge(self, text: str) -> None:
        try:
            document = decode(text)
        except NotJson as error:
            raise _Wrong(f"not JSON: {error}") from error
        if not isinstance(document, dict):
            raise _Wrong('the JSON must be an object, such as {"key": "value"}')
        for key, value in document.items():
            self._put(key, value)

    def _put(self, key: str, value: Json) -> None:
        if key not in self.values:
            self.values[key] = value
            return
        present = self.values[key]
        self.values[key] = [*present, value] if isinstance(present, list) else [present, value]


def _read_file(name: str) -> str:
    """Return a file's text exactly as it is."""
    try:
        return Path(name).read_bytes().decode()
    except OSError as error:
        raise _Wrong(f"error reading file: open {name}: {(error.strerror or 'failed').lower()}") from error
    except UnicodeDecodeError:
        raise _Wrong(f"error reading file: {name} is not UTF-8 text: encode binary data in base64 first") from None


def parse_key_values(arguments: Iterable[str], read_stdin: Callable[[], str]) -> dict[str, Json]:
    """Read the arguments in order. Raises UsageFailed naming the argument; only its key when it has a value."""
    builder = _Builder(read_stdin)
    for argument in arguments:
        if not argument:
            continue
        try:
            builder.add(argument)
        except _Wrong as wrong:
            raise UsageFailed(f'Failed to parse K=V data: invalid key/value pair "{argument}": {wrong}') from None
    return builder.values
