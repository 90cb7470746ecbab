"""`sys/mounts`, `sys/mounts/{path}/tune`, `sys/internal/ui/mounts`."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

from pydantic import Field

from chancery import __version__
from chancery.kit.engine import Mount, MountConfig
from chancery.kit.errors import BadInput, Denied
from chancery.kit.params import CommaList, KeyValue, LaxBool, Params, Text, parse_duration
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.routing.mounts import MountService, new_identity

_MAX_PATH = 512


class MountPath(Params):
    """Names a mount."""

    path: Text = Field(description="The path of the mount")


class MountSettings(Params):
    """What can be tuned. A field that is not sent stays as it is."""

    default_lease_ttl: str | int | None = Field(None, description='Default TTL; "system" or 0 for the system\'s')
    max_lease_ttl: str | int | None = Field(None, description='Maximum TTL; "system" or 0 for the system\'s')
    force_no_cache: LaxBool = Field(False, description="Accepted and shown; nothing here caches secrets")
    listing_visibility: Text = Field("", description='"", "hidden" or "unauth"')
    audit_non_hmac_request_keys: CommaList = Field([], description="Request fields that audit shows in clear")
    audit_non_hmac_response_keys: CommaList = Field([], description="Response fields that audit shows in clear")
    passthrough_request_headers: CommaList = Field([], description="Headers handed to the engine")
    allowed_response_headers: CommaList = Field([], description="Headers that the engine may set")
    allowed_managed_keys: CommaList = Field([], description="Names of managed keys that the mount may use")


class EnableMount(Params):
    """The body of a mount request."""

    path: Text = Field(description="Where to mount")
    type: Text = Field("", description="Type of the engine")
    description: Text = Field("", description="For people")
    config: MountSettings = Field(default_factory=MountSettings, description="As for tuning")
    options: KeyValue = Field({}, description="Options of the engine's type")
    local: LaxBool = Field(False, description="Accepted and shown; nothing is replicated between clusters")
    seal_wrap: LaxBool = Field(False, description="Accepted and shown; secrets are always sealed")


class TuneMount(MountSettings):
    """The body of a tune request."""

    path: Text = Field(description="The path of the mount")
    description: Text = Field("", description="For people")
    options: KeyValue = Field({}, description="Options of the engine's type")


class VisibleMounts(Protocol):
    """Tells which mounts a caller has any capability below."""

    async def may_see(self, request: Request, mount: Mount) -> bool:
        """Tell whether the caller's policies mention anything at or below the mount."""
        ...


