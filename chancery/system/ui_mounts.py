"""`sys/internal/ui/mounts`: what a caller may see of the mounts, asked by user interfaces and command lines."""

from typing import Protocol

from chancery.kit.engine import Mount
from chancery.kit.errors import Denied
from chancery.kit.params import Params
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.routing.mounts import MountKind, MountService
from chancery.system.mount_settings import MountPath, describe, mount_path


class VisibleMounts(Protocol):
    """Tells which mounts a caller has any capability below."""

    async def may_see(self, request: Request, mount: Mount) -> bool:
        """Tell whether the caller's policies mention anything at or below the mount."""
        ...


class VisibleMountRoutes:
    """The routes, over the mount service."""

    def __init__(self, mounts: MountService, visible: VisibleMounts) -> None:
        self._mounts = mounts
        self._visible = visible

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(pattern="internal/ui/mounts", read=endpoint(self.list_mounts), unauthenticated=True),
            Route(
                pattern="internal/ui/mounts/{path...}",
                read=endpoint(self.read_mount, MountPath),
                unauthenticated=True,
            ),
        ]

    async def list_mounts(self, request: Request, _params: Params) -> Answer:
        """List the mounts that the caller may see."""
        shown: dict[MountKind, dict[str, object]] = {MountKind.AUTH: {}, MountKind.SECRETS: {}}
        for mount in self._mounts.all():
            if await self._visible.may_see(request, mount):
                kind = MountKind.of(mount.path)
                shown[kind][kind.bare(mount.path)] = describe(mount)
        return Reply({"auth": shown[MountKind.AUTH], "secret": shown[MountKind.SECRETS]})

    async def read_mount(self, request: Request, params: MountPath) -> Answer:
        """Read one mount, with its path, for a caller who may do something there."""
        mount = self._longest(params.path)
        if mount is None or not await self._visible.may_see(request, mount):
            raise Denied(
                "preflight capability check returned 403, please ensure client's policies grant access to path "
                f'"{mount_path(params.path)}"'
            )
        return Reply({**describe(mount), "path": MountKind.of(mount.path).bare(mount.path)})

    def _longest(self, path: str) -> Mount | None:
        wanted = path.strip("/") + "/"
        fitting = [mount for mount in self._mounts.all() if wanted.startswith(mount.path)]
        return max(fitting, key=lambda mount: len(mount.path), default=None)
