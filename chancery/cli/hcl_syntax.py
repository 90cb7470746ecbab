"""HCL 1, the language of policies, read with its comments: what a formatter needs and an evaluator throws away."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias


class PolicySyntax(ValueError):
    """The text is not HCL. The message says where and why."""


class Kind(Enum):
    """Kinds of token."""

    COMMENT = auto()
    STRING = auto()
    HEREDOC = auto()
    WORD = auto()
    MARK = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its text, and the lines on which it begins and ends."""

    kind: Kind
    text: str
    line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean or heredoc, as written."""

    text: str


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a list, with the comments above it and the one behind it."""

    lead: tuple[str, ...]
    value: "Value"
    trailing: str
    follows_blank: bool


@dataclass(frozen=True, slots=True)
class List:
    """A list. `tail` are comments after the last element."""

    elements: tuple[Element, ...]
    is_on_one_line: bool
    tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """`keys = value` or `keys { ... }`, with the comments that belong to it."""

    lead: tuple[str, ...]
    keys: tuple[str, ...]
    is_assignment: bool
    value: "Value"
    trailing: str
    line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Remark:
    """Comments that stand alone, blank lines around them."""

    lines: tuple[str, ...]
    line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Body:
    """What is between braces, or the whole file, in order."""

    parts: tuple[Item | Remark, ...]


Value: TypeAlias = Literal | List | Body

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n\ufeff]+)
    | (?P<COMMENT>\#[^\n]* | //[^\n]* | /\*.*?\*/)
    | (?P<HEREDOC><<-?(?P<mark>\w+)[ \t]*\r?\n(?:.*?\r?\n)??[ \t]*(?P=mark)(?=\r?\n|\Z))
    | (?P<STRING>"(?:[^"\\\n$] | \\. | \$(?!\{) | \$\{(?:[^}"] | "(?:[^"\\\n]|\\.)*")*\})*")
    | (?P<WORD>[\w.+-]+)
    | (?P<MARK>[][{}=,])
    """,
    re.VERBOSE | re.DOTALL,
)


def tokenize(text: str) -> list[Token]:
    """Cut text into tokens, comments included. Raises PolicySyntax at the first character that begins none."""
    tokens: list[Token] = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise PolicySyntax(f"line {line}: nothing in HCL begins with {text[position]!r}")
        last_line = line + match[0].count("\n")
        kind = next(
            (kind for kind in ("COMMENT", "HEREDOC", "STRING", "WORD", "MARK") if match[kind] is not None), None
        )
        if kind is not None:
            tokens.append(Token(Kind[kind], match[0].rstrip("\r"), line, last_line))
        position, line = match.end(), last_line
    return [*tokens, Token(Kind.END, "", line, line)]


class _Parser:
    """Reads tokens into a tree; comments find their place by their lines."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._last_line = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._next
        self._position += 1
        self._last_line = token.last_line
        return token

    def _is(self, mark: str) -> bool:
        return self._next.kind is Kind.MARK and self._next.text == mark

    def _wrong(self, expected: str) -> PolicySyntax:
        token = self._next
        found = "the end of the file" if token.kind is Kind.END else token.text.partition("\n")[0]
        return PolicySyntax(f"line {token.line}: expected {expected}, found {found}")

    def _comments(self) -> list[Remark]:
        """Take the comments that come next; lines without a blank between them make one remark."""
        remarks: list[Remark] = []
        while self._next.kind is Kind.COMMENT:
            token = self._take()
            if remarks and token.line == remarks[-1].last_line + 1:
                last = remarks.pop()
                remarks.append(Remark((*last.lines, token.text.rstrip()), last.line, token.last_line))
            else:
                remarks.append(Remark((token.text.rstrip(),), token.line, token.last_line))
        return remarks

    def _trailing(self) -> str:
        """Take the comment that ends the line of what was just read."""
        is_behind = self._next.kind is Kind.COMMENT and self._next.line == self._last_line
        ends_line = is_behind and self._tokens[self._position + 1].line > self._next.last_line
        at_end = is_behind and self._tokens[self._position + 1].kind is Kind.END
        return self._take().text.rstrip() if ends_line or at_end else ""

    def body(self, closing: str) -> Body:
        """Read items up to a closing brace, or to the end of the file. A comment behind the brace stands alone."""
        parts: list[Item | Remark] = []
        if closing and (comment := self._trailing()):
            parts.append(Remark((comment,), self._last_line, self._last_line))
        while True:
            remarks = self._comments()
            ends = self._next.kind is Kind.END if not closing else self._is(closing)
            if ends:
                return Body((*parts, *remarks))
            belongs = bool(remarks) and self._next.line == remarks[-1].last_line + 1
            lead = remarks.pop() if belongs else None
            parts += [*remarks, self._item(lead)]

    def _item(self, lead: Remark | None) -> Item:
        line = lead.line if lead else self._next.line
        keys: list[str] = []
        while self._next.kind in {Kind.STRING, Kind.WORD}:
            keys.append(self._take().text)
        if not keys:
            raise self._wrong("a name")
        is_assignment = self._is("=")
        if is_assignment:
            self._take()
        elif not self._is("{"):
            raise self._wrong('"=" or "{"')
        value = self._value()
        last_line = self._last_line
        if self._is(","):
            self._take()
        return Item(lead.lines if lead else (), tuple(keys), is_assignment, value, self._trailing(), line, last_line)

    def _value(self) -> Value:
        token = self._next
        if token.kind in {Kind.STRING, Kind.HEREDOC, Kind.WORD}:
            return Literal(self._take().text)
        if self._is("["):
            return self._list()
        if self._is("{"):
            self._take()
            body = self.body("}")
            self._take()
            return body
        raise self._wrong("a value")

    def _list(self) -> List:
        first_line = self._take().line
        elements: list[Element] = []
        while True:
            before = self._last_line
            lead = [line for remark in self._comments() for line in remark.lines]
            if self._is("]"):
                self._take()
                return List(tuple(elements), self._last_line == first_line, tuple(lead))
            follows_blank = bool(elements) and self._next.line - before > len(lead) + 1
            value = self._value()
            trailing = self._trailing()
            if self._is(","):
                self._take()
            elif not self._is("]") and self._next.kind is not Kind.COMMENT:
                raise self._wrong('"," or "]"')
            elements.append(Element(tuple(lead), value, trailing or self._trailing(), follows_blank))


def parse(text: str) -> Body:
    """Read a whole file. Raises PolicySyntax."""
    return _Parser(tokenize(text)).body("")
