"""The syntax of HCL 1, as policies use it: blocks, attributes, literals, lists, objects, here-documents, comments.

Nothing is ever evaluated: `${...}` is text like any other. Reading is one pass over the text without backtracking, and
nesting is bounded, so the time is proportional to the size whatever the text says. The JSON form gives the same tree.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_DEPTH = 32
"""Nesting that no honest policy reaches."""

_MAX_NUMBER = 40
_MAX_QUOTED = 120


@dataclass(frozen=True, slots=True)
class Body:
    """The inside of a block or an object, in the order written; names may repeat."""

    entries: tuple["Entry", ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """`keys... = value` or `keys... { ... }`. `line` counts from 1; 0 where the form has no lines (JSON)."""

    keys: tuple[str, ...]
    value: "Value"
    line: int = 0


Value: TypeAlias = "str | int | float | bool | tuple[Value, ...] | Body | None"


class SyntaxProblem(ValueError):
    """The text is not HCL (or JSON); the message says where."""


def parse(text: str) -> Body:
    """Read HCL, or JSON when the first visible character is a brace. Raises SyntaxProblem."""
    if text.lstrip().startswith("{"):
        return _parse_json(text)
    return _Parser(text).body()


def plain(value: Value) -> Any:
    """Turn a value into ordinary Python: Body to dict (the last of equal names wins), tuple to list."""
    if isinstance(value, Body):
        return {" ".join(entry.keys): plain(entry.value) for entry in value.entries}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def shortened(text: str) -> str:
    """Cut a piece of the author's text for a message."""
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