class MountRoutes:
    """The routes, over the mount service."""

    def __init__(self, mounts: MountService, visible: VisibleMounts, default_ttl: int, max_ttl: int) -> None:
        self._mounts = mounts
        self._visible = visible
        self._default_ttl = default_ttl
        self._max_ttl = max_ttl

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(pattern="mounts", read=endpoint(self.list_mounts)),
            Route(pattern="auth", read=endpoint(self.list_auth)),
            Route(
                pattern="mounts/{path...}/tune",
                read=endpoint(self.read_tuning, MountPath),
                update=endpoint(self.tune, TuneMount),
            ),
            Route(
                pattern="mounts/{path...}",
                read=endpoint(self.read_mount, MountPath),
                update=endpoint(self.enable, EnableMount),
                delete=endpoint(self.disable, MountPath),
            ),
            Route(pattern="internal/ui/mounts", read=endpoint(self.ui_mounts), unauthenticated=True),
            Route(
                pattern="internal/ui/mounts/{path...}", read=endpoint(self.ui_mount, MountPath), unauthenticated=True
            ),
        ]

    async def list_mounts(self, _request: Request, _params: Params) -> Answer:
        """List the mounted secrets engines."""
        return Reply({mount.path: describe(mount) for mount in self._secret_mounts()}, flat=True)

    async def list_auth(self, _request: Request, _params: Params) -> Answer:
        """List the mounted auth methods."""
        return Reply({path: describe(mount) for path, mount in self._auth_mounts().items()}, flat=True)

    async def read_mount(self, _request: Request, params: MountPath) -> Answer:
        """Read one mount."""
        return Reply(describe(self._find(params.path)), flat=True)

    async def enable(self, request: Request, params: EnableMount) -> Answer:
        """Mount a secrets engine."""
        if not params.type:
            raise BadInput.of("type", "backend type must be specified as a string")
        uuid, accessor = new_identity(params.type)
        mount = Mount(
            uuid=uuid,
            accessor=accessor,
            path=mount_path(params.path),
            type=params.type,
            namespace_id=request.namespace_id,
            description=params.description,
            config=self._merged(MountConfig(), params.config),
            options=params.options,
            local=params.local,
            seal_wrap=params.seal_wrap,
        )
        await self._mounts.enable(mount)
        return None

    async def disable(self, _request: Request, params: MountPath) -> Answer:
        """Unmount a secrets engine and erase what it stored."""
        await self._mounts.disable(mount_path(params.path))
        return None

    async def read_tuning(self, _request: Request, params: MountPath) -> Answer:
        """Read the tuning of a mount."""
        mount = self._find(params.path, missing=f'cannot fetch sysview for path "{mount_path(params.path)}"')
        return Reply(self._tuning(mount), flat=True)

    async def tune(self, _request: Request, params: TuneMount) -> Answer:
        """Tune a mount."""
        mount = self._find(params.path)
        await self._mounts.tune(
            mount.path,
            self._merged(mount.config, params),
            params.description if params.submitted("description") else mount.description,
            params.options if params.submitted("options") else mount.options,
        )
        return None

    async def ui_mounts(self, request: Request, _params: Params) -> Answer:
        """List the mounts that the caller may see."""
        secret = {m.path: describe(m) for m in self._secret_mounts() if await self._visible.may_see(request, m)}
        auth = {p: describe(m) for p, m in self._auth_mounts().items() if await self._visible.may_see(request, m)}
        return Reply({"auth": auth, "secret": secret})

    async def ui_mount(self, request: Request, params: MountPath) -> Answer:
        """Read one mount, with its path, for a caller who may do something there."""
        mount = self._longest(params.path)
        if mount is None or not await self._visible.may_see(request, mount):
            raise Denied(
                "preflight capability check returned 403, please ensure client's policies grant access to path "
                f'"{mount_path(params.path)}"'
            )
        return Reply({**describe(mount), "path": mount.path})

    def _secret_mounts(self) -> list[Mount]:
        return [mount for mount in self._mounts.all() if not mount.path.startswith("auth/")]

    def _auth_mounts(self) -> dict[str, Mount]:
        mounts = self._mounts.all()
        return {mount.path.removeprefix("auth/"): mount for mount in mounts if mount.path.startswith("auth/")}

    def _find(self, path: str, missing: str = "") -> Mount:
        wanted = mount_path(path)
        for mount in self._mounts.all():
            if mount.path == wanted:
                return mount
        raise BadInput(missing or f'no secret engine mount at "{wanted}"')

    def _longest(self, path: str) -> Mount | None:
        wanted = path.strip("/") + "/"
        fitting = [mount for mount in self._mounts.all() if wanted.startswith(mount.path)]
        return max(fitting, key=lambda mount: len(mount.path), default=None)

    def _merged(self, config: MountConfig, sent: MountSettings) -> MountConfig:
        changes: dict[str, Any] = {
            name: tuple(getattr(sent, name)) if isinstance(getattr(sent, name), list) else getattr(sent, name)
            for name in MountSettings.model_fields
            if sent.submitted(name) and name not in _TTLS
        }
        changes |= {name: _ttl(name, getattr(sent, name)) for name in _TTLS if getattr(sent, name) not in {None, ""}}
        if changes.get("listing_visibility", "") not in {"", "hidden", "unauth"}:
            raise BadInput.of("listing_visibility", 'must be "", "hidden" or "unauth"')
        merged = replace(config, **changes)
        default, longest = merged.default_lease_ttl, merged.max_lease_ttl or self._max_ttl
        if default > longest:
            raise BadInput.of(
                "default_lease_ttl", f"default TTL of {default}s is greater than the maximum TTL of {longest}s"
            )
        return merged

    def _tuning(self, mount: Mount) -> dict[str, Any]:
        config = config_fields(mount.config)
        config["default_lease_ttl"] = mount.config.default_lease_ttl or self._default_ttl
        config["max_lease_ttl"] = mount.config.max_lease_ttl or self._max_ttl
        return {
            "description": mount.description,
            **config,
            **({"options": dict(mount.options)} if mount.options else {}),
        }


_TTLS = ("default_lease_ttl", "max_lease_ttl")


def mount_path(path: str) -> str:
    """Return a mount's path in its canonical form. Raises BadInput for what cannot be one."""
    wanted = path.strip("/")
    if not wanted or len(wanted) > _MAX_PATH or any(not part or part.isspace() for part in wanted.split("/")):
        raise BadInput.of("path", f"a mount path has 1 to {_MAX_PATH} characters and no empty segments")
    return wanted + "/"


def describe(mount: Mount) -> dict[str, Any]:
    """Render a mount as `sys/mounts` does."""
    return {
        "accessor": mount.accessor,
        "config": config_fields(mount.config),
        "description": mount.description,
        "external_entropy_access": False,
        "local": mount.local,
        "options": dict(mount.options) or None,
        "plugin_version": "",
        "running_plugin_version": f"v{__version__}+builtin",
        "running_sha256": "",
        "seal_wrap": mount.seal_wrap,
        "type": mount.type,
        "uuid": mount.uuid,
    }


def config_fields(config: MountConfig) -> dict[str, Any]:
    """Render the configuration; empty lists and texts are left out, as in Vault."""
    always = {"default_lease_ttl", "max_lease_ttl", "force_no_cache"}
    fields: Mapping[str, Any] = asdict(config)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value or name in always
    }


def _ttl(name: str, value: object) -> int:
    if value == "system":
        return 0
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise BadInput.of(name, str(error)) from None
    if seconds < 0:
        raise BadInput.of(name, "must not be negative")
    return seconds
