"""Patterns that name the caller: `{{identity.entity.id}}` and its kin. Parsed once, rendered for each entity. Pure.

What may be named: `identity.entity.id`, `.name`, `.metadata.KEY`, and for the alias at a mount
`identity.entity.aliases.ACCESSOR.id`, `.name`, `.metadata.KEY`, `.custom_metadata.KEY`.

Law: a value never widens a rule.

- A value that is missing or empty makes the rule match nothing.
- A value with a `/` would reach out of the segment that its author thought of: the rule denies where it would grant.
- A value that would act as a wildcard (any `*`; a segment that is `+`) raises `ActsAsPattern`: nothing is permitted,
  for the rule that cannot be written down could be the one that denies.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class SubjectAlias:
    """How one auth mount knows the caller."""

    id: str
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    custom_metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a pattern is rendered for. `version` changes whenever anything else of it does."""

    id: str
    version: int
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, SubjectAlias] = field(default_factory=dict)
    """By the accessor of the mount."""


class ActsAsPattern(Exception):
    """A value of the caller's identity would be a wildcard in a path. Carries the selector, never the value."""

    def __init__(self, selector: str) -> None:
        super().__init__(selector)
        self.selector = selector


@dataclass(frozen=True, slots=True)
class Rendered:
    """A pattern for one caller. `is_torn`: a value brought a `/` along."""

    pattern: str
    is_torn: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A pattern cut at its selectors: `literals` has one item more than `selectors`."""

    literals: tuple[str, ...]
    selectors: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str) -> "Template":
        """Cut a pattern. Raises ValueError, with a reason fit for a client, for braces that do not pair."""
        pieces = _PLACE.split(pattern)
        literals, selectors = tuple(pieces[::2]), tuple(pieces[1::2])
        if any("{{" in literal or "}}" in literal for literal in literals):
            raise ValueError("failed to validate policy templating: unbalanced templating characters")
        return cls(literals, selectors)

    def unknown(self) -> list[str]:
        """Return the selectors that can never have a value."""
        return [selector for selector in self.selectors if not _is_known(selector)]

    def render(self, subject: Subject) -> Rendered | None:
        """Write the pattern for a caller; None when a value is missing. Raises ActsAsPattern."""
        text, is_torn = self.literals[0], False
        for selector, literal in zip(self.selectors, self.literals[1:], strict=True):
            value = _value(selector, subject)
            if not value:
                return None
            if "*" in value or "+" in value.split("/"):
                raise ActsAsPattern(selector)
            is_torn = is_torn or "/" in value
            text += value + literal
        return Rendered(text, is_torn)


_ENTITY = "identity.entity."
_ALIASES = "aliases."


def _value(selector: str, subject: Subject) -> str:
    if not selector.startswith(_ENTITY):
        return ""
    rest = selector.removeprefix(_ENTITY)
    if not rest.startswith(_ALIASES):
        return _of(rest, subject.id, subject.name, {"metadata": subject.metadata})
    accessor, _, attribute = rest.removeprefix(_ALIASES).partition(".")
    alias = subject.aliases.get(accessor)
    if alias is None:
        return ""
    maps = {"metadata": alias.metadata, "custom_metadata": alias.custom_metadata}
    return _of(attribute, alias.id, alias.name, maps)


def _of(attribute: str, identifier: str, name: str, maps: Mapping[str, Mapping[str, str]]) -> str:
    if attribute == "id":
        return identifier
    if attribute == "name":
        return name
    kind, _, key = attribute.partition(".")
    return maps.get(kind, {}).get(key, "")


_KNOWN = re.compile(
    r"identity\.entity\.(?:id|name|metadata\..+|aliases\.[^.]+\.(?:id|name|metadata\..+|custom_metadata\..+))"
)


def _is_known(selector: str) -> bool:
    return _KNOWN.fullmatch(selector) is not None
