"""The mount table in memory: which engine serves a path. Persistence is `chancery.routing.mounts`' business."""

from collections.abc import Iterator
from dataclasses import dataclass

from chancery.kit.engine import Engine, Mount
from chancery.routing.router import Router


@dataclass(slots=True)
class Mounted:
    """A live mount: its description as it is now, the open engine and its compiled routes."""

    mount: Mount
    engine: Engine
    router: Router
    version: int = 0
    """Of the record that `mount` was read from; 0 for a built-in mount, which has none."""


class MountTable:
    """Mounts by namespace and path. Finding one costs a dictionary look-up a segment."""

    def __init__(self) -> None:
        self._mounts: dict[tuple[str, str], Mounted] = {}
        self._by_uuid: dict[str, Mounted] = {}

    def find(self, namespace_id: str, path: str) -> tuple[Mounted, str] | None:
        """Return the mount with the longest prefix of `path`, and the path below it."""
        end = len(path)
        while True:
            cut = path.rfind("/", 0, end)
            if cut < 0:
                whole = self._mounts.get((namespace_id, path + "/"))
                return (whole, "") if whole is not None else None
            mounted = self._mounts.get((namespace_id, path[: cut + 1]))
            if mounted is not None:
                return mounted, path[cut + 1 :]
            end = cut

    def get(self, namespace_id: str, path: str) -> Mounted | None:
        """Return the mount at exactly this path (with its trailing slash)."""
        return self._mounts.get((namespace_id, path))

    def by_uuid(self, uuid: str) -> Mounted | None:
        """Return the mount with an identity, wherever it is."""
        return self._by_uuid.get(uuid)

    def put(self, mounted: Mounted) -> None:
        """Add a mount."""
        self._by_uuid[mounted.mount.uuid] = mounted
        self._mounts[mounted.mount.namespace_id, mounted.mount.path] = mounted

    def remove(self, namespace_id: str, path: str) -> Mounted | None:
        """Take a mount out; requests no longer find it."""
        mounted = self._mounts.pop((namespace_id, path), None)
        if mounted is not None:
            self._by_uuid.pop(mounted.mount.uuid, None)
        return mounted

    def conflict(self, namespace_id: str, path: str) -> str | None:
        """Return the path of a mount that is at, above or below `path`, or None when it is free."""
        for known_namespace, known in self._mounts:
            if known_namespace == namespace_id and (path.startswith(known) or known.startswith(path)):
                return known
        return None

    def all(self, namespace_id: str) -> list[Mount]:
        """Return the mounts of a namespace in the order of their paths."""
        return sorted(
            (mounted.mount for (namespace, _), mounted in self._mounts.items() if namespace == namespace_id),
            key=lambda mount: mount.path,
        )

    def __iter__(self) -> Iterator[Mounted]:
        return iter(list(self._mounts.values()))

    def clear(self) -> None:
        """Forget every mount."""
        self._mounts.clear()
        self._by_uuid.clear()
