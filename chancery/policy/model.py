"""What a policy says, once its text is understood: rules for paths, with their capabilities and limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from chancery.policy.templates import Template

ParameterValue = str | int | float | bool | None | list["ParameterValue"] | dict[str, "ParameterValue"]
"""A value that a policy allows or denies for a parameter; text may begin or end with `*`."""

ParameterValues = Mapping[str, tuple[ParameterValue, ...]]
"""Values by the folded name of the parameter; no values means any value, `*` any parameter."""

NO_PARAMETERS: ParameterValues = {}


class Capability(StrEnum):
    """What a rule grants. `DENY` overrides all others; `ROOT` is only ever an answer, never written in a policy."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    LIST = "list"
    PATCH = "patch"
    SUDO = "sudo"
    DENY = "deny"
    SCAN = "scan"
    SUBSCRIBE = "subscribe"
    RECOVER = "recover"
    ROOT = "root"


@dataclass(frozen=True, slots=True)
class Limits:
    """What narrows a grant. Durations in seconds, 0 = no limit."""

    allowed: ParameterValues = field(default_factory=lambda: NO_PARAMETERS)
    denied: ParameterValues = field(default_factory=lambda: NO_PARAMETERS)
    required: tuple[str, ...] = ()
    min_wrapping_ttl: int = 0
    max_wrapping_ttl: int = 0

    def __bool__(self) -> bool:
        """Tell whether there is any limit at all."""
        return bool(self.allowed or self.denied or self.required or self.min_wrapping_ttl or self.max_wrapping_ttl)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class PathRule:
    """One `path` block. `pattern` is as written, without a leading slash."""

    pattern: str
    capabilities: frozenset[Capability]
    limits: Limits = NO_LIMITS
    template: Template | None = None
    """The pattern cut at what it says of the caller, if it says anything."""

    @property
    def is_segmented(self) -> bool:
        """Tell whether `+` stands for a whole segment somewhere (its counterpart `*` may still end the pattern)."""
        return self.pattern == "+" or self.pattern.startswith("+/") or "/+" in self.pattern

    @property
    def is_prefix(self) -> bool:
        """Tell whether the pattern ends in `*`: whatever begins like it matches."""
        return self.pattern.endswith("*")


@dataclass(frozen=True, slots=True)
class Policy:
    """A named set of rules. `warnings` are for the author: what the text says is legal and hardly what was meant."""

    name: str
    rules: tuple[PathRule, ...]
    warnings: tuple[str, ...] = ()
