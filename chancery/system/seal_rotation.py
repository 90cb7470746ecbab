"""`sys/key-status`, `sys/rotate` and `sys/rotate/config`: the key that the barrier encrypts with."""

from typing import Any

from pydantic import Field

from chancery.kit.clock import rfc3339
from chancery.kit.params import Duration, LaxBool, LaxInt, Params
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.seal.rotation import Rotation, RotationConfig


class RotationParams(Params):
    """When to rotate without being asked. What is left out stays as it is."""

    enabled: LaxBool = Field(True, description="Whether to rotate automatically at all")
    max_operations: LaxInt = Field(0, description="Encryptions after which the key is rotated")
    interval: Duration = Field(0, description="Age at which the key is rotated, at least 24h; 0 for never")


class RotationRoutes:
    """The routes, over the process's keyring."""

    def __init__(self, rotation: Rotation) -> None:
        self._rotation = rotation

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`. Those with `keyring` are OpenBao's names for the same."""
        rotate = endpoint(self.rotate)
        read, configure = endpoint(self.config), endpoint(self.configure, RotationParams)
        return [
            Route(pattern="key-status", read=endpoint(self.key_status), root_only=True),
            *(
                Route(pattern=pattern, update=rotate, sudo=True, root_only=True)
                for pattern in ("rotate", "rotate/keyring")
            ),
            *(
                Route(pattern=pattern, read=read, update=configure, root_only=True)
                for pattern in ("rotate/config", "rotate/keyring/config")
            ),
        ]

    async def key_status(self, _request: Request, _params: Params) -> Answer:
        """Tell which key encrypts, since when, and how much it encrypted."""
        status = await self._rotation.status()
        body: dict[str, Any] = {
            "term": status.term,
            "install_time": rfc3339(status.install_time),
            "encryptions": status.encryptions,
        }
        return Reply(body, flat=True)

    async def rotate(self, _request: Request, _params: Params) -> Answer:
        """Encrypt with a new key from now on; older keys stay for what they encrypted."""
        await self._rotation.rotate()
        return None

    async def config(self, _request: Request, _params: Params) -> Answer:
        """Read when the key is rotated automatically."""
        config = await self._rotation.config()
        interval = _go_duration(config.interval) if config.interval else 0
        return Reply({"enabled": config.enabled, "max_operations": config.max_operations, "interval": interval})

    async def configure(self, _request: Request, params: RotationParams) -> Answer:
        """Change when the key is rotated automatically."""
        config = await self._rotation.config()
        changes = {name: getattr(params, name) for name in RotationParams.model_fields if params.submitted(name)}
        await self._rotation.configure(RotationConfig.model_validate(config.model_dump() | changes))
        return None


def _go_duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}h{rest // 60}m{rest % 60}s"
