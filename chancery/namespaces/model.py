"""What a namespace is, and how a request finds its own. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from chancery.kit.engine import ROOT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Namespace:
    """A tenant. `path` ends with a slash, `team/dev/`; the root's is empty."""

    id: str
    path: str
    uuid: str = ""
    custom_metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_root(self) -> bool:
        """Tell whether this is the root namespace."""
        return not self.path

    def contains(self, other: "Namespace") -> bool:
        """Tell whether `other` is this namespace or lies below it."""
        return other.path.startswith(self.path)


ROOT = Namespace(ROOT_NAMESPACE, "")


class Place(NamedTuple):
    """Where a request leads: a namespace, and the path below it."""

    namespace: Namespace
    path: str
    exists: bool = True
    """False when the client named a namespace that is not there; `namespace` is then the deepest one that is."""


class NamespaceTable:
    """The namespaces in memory. Finding one costs a dictionary look-up a segment."""

    def __init__(self, namespaces: Iterable[Namespace] = ()) -> None:
        self._by_path: dict[str, Namespace] = {"": ROOT}
        self._by_id: dict[str, Namespace] = {ROOT.id: ROOT}
        for namespace in namespaces:
            self.put(namespace)

    def resolve(self, header: str, path: str) -> Place:
        """Find the namespace of a request: the header's, and then as many segments of the path as name another."""
        named = header.strip("/")
        if named in {"", "root"}:
            return Place(*self._descend(ROOT, path)) if len(self._by_path) > 1 else Place(ROOT, path)
        whole = f"{named}/"
        start = self._by_path.get(whole)
        if start is not None:
            return Place(*self._descend(start, path))
        namespace, rest = self._descend(ROOT, whole + path)
        return Place(namespace, rest, exists=False)

    def get(self, path: str) -> Namespace | None:
        """Return the namespace at a path (with its trailing slash), or None."""
        return self._by_path.get(path)

    def by_id(self, namespace_id: str) -> Namespace | None:
        """Return the namespace with an identifier, or None."""
        return self._by_id.get(namespace_id)

    def put(self, namespace: Namespace) -> None:
        """Add or replace a namespace."""
        self._by_path[namespace.path] = namespace
        self._by_id[namespace.id] = namespace

    def remove(self, namespace: Namespace) -> None:
        """Take a namespace out."""
        self._by_path.pop(namespace.path, None)
        self._by_id.pop(namespace.id, None)

    def children(self, parent: Namespace) -> list[Namespace]:
        """Return the namespaces directly below another, in the order of their paths."""
        return [
            namespace
            for path, namespace in sorted(self._by_path.items())
            if path
            and path.startswith(parent.path)
            and path[len(parent.path) : -1].count("/") == 0
            and path != parent.path
        ]

    def above(self, namespace: Namespace) -> Iterator[Namespace]:
        """Yield the namespaces above another, the nearest first."""
        path = namespace.path
        while path:
            path = path[: path.rfind("/", 0, -1) + 1]
            parent = self._by_path.get(path)
            if parent is not None:
                yield parent

    def all(self) -> list[Namespace]:
        """Return every namespace, parents before children."""
        return [namespace for _, namespace in sorted(self._by_path.items())]

    def _descend(self, namespace: Namespace, path: str) -> tuple[Namespace, str]:
        while True:
            segment, slash, rest = path.partition("/")
            child = self._by_path.get(f"{namespace.path}{segment}/") if slash and segment else None
            if child is None:
                return namespace, path
            namespace, path = child, rest
