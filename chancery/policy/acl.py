"""What a set of policies permits, compiled for the hot path. Pure; no policy text, no storage, no clock.

Which rule speaks for a path (Vault's order):

1. the rule that is exactly the path (for LIST also without its trailing slash);
2. otherwise the most specific of all matching wildcard rules: the one whose first `+` or closing `*` comes latest;
   then one without a closing `*`; then the one with fewer `+`; then the longer; then the greater in byte order.

Only that one rule counts: a more specific rule hides a broader one. Rules with the same pattern, from whatever
policies, are merged first: capabilities unite, and `deny` removes all others.

LIST of `x/` looks for wildcard rules of `x` and of `x/` together, and lets the most specific one that grants `list`
speak, unless a rule that denies is more specific still: a deny on `x/*` cannot be passed by way of `x`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from typing import Any

from chancery.kit.request import Operation
from chancery.policy.merge import Grant, merge
from chancery.policy.model import Capability, Policy
from chancery.policy.parameters import permitted
from chancery.policy.templates import Subject

ROOT = "root"
"""The policy that permits everything; it has no text."""


class Decision(Enum):
    """The answer to a request, with the reason, for the audit log; clients only learn `permission denied`."""

    ALLOWED = "allowed"
    NO_RULE = "no rule of the token's policies matches the path"
    NOT_GRANTED = "the rule for the path does not grant the operation"
    NEEDS_SUDO = "the path needs the sudo capability as well"
    PARAMETERS = "the rule for the path does not permit these parameters"
    WRAPPING = "the rule for the path demands another wrapping TTL"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.allowed = reason == "allowed"


_NEEDED = {
    Operation.READ: Capability.READ,
    Operation.LIST: Capability.LIST,
    Operation.CREATE: Capability.CREATE,
    Operation.UPDATE: Capability.UPDATE,
    Operation.PATCH: Capability.PATCH,
    Operation.DELETE: Capability.DELETE,
}
_WITH_PARAMETERS = frozenset({Operation.READ, Operation.CREATE, Operation.UPDATE, Operation.PATCH})

_Rank = tuple[int, bool, int, int, str]
"""Order of specificity: first wildcard, no closing `*`, fewer `+`, length, text. The greatest wins."""


@dataclass(frozen=True, slots=True)
class _Segmented:
    """A rule with `+` segments, cut for matching. `segments` leave out the closing `*`."""

    segments: tuple[str, ...]
    is_prefix: bool
    rank: _Rank
    grant: Grant

    @classmethod
    def compile(cls, pattern: str, grant: Grant) -> "_Segmented":
        is_prefix = pattern.endswith("*")
        body = pattern[:-1] if is_prefix else pattern
        segments = tuple(body.split("/"))
        rank = (pattern.index("+"), not is_prefix, -segments.count("+"), len(body), body)
        return cls(segments, is_prefix, rank, grant)

    def matches(self, parts: Sequence[str]) -> bool:
        mine, last = self.segments, len(self.segments) - 1
        if len(parts) != len(mine) and (len(parts) < len(mine) or not self.is_prefix):
            return False
        for index, (segment, part) in enumerate(zip(mine, parts, strict=False)):
            if segment not in {"+", part} and not (self.is_prefix and index == last and part.startswith(segment)):
                return False
        return True

    def reaches(self, parts: Sequence[str]) -> bool:
        """Tell whether anything below these segments could match."""
        last = len(self.segments) - 1
        for index, (segment, part) in enumerate(zip(self.segments, parts, strict=False)):
            if self.is_prefix and index == last:
                return part.startswith(segment)
            if segment not in {"+", part}:
                return False
        return last >= len(parts)


class ACL:
    """Compiled rules. Immutable; safe to share. `allows` costs about a microsecond for exact and prefix rules."""

    __slots__ = ("_exact", "_parents", "_prefix_grants", "_prefixes", "_segmented", "is_root")

    def __init__(self, grants: Mapping[str, Grant], *, is_root: bool = False) -> None:
        self.is_root = is_root
        self._exact: dict[str, Grant] = {}
        prefixes: dict[str, Grant] = {}
        segmented: list[_Segmented] = []
        for pattern, grant in grants.items():
            if pattern == "+" or pattern.startswith("+/") or "/+" in pattern:
                segmented.append(_Segmented.compile(pattern, grant))
            elif pattern.endswith("*"):
                prefixes[pattern[:-1]] = grant
            else:
                self._exact[pattern] = grant
        self._segmented = _by_head(segmented)
        self._prefixes = sorted(prefixes)
        self._prefix_grants = [prefixes[prefix] for prefix in self._prefixes]
        self._parents = _parents(self._prefixes)

    @classmethod
    def compile(cls, policies: Iterable[Policy], subject: Subject | None = None) -> "ACL":
        """Merge policies into one ACL, for a known caller if need be. The policy `root` permits everything.

        Raises ActsAsPattern when the caller's identity has a value that would be a wildcard in a path.
        """
        held = list(policies)
        return cls(merge(held, subject), is_root=any(policy.name == ROOT for policy in held))

    def allows(
        self,
        operation: Operation,
        path: str,
        *,
        sudo_needed: bool = False,
        data: Mapping[str, Any] | None = None,
        wrap_ttl: int = 0,
    ) -> Decision:
        """Judge one request. `path` is the whole path without `/v1/`; `data` the parameters as submitted.

        `wrap_ttl` is the wrapping asked for, in seconds, 0 for none.
        """
        if self.is_root:
            return _ALLOWED
        grant = self._grant(path, is_list=operation is _LIST)
        if grant is None:
            return Decision.NO_RULE
        if _NEEDED[operation] not in grant.capabilities:
            return Decision.NOT_GRANTED
        if sudo_needed and Capability.SUDO not in grant.capabilities:
            return Decision.NEEDS_SUDO
        if grant.limits is not None:
            return _within_limits(grant, operation, data or {}, wrap_ttl)
        return _ALLOWED

    def capabilities(self, path: str) -> frozenset[Capability]:
        """Return what may be done with a path: `{DENY}` when nothing, `{ROOT}` for root."""
        if self.is_root:
            return frozenset({Capability.ROOT})
        grant = self._grant(path.lstrip("/"), is_list=True)
        return grant.capabilities if grant is not None and grant.capabilities else frozenset({Capability.DENY})

    def has_sudo(self, path: str) -> bool:
        """Tell whether the caller is root or has the sudo capability on a path."""
        return self.is_root or Capability.SUDO in self.capabilities(path)

    def mentions(self, prefix: str) -> bool:
        """Tell whether any rule that does not deny concerns something at or below a prefix that ends in `/`."""
        return (
            self.is_root
            or any(path.startswith(prefix) and grant.is_open for path, grant in self._exact.items())
            or any(
                (glob.startswith(prefix) or prefix.startswith(glob)) and grant.is_open
                for glob, grant in zip(self._prefixes, self._prefix_grants, strict=True)
            )
            or self._segmented_mention(prefix)
        )

    def exact(self) -> Mapping[str, Grant]:
        """Return the grants for exact paths."""
        return self._exact

    def globs(self) -> Mapping[str, Grant]:
        """Return the grants for wildcard paths: prefixes without their `*`, then patterns with `+` as written."""
        segmented = {
            "/".join(rule.segments) + ("*" if rule.is_prefix else ""): rule.grant
            for rules in self._segmented.values()
            for rule in rules
        }
        return dict(zip(self._prefixes, self._prefix_grants, strict=True)) | segmented

    def _grant(self, path: str, *, is_list: bool) -> Grant | None:
        grant = self._exact.get(path)
        if grant is not None:
            return grant
        if is_list and path.endswith("/"):
            return self._exact.get(path[:-1]) or self._listing(path)
        return self._wildcard(path)

    def _wildcard(self, path: str) -> Grant | None:
        index = self._longest_prefix(path)
        if not self._segmented:
            return self._prefix_grants[index] if index >= 0 else None
        rule = next(self._matching_segmented(path), None)
        if index < 0:
            return rule.grant if rule is not None else None
        if rule is None or rule.rank < _prefix_rank(self._prefixes[index]):
            return self._prefix_grants[index]
        return rule.grant

    def _listing(self, path: str) -> Grant | None:
        candidates = [*self._candidates(path[:-1]), *self._candidates(path)]
        if not candidates:
            return None
        denying = _most_specific(candidates, Capability.DENY)
        granting = _most_specific(candidates, Capability.LIST)
        if denying is not None and (granting is None or granting[0] < denying[0]):
            return denying[1]
        return (granting or max(candidates, key=itemgetter(0)))[1]

    def _candidates(self, path: str) -> Iterator[tuple[_Rank, Grant]]:
        index = self._longest_prefix(path)
        if index >= 0:
            yield _prefix_rank(self._prefixes[index]), self._prefix_grants[index]
        for rule in self._matching_segmented(path):
            yield rule.rank, rule.grant

    def _longest_prefix(self, path: str) -> int:
        """Return the index of the longest prefix of `path`, or -1.

        The greatest prefix that is not greater than the path either is a prefix of it, or shares with the path every
        shorter rule that is: so only its own chain of prefixes needs to be tried.
        """
        index = bisect_right(self._prefixes, path) - 1
        while index >= 0 and not path.startswith(self._prefixes[index]):
            index = self._parents[index]
        return index

    def _segmented_mention(self, prefix: str) -> bool:
        parts = prefix.removesuffix("/").split("/")
        return any(rule.grant.is_open and rule.reaches(parts) for rules in self._segmented.values() for rule in rules)

    def _matching_segmented(self, path: str) -> Iterator[_Segmented]:
        """Yield the matching rules with `+`, the most specific first."""
        parts = path.split("/")
        for head in (parts[0], "+"):
            for rule in self._segmented.get(head, ()):
                if rule.matches(parts):
                    yield rule


_ALLOWED = Decision.ALLOWED
_LIST = Operation.LIST


def _within_limits(grant: Grant, operation: Operation, data: Mapping[str, Any], wrap_ttl: int) -> Decision:
    limits = grant.limits
    assert limits is not None, "asked only of grants with limits"
    longest, shortest = limits.max_wrapping_ttl, limits.min_wrapping_ttl
    if longest and (not 0 < wrap_ttl <= longest or longest < shortest):
        return Decision.WRAPPING
    if shortest and wrap_ttl < shortest:
        return Decision.WRAPPING
    if operation in _WITH_PARAMETERS and not permitted(limits, data):
        return Decision.PARAMETERS
    return Decision.ALLOWED


def _prefix_rank(prefix: str) -> _Rank:
    return len(prefix), False, 0, len(prefix), prefix


def _most_specific(candidates: Sequence[tuple[_Rank, Grant]], capability: Capability) -> tuple[_Rank, Grant] | None:
    having = [candidate for candidate in candidates if capability in candidate[1].capabilities]
    return max(having, key=itemgetter(0), default=None)


def _by_head(rules: list[_Segmented]) -> dict[str, tuple[_Segmented, ...]]:
    """Sort rules by their first segment, the most specific first.

    A rule that begins with `+` is always less specific than one that does not: heads can be tried one after another.
    """
    heads: dict[str, list[_Segmented]] = {}
    for rule in sorted(rules, key=lambda rule: rule.rank, reverse=True):
        heads.setdefault(rule.segments[0], []).append(rule)
    return {head: tuple(found) for head, found in heads.items()}


def _parents(prefixes: Sequence[str]) -> list[int]:
    """Return for each prefix (in order) the index of the longest other one that begins it, or -1."""
    parents: list[int] = []
    for index, prefix in enumerate(prefixes):
        candidate = index - 1
        while candidate >= 0 and not prefix.startswith(prefixes[candidate]):
            candidate = parents[candidate]
        parents.append(candidate)
    return parents
