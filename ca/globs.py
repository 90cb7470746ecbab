"""Shell-like patterns where `*` stands for any text, dots and slashes included, as Vault's role fields have them.

Matching takes time linear in the text for each part of the pattern: no regular expression, nothing to backtrack.
"""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled pattern. Without `*` it matches exactly its own text."""

    first: str
    middle: tuple[str, ...]
    last: str | None
    """None when the pattern has no `*`."""

    @classmethod
    def compile(cls, pattern: str) -> Self:
        """Compile a pattern. Every text is one."""
        first, *rest = pattern.split("*")
        if not rest:
            return cls(first, (), None)
        return cls(first, tuple(filter(None, rest[:-1])), rest[-1])

    def matches(self, text: str) -> bool:
        """Tell whether the whole text is of this pattern."""
        if self.last is None:
            return text == self.first
        if len(text) < len(self.first) + len(self.last) or not text.startswith(self.first):
            return False
        if not text.endswith(self.last):
            return False
        at, end = len(self.first), len(text) - len(self.last)
        for part in self.middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True


@dataclass(frozen=True, slots=True)
class Globs:
    """A list of patterns of which one suffices. Exact texts are looked up, the others tried in turn."""

    exact: frozenset[str]
    patterns: tuple[Glob, ...]

    @classmethod
    def compile(cls, patterns: tuple[str, ...] | list[str]) -> Self:
        """Compile the patterns; empty ones match nothing."""
        exact = frozenset(text for text in patterns if text and "*" not in text)
        return cls(exact, tuple(Glob.compile(text) for text in patterns if "*" in text))

    def __bool__(self) -> bool:
        return bool(self.exact or self.patterns)

    def match(self, text: str) -> bool:
        """Tell whether some pattern matches the whole text."""
        return text in self.exact or any(pattern.matches(text) for pattern in self.patterns)
