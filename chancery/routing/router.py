"""Route patterns, compiled into a tree of segments. Matching reads each segment once and allocates little."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from chancery.kit.route import Route

_NOTHING: Mapping[str, str] = {}


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    captures: list[tuple[str, "_Node"]] = field(default_factory=list)
    rests: list[tuple[str, tuple[str, ...], Route]] = field(default_factory=list)
    route: Route | None = None


class Match(NamedTuple):
    """A route with what its pattern captured."""

    route: Route
    captures: Mapping[str, str]


class Router:
    """The routes of one mount.

    A literal segment wins over a capture, a capture over `{rest...}`; among several `{rest...}` the one with the
    longest literal tail wins.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: Sequence[Route] = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def match(self, path: str) -> Match | None:
        """Find the route of a path below the mount, or None."""
        segments = path.strip("/").split("/")
        return _descend(self._root, segments, 0, _NOTHING)

    def _add(self, route: Route) -> None:
        node = self._root
        segments = route.pattern.strip("/").split("/")
        for index, segment in enumerate(segments):
            if segment.endswith("...}"):
                tail = tuple(segments[index + 1 :])
                node.rests.append((segment[1:-4], tail, route))
                node.rests.sort(key=lambda rest: -len(rest[1]))
                return
            node = _capture(node, segment[1:-1]) if segment.startswith("{") else _literal(node, segment)
        if node.route is not None:
            raise ValueError(f"two routes have the pattern {route.pattern!r}")
        node.route = route


def _literal(node: _Node, segment: str) -> _Node:
    return node.literals.setdefault(segment, _Node())


def _capture(node: _Node, name: str) -> _Node:
    for known, child in node.captures:
        if known == name:
            return child
    child = _Node()
    node.captures.append((name, child))
    return child


def _descend(node: _Node, segments: Sequence[str], index: int, captured: Mapping[str, str]) -> Match | None:
    if index == len(segments):
        return Match(node.route, captured) if node.route is not None else None
    segment = segments[index]
    child = node.literals.get(segment)
    if child is not None:
        found = _descend(child, segments, index + 1, captured)
        if found is not None:
            return found
    if segment:
        for name, branch in node.captures:
            found = _descend(branch, segments, index + 1, {**captured, name: segment})
            if found is not None:
                return found
    return _rest(node, segments[index:], captured)


def _rest(node: _Node, remainder: Sequence[str], captured: Mapping[str, str]) -> Match | None:
    for name, tail, route in node.rests:
        cut = len(remainder) - len(tail)
        if cut >= 1 and tuple(remainder[cut:]) == tail and remainder[0]:
            return Match(route, {**captured, name: "/".join(remainder[:cut])})
    return None
