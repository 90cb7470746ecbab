"""`sys/mounts`: secrets engines; and what `sys/auth` does in the same way with auth methods."""

from collections.abc import Callable

from chancery.kit.engine import Mount, MountConfig
from chancery.kit.errors import BadInput
from chancery.kit.params import Params
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.routing.mounts import MountKind, MountService, new_identity
from chancery.system.mount_settings import (
    EnableMount,
    MountPath,
    SystemTtls,
    TuneMount,
    describe,
    merged,
    mount_path,
    tuning,
)


class MountRoutes:
    """The routes for one kind of mount, over the mount service."""

    kind = MountKind.SECRETS

    def __init__(self, mounts: MountService, ttls: SystemTtls) -> None:
        self.mounts = mounts
        self._ttls = ttls

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(pattern="mounts", read=endpoint(self.list_mounts)),
            self.tuning_route("mounts/{path...}/tune"),
            Route(
                pattern="mounts/{path...}",
                read=endpoint(self.read_mount, MountPath),
                update=endpoint(self.enable, EnableMount),
                delete=endpoint(self.disable, MountPath),
            ),
        ]

    def tuning_route(self, pattern: str, *, sudo: bool = False) -> Route:
        """Return the route that reads and changes tuning."""
        return Route(
            pattern=pattern,
            read=endpoint(self.read_tuning, MountPath),
            update=endpoint(self.tune, TuneMount),
            sudo=sudo,
        )

    async def list_mounts(self, _request: Request, _params: Params) -> Answer:
        """List what is mounted."""
        listed = {self.kind.bare(mount.path): describe(mount) for mount in of_kind(self.mounts.all, self.kind)}
        return Reply(listed, flat=True)

    async def read_mount(self, _request: Request, params: MountPath) -> Answer:
        """Read one mount."""
        return Reply(describe(self.find(params.path)), flat=True)

    async def enable(self, request: Request, params: EnableMount) -> Answer:
        """Mount something."""
        if not params.type:
            raise BadInput.of("type", "backend type must be specified as a string")
        uuid, accessor = new_identity(params.type, self.kind)
        mount = Mount(
            uuid=uuid,
            accessor=accessor,
            path=self.full_path(params.path),
            type=params.type,
            namespace_id=request.namespace_id,
            description=params.description,
            config=merged(MountConfig(), params.config, params.type, self.kind, self._ttls),
            options=params.options,
            local=params.local,
            seal_wrap=params.seal_wrap,
        )
        await self.mounts.enable(mount, self.kind)
        return None

    async def disable(self, _request: Request, params: MountPath) -> Answer:
        """Unmount something and erase what it stored."""
        await self.mounts.disable(self.full_path(params.path), self.kind)
        return None

    async def read_tuning(self, _request: Request, params: MountPath) -> Answer:
        """Read the tuning of a mount."""
        path = self.full_path(params.path)
        mount = self.find(params.path, missing=f'cannot fetch sysview for path "{path}"')
        return Reply(tuning(mount, self.kind, self._ttls), flat=True)

    async def tune(self, _request: Request, params: TuneMount) -> Answer:
        """Tune a mount."""
        mount = self.find(params.path, missing=self.nothing_to_tune(self.full_path(params.path)))
        await self.mounts.tune(
            mount.path,
            merged(mount.config, params, mount.type, self.kind, self._ttls),
            params.description if params.submitted("description") else mount.description,
            params.options if params.submitted("options") else mount.options,
        )
        return None

    def full_path(self, path: str) -> str:
        """Return where a mount of this kind lies that clients call `path`."""
        return self.kind.value + mount_path(path)

    def find(self, path: str, missing: str = "") -> Mount:
        """Return the mount at a path. Raises BadInput with `missing` when there is none."""
        wanted = self.full_path(path)
        for mount in of_kind(self.mounts.all, self.kind):
            if mount.path == wanted:
                return mount
        raise BadInput(missing or self.nothing_at(mount_path(path)))

    def nothing_at(self, path: str) -> str:
        """Say that there is no mount."""
        return f'no secret engine mount at "{path}"'

    def nothing_to_tune(self, path: str) -> str:
        """Say that there is no mount to tune."""
        return self.nothing_at(path)


def of_kind(mounts: Callable[[], list[Mount]], kind: MountKind) -> list[Mount]:
    """Return the mounts of a kind."""
    return [mount for mount in mounts() if MountKind.of(mount.path) is kind]
