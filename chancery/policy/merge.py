"""Rules with the same pattern become one grant. Pure.

Capabilities unite and deny removes everything else. Limits unite as in Vault: values of one parameter join, an empty
list (any value) swallows the others, the shorter wrapping TTLs win.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from chancery.policy.model import Capability, Limits, ParameterValues, PathRule, Policy
from chancery.policy.templates import Subject, Template

_DENY = frozenset({Capability.DENY})


@dataclass(frozen=True, slots=True)
class Grant:
    """What all policies together say about one pattern. `limits` is None when there are none."""

    capabilities: frozenset[Capability]
    limits: Limits | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether anything is granted at all."""
        return bool(self.capabilities) and self.capabilities != _DENY


def merge(policies: Iterable[Policy], subject: Subject | None = None) -> dict[str, Grant]:
    """Return one grant a pattern, over all policies. Rules that name an identity speak only of a known subject.

    Raises ActsAsPattern when a value of the subject would be a wildcard.
    """
    grants: dict[str, Grant] = {}
    for policy in policies:
        for written in policy.rules:
            rule = written if written.template is None else _rendered(written, written.template, subject)
            if rule is not None:
                known = grants.get(rule.pattern)
                grants[rule.pattern] = _grant(rule) if known is None else _joined(known, rule)
    return grants


def _rendered(rule: PathRule, template: Template, subject: Subject | None) -> PathRule | None:
    rendered = template.render(subject) if subject is not None else None
    if rendered is None:
        return None
    if rendered.is_torn:
        return PathRule(rendered.pattern, _DENY)
    return replace(rule, pattern=rendered.pattern, template=None)


def _grant(rule: PathRule) -> Grant:
    return Grant(rule.capabilities, rule.limits or None)


def _joined(known: Grant, rule: PathRule) -> Grant:
    if known.capabilities == _DENY:
        return known
    if Capability.DENY in rule.capabilities:
        return Grant(_DENY)
    return Grant(known.capabilities | rule.capabilities, _joined_limits(known.limits, rule.limits))


def _joined_limits(known: Limits | None, more: Limits) -> Limits | None:
    if known is None:
        return more or None
    return Limits(
        allowed=_joined_parameters(known.allowed, more.allowed),
        denied=_joined_parameters(known.denied, more.denied),
        required=tuple(dict.fromkeys((*known.required, *more.required))),
        min_wrapping_ttl=_shorter(known.min_wrapping_ttl, more.min_wrapping_ttl),
        max_wrapping_ttl=_shorter(known.max_wrapping_ttl, more.max_wrapping_ttl),
    )


def _joined_parameters(known: ParameterValues, more: ParameterValues) -> ParameterValues:
    joined = dict(known)
    for name, values in more.items():
        present = joined.get(name)
        if present is None:
            joined[name] = values
        else:
            joined[name] = (*values, *present) if values and present else ()
    return joined


def _shorter(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other
