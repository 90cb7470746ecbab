"""What goes to stdout: the formats, and `-field`."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from chancery.cli import terminal
from chancery.cli.answers import Secret
from chancery.cli.environment import Environment
from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Json, render
from chancery.cli.json_text import encode, sorted_keys
from chancery.cli.paragraphs import wrap
from chancery.cli.tables import secret_table

WARNING_WIDTH = 76


class Format(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    RAW = "raw"


_NAMES = {"table": Format.TABLE, "json": Format.JSON, "yaml": Format.YAML, "yml": Format.YAML, "raw": Format.RAW}


def choose_format(flag: str | None, environment: Environment, *, allows_raw: bool) -> Format:
    """Choose by flag, then environment, then `table`. Raises UsageFailed."""
    name = flag if flag is not None else environment.text("FORMAT", Format.TABLE)
    chosen = _NAMES.get(name.lower())
    if chosen is None:
        raise UsageFailed(f"Invalid output format: {name}")
    if chosen is Format.RAW and not allows_raw:
        raise UsageFailed("This command does not support the -format=raw option.")
    return chosen


@dataclass(frozen=True, slots=True)
class Output:
    """Prints answers in the chosen format; `field` narrows an answer to one of its fields."""

    format: Format
    field: str
    out: TextIO
    err: TextIO

    @property
    def is_table(self) -> bool:
        """Tell whether people rather than programs read this."""
        return self.format is Format.TABLE

    def line(self, text: str) -> None:
        """Print text and a line feed."""
        self.out.write(f"{text}\n")

    def success(self, text: str) -> None:
        """Say that it worked, unless a program reads along."""
        if self.is_table:
            self.line(text)

    def notice(self, text: str) -> None:
        """Print something worth knowing on stderr."""
        self.err.write(f"{terminal.cautious(text, self.err)}\n")

    def secret(self, secret: Secret) -> None:
        """Print an answer, or its one field. Raises UsageFailed when it has no such field."""
        if self.is_table:
            self.warnings(secret.warnings or ())
        if self.field:
            self.value(secret.field(self.field), "secret")
        elif not self.is_table:
            self.document(secret.document())
        elif table := secret_table(secret):
            self.line(terminal.table(table, self.out))

    def warnings(self, warnings: tuple[str, ...]) -> None:
        """Print the server's warnings on stderr, where they are not part of the document."""
        if not warnings:
            return
        wrapped = (wrap(f"* {text}", WARNING_WIDTH) for text in warnings)
        blocks = "\n".join("".join(f"  {line}\n" for line in lines) for lines in wrapped)
        self.notice(f"WARNING! The following warnings were returned from the server:\n\n{blocks}")

    def value(self, value: Json, where: str) -> None:
        """Print one field bare: no line feed for pipes, one for people. Raises UsageFailed when it is absent."""
        if value is None:
            raise UsageFailed(f'Field "{self.field}" not present in {where}')
        text = render(value) if self.format in {Format.TABLE, Format.RAW} else self._encoded(value)
        self.out.write(f"{text}\n" if self.out.isatty() else text)

    def document(self, document: Json, table: Callable[[], str] | None = None) -> None:
        """Print a document as it stands; as a table when that is the format and there is one."""
        if self.is_table and table is not None:
            self.line(terminal.table(table(), self.out))
        elif self.format is Format.YAML:
            self.line(terminal.structured(self._encoded(document).rstrip("\n"), self.out))
        else:
            self.line(terminal.structured(encode(document, indent=2), self.out))

    def raw(self, body: bytes) -> None:
        """Print a body as it came, and a line feed."""
        self.out.flush()
        self.out.buffer.write(body + b"\n")
        self.out.flush()

    def _encoded(self, value: Json) -> str:
        if self.format is Format.YAML:
            from chancery.cli.yaml_text import encode_yaml

            return encode_yaml(value)
        return encode(sorted_keys(value), indent=2)