def _parse_json(text: str) -> Body:
    try:
        tree = json.loads(text, object_pairs_hook=_json_body)
    except RecursionError:
        raise SyntaxProblem("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise SyntaxProblem(f"line {error.lineno}, column {error.colno}: {error.msg.lower()}") from None
    except ValueError:  # what int() says to absurdly long numbers
        raise SyntaxProblem("a number is too long") from None
    assert isinstance(tree, Body), "text that begins with a brace is an object"
    _demand_depth(tree, MAX_DEPTH)
    return tree


def _json_body(pairs: list[tuple[str, Any]]) -> Body:
    return Body(tuple(Entry((name,), _json_value(value)) for name, value in pairs))


def _json_value(value: Any) -> Value:
    frozen: Value = tuple(_json_value(item) for item in value) if isinstance(value, list) else value
    return frozen


def _demand_depth(value: Value, left: int) -> None:
    if left == 0:
        raise SyntaxProblem("nested too deeply")
    if isinstance(value, Body):
        for entry in value.entries:
            _demand_depth(entry.value, left - 1)
    elif isinstance(value, tuple):
        for item in value:
            _demand_depth(item, left - 1)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`name`, `string`, `number`, `end`, or the punctuation itself."""
    value: str | int | float
    position: int


_BLANK = re.compile(r"(?:[ \t\r\n\ufeff]+|#[^\n]*|//[^\n]*)+")
_NAME = re.compile(r"[^\W\d][\w.-]*")
_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
_HEREDOC = re.compile(r"<<(-?)([^\W\d][\w.-]*)[ \t]*\r?\n")
_IN_STRING = re.compile(r'["\\\n]|\$\{|[{}]')
_PUNCTUATION = frozenset("{}[]=,")
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))")
_SIMPLE_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip


class _Lexer:
    """Cuts the text into tokens, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def problem(self, position: int, reason: str) -> SyntaxProblem:
        """Build the error for a place in the text."""
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        return SyntaxProblem(f"line {line}, column {column}: {reason}")

    def lines(self) -> Iterator[int]:
        """Yield the positions of line ends."""
        return (match.start() for match in re.finditer("\n", self._text))

    def next(self) -> _Token:
        """Return the next token."""
        self._skip_blanks()
        text, start = self._text, self._position
        if start == len(text):
            return _Token("end", "", start)
        character = text[start]
        if character in _PUNCTUATION:
            self._position = start + 1
            return _Token(character, character, start)
        if character == '"':
            return _Token("string", self._string(start), start)
        if character == "<":
            return _Token("string", self._heredoc(start), start)
        if (name := _NAME.match(text, start)) is not None:
            self._position = name.end()
            return _Token("name", name[0], start)
        if (number := _NUMBER.match(text, start)) is not None:
            self._position = number.end()
            return _Token("number", self._number(number[0], start), start)
        raise self.problem(start, "unexpected character")

    def _skip_blanks(self) -> None:
        while True:
            blank = _BLANK.match(self._text, self._position)
            if blank is not None:
                self._position = blank.end()
            if not self._text.startswith("/*", self._position):
                return
            end = self._text.find("*/", self._position + 2)
            if end < 0:
                raise self.problem(self._position, "comment is not closed")
            self._position = end + 2

    def _number(self, text: str, position: int) -> int | float:
        if len(text) > _MAX_NUMBER:
            raise self.problem(position, "number is too long")
        if "x" in text or "X" in text:
            return int(text, 16)
        return float(text) if any(mark in text for mark in ".eE") else int(text)

    def _string(self, start: int) -> str:
        """Read a quoted string. Inside `${...}` quotes and line ends do not count, as in HCL 1."""
        text, position, braces = self._text, start + 1, 0
        pieces: list[str] = []
        while True:
            mark = _IN_STRING.search(text, position)
            if mark is None or (mark[0] == "\n" and not braces):
                raise self.problem(start, "string is not closed")
            pieces.append(text[position : mark.start()])
            position = mark.end()
            if mark[0] == '"' and not braces:
                self._position = position
                return "".join(pieces)
            if mark[0] == "\\" and not braces:
                piece, position = self._escape(mark.start())
                pieces.append(piece)
                continue
            pieces.append(mark[0])
            if mark[0] == "${" or (mark[0] == "{" and braces):
                braces += 1
            elif mark[0] == "}" and braces:
                braces -= 1

    def _escape(self, position: int) -> tuple[str, int]:
        escape = _ESCAPE.match(self._text, position)
        if escape is None:
            raise self.problem(position, "unknown escape sequence in a string")
        simple, two, four, eight, octal = escape.groups()
        if simple:
            return _SIMPLE_ESCAPES[simple], escape.end()
        code = int(octal, 8) if octal else int(two or four or eight, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self.problem(position, "escape sequence names no character")
        return chr(code), escape.end()

    def _heredoc(self, start: int) -> str:
        opening = _HEREDOC.match(self._text, start)
        if opening is None:
            raise self.problem(start, "unexpected character")
        indented, marker = bool(opening[1]), opening[2]
        lines: list[str] = []
        position = opening.end()
        while position < len(self._text):
            end = self._text.find("\n", position)
            end = len(self._text) if end < 0 else end
            line = self._text[position:end]
            if (line.strip() if indented else line.rstrip("\r")) == marker:
                self._position = end
                return "".join(f"{piece}\n" for piece in (_outdented(lines) if indented else lines))
            lines.append(line)
            position = end + 1
        raise self.problem(start, f"here-document is not closed by a line with {shortened(marker)}")


def _outdented(lines: list[str]) -> list[str]:
    margins = [len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()]
    margin = min(margins, default=0)
    return [line[margin:] for line in lines]


class _Parser:
    """Recursive descent over the tokens, one ahead."""

    def __init__(self, text: str) -> None:
        self._lexer = _Lexer(text)
        self._token = self._lexer.next()
        self._line_ends = self._lexer.lines()
        self._line, self._line_end = 1, next(self._line_ends, len(text))

    def body(self) -> Body:
        """Read the whole text."""
        return self._entries("end", MAX_DEPTH)

    def _entries(self, closing: str, depth: int) -> Body:
        line = self._line_of(self._token)
        entries: list[Entry] = []
        while self._token.kind != closing:
            entries.append(self._entry(depth))
            if self._token.kind == ",":
                self._advance()
        return Body(tuple(entries), line)

    def _entry(self, depth: int) -> Entry:
        keys: list[str] = []
        first = self._token
        line = self._line_of(first)
        while self._token.kind in {"name", "string"}:
            keys.append(str(self._token.value))
            self._advance()
        if not keys:
            raise self._unexpected("a name")
        if self._token.kind == "{":
            return Entry(tuple(keys), self._block(depth), line)
        if self._token.kind != "=":
            raise self._unexpected(f'"=" or "{{" after {shortened(keys[-1])!r}')
        if len(keys) > 1:
            raise self._unexpected('"{" after the label of a block')
        self._advance()
        return Entry(tuple(keys), self._value(depth), line)

    def _block(self, depth: int) -> Body:
        if depth == 1:
            raise self._lexer.problem(self._token.position, "nested too deeply")
        self._advance()
        body = self._entries("}", depth - 1)
        self._advance()
        return body

    def _value(self, depth: int) -> Value:
        token = self._token
        if token.kind in {"string", "number"}:
            self._advance()
            return token.value
        if token.kind == "name" and token.value in {"true", "false"}:
            self._advance()
            return token.value == "true"
        if token.kind == "{":
            return self._block(depth)
        if token.kind == "[":
            return self._list(depth)
        raise self._unexpected("a value: a quoted string, a number, true, false, a list or an object")

    def _list(self, depth: int) -> tuple[Value, ...]:
        if depth == 1:
            raise self._lexer.problem(self._token.position, "nested too deeply")
        self._advance()
        items: list[Value] = []
        while self._token.kind != "]":
            items.append(self._value(depth - 1))
            if self._token.kind == ",":
                self._advance()
            elif self._token.kind != "]":
                raise self._unexpected('"," or "]"')
        self._advance()
        return tuple(items)

    def _advance(self) -> None:
        self._token = self._lexer.next()

    def _line_of(self, token: _Token) -> int:
        while self._line_end < token.position:
            self._line += 1
            self._line_end = next(self._line_ends, token.position)
        return self._line

    def _unexpected(self, wanted: str) -> SyntaxProblem:
        found = "the end of the text" if self._token.kind == "end" else "something else"
        return self._lexer.problem(self._token.position, f"expected {wanted}, found {found}")
