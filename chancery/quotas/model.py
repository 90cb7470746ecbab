"""What a rate limit says, and which one concerns a request. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from chancery.kit.storage import Stored

ALWAYS_EXEMPT = ("sys/health", "sys/seal-status", "sys/unseal", "sys/generate-root/attempt", "sys/generate-root/update")
"""Exempt unless configured otherwise: what load balancers ask and what opens a sealed server."""

ROLE_FIELDS: Mapping[str, str] = {"jwt": "role", "oidc": "role", "kubernetes": "role", "cert": "name"}
"""Types of auth methods whose logins name their role, and the field that does."""


class GroupBy(StrEnum):
    """Who shares a budget."""

    IP = "ip"
    NONE = "none"


class RateLimit(Stored):
    """A rate limit as it is kept; the document's name is its own."""

    path: str = ""
    """The whole path, namespace and mount included; empty for the whole server."""
    namespace: str = ""
    """The part of `path` that is the namespace's, with its slash."""
    mount: str = ""
    """The part of `path` that is the mount's, with its slash; empty for a whole namespace."""
    rate: float
    """Requests an interval."""
    interval: int = 1
    """Seconds."""
    block_interval: int = 0
    """Seconds for which a client is refused that exceeded the rate; 0 = until there is budget again."""
    inheritable: bool = False
    """Of namespaces: concerns those below as well."""
    role: str = ""
    group_by: GroupBy = GroupBy.IP

    @property
    def below_mount(self) -> str:
        """Return the part of `path` below the mount; may end in `*`."""
        return self.path[len(self.namespace) + len(self.mount) :]

    @property
    def scope(self) -> tuple[str, str, str, str]:
        """Return what the limit is about: two limits may not be about the same."""
        return self.namespace, self.mount, self.below_mount, self.role


class QuotaConfig(Stored):
    """Settings of all limits."""

    rate_limit_exempt_paths: tuple[str, ...] = ALWAYS_EXEMPT
    """Relative to the namespace of the request; `*` may end one."""
    absolute_rate_limit_exempt_paths: tuple[str, ...] = ()
    """With their namespace."""


class Subject(NamedTuple):
    """What is known of a request when limits are looked for."""

    namespace: str
    path: str
    """Below the namespace."""
    mount: str
    mount_type: str
    fields: Mapping[str, Any]


class Limits:
    """Limits by what they are about. The most specific one concerns a request, and no other.

    That is, in this order: role, exact path, longest prefix, mount, namespace, inheritable limit of the namespaces
    above, whole server.
    """

    def __init__(self, limits: Mapping[str, RateLimit]) -> None:
        self._exact: dict[tuple[str, str, str, str], str] = {}
        self._prefixes: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._inheritable = {limit.namespace for limit in limits.values() if limit.inheritable}
        for name, limit in limits.items():
            below = limit.below_mount
            if below.endswith("*"):
                self._prefixes.setdefault((limit.namespace, limit.mount), []).append((below[:-1], name))
            else:
                self._exact[limit.scope] = name
        for prefixes in self._prefixes.values():
            prefixes.sort(key=lambda prefix: -len(prefix[0]))

    def of(self, subject: Subject) -> str | None:
        """Return the name of the limit that concerns a request, or None."""
        namespace, mount = subject.namespace, subject.mount
        if mount:
            below, role = subject.path[len(mount) :], _role(subject)
            if role and (found := self._exact.get((namespace, mount, "", role))):
                return found
            if found := self._exact.get((namespace, mount, below, "")):
                return found
            for prefix, name in self._prefixes.get((namespace, mount), ()):
                if below.startswith(prefix):
                    return name
            if found := self._exact.get((namespace, mount, "", "")):
                return found
        for scope in _upwards(namespace):
            if (scope == namespace or not scope or scope in self._inheritable) and (
                found := self._exact.get((scope, "", "", ""))
            ):
                return found
        return None


def _role(subject: Subject) -> str:
    field = ROLE_FIELDS.get(subject.mount_type)
    named = subject.fields.get(field) if field else None
    return named if isinstance(named, str) else ""


def _upwards(namespace: str) -> Iterator[str]:
    """Yield a namespace's path and those above it, the root's empty path last."""
    while namespace:
        yield namespace
        namespace = namespace[:-1].rpartition("/")[0]
        namespace += "/" if namespace else ""
    yield ""


class Exemptions:
    """Paths without limit, and whatever is below them."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """`*` at the end of a pattern stands for any characters, not only for what is below."""
        known = tuple(patterns)
        self._exact = frozenset(pattern for pattern in known if not pattern.endswith("*"))
        self._beginnings = tuple(pattern[:-1] if pattern.endswith("*") else f"{pattern}/" for pattern in known)

    def include(self, path: str) -> bool:
        """Tell whether a path is exempt."""
        return path in self._exact or path.startswith(self._beginnings)
