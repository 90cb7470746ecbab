"""`sys/auth`: auth methods; `sys/locked-users`: names that failed logins locked out."""

from collections import defaultdict
from typing import Any

from pydantic import Field

from chancery.auth.lockouts import LockRecords
from chancery.kit.errors import BadInput
from chancery.kit.params import Params, Text
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.namespaces.model import Namespace
from chancery.routing.mounts import MountKind
from chancery.system.mount_settings import EnableMount, MountPath
from chancery.system.mounts import MountRoutes

TOKEN_METHOD = "auth/token/"  # noqa: S105  # a path


class AuthRoutes(MountRoutes):
    """The routes for auth methods."""

    kind = MountKind.AUTH

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(pattern="auth", read=endpoint(self.list_mounts)),
            self.tuning_route("auth/{path...}/tune", sudo=True),
            self.tuning_route("mounts/auth/{path...}/tune", sudo=True),
            Route(
                pattern="auth/{path...}",
                read=endpoint(self.read_mount, MountPath),
                update=endpoint(self.enable, EnableMount),
                delete=endpoint(self.disable, MountPath),
                sudo=True,
            ),
        ]

    async def disable(self, request: Request, params: MountPath) -> Answer:
        """Disable an auth method: its tokens are revoked and what it stored is erased."""
        if self.full_path(params.path) == TOKEN_METHOD:
            raise BadInput("token credential backend cannot be disabled")
        return await super().disable(request, params)

    def nothing_at(self, path: str) -> str:
        """Say that there is no auth method."""
        return f"No auth engine at {path}"

    def nothing_to_tune(self, path: str) -> str:
        """Say that there is no auth method to tune."""
        return f'tune of path "{path}" failed: no mount entry found'


class LockedNames(Params):
    """Which locks to list."""

    mount_accessor: Text = Field("", description="Only those of the mount with this accessor")


class LockedName(Params):
    """Names a lock."""

    mount_accessor: Text = Field(description="Accessor of the auth mount")
    alias_identifier: Text = Field(description="The name that is locked out")


class LockedUserRoutes:
    """The routes of one namespace."""

    def __init__(self, locks: LockRecords, namespace: Namespace) -> None:
        self._locks = locks
        self._namespace = namespace

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(
                pattern="locked-users",
                read=endpoint(self.list_locked, LockedNames, responses=("by_namespace", "total")),
            ),
            Route(
                pattern="locked-users/{mount_accessor}/unlock/{alias_identifier...}",
                update=endpoint(self.unlock, LockedName),
            ),
        ]

    async def list_locked(self, request: Request, params: LockedNames) -> Answer:
        """List the names that are locked out."""
        by_mount: dict[str, list[str]] = defaultdict(list)
        for lock in await self._locks.locked(request.now):
            if params.mount_accessor in {"", lock.mount_accessor}:
                by_mount[lock.mount_accessor].append(lock.alias)
        total = sum(map(len, by_mount.values()))
        return Reply({"by_namespace": [self._summary(by_mount, total)], "total": total})

    async def unlock(self, _request: Request, params: LockedName) -> Answer:
        """Unlock a name; fine when it is not locked."""
        await self._locks.unlock(params.mount_accessor, params.alias_identifier)
        return None

    def _summary(self, by_mount: dict[str, list[str]], total: int) -> dict[str, Any]:
        return {
            "namespace_id": self._namespace.id,
            "namespace_path": self._namespace.path,
            "counts": total,
            "mount_accessors": [
                {"mount_accessor": accessor, "counts": len(names), "alias_identifiers": names}
                for accessor, names in by_mount.items()
            ],
        }
