"""`sys/quotas`: rate limits and their settings. In the root namespace only: limits concern the whole server."""

from typing import Any

from pydantic import Field

from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import CommaList, Duration, LaxBool, NoParams, Params, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.namespaces.tenants import Tenants
from chancery.quotas.model import ROLE_FIELDS, GroupBy, QuotaConfig, RateLimit
from chancery.quotas.service import QuotaService
from chancery.routing.table import MountTable

_SHOWN = ("block_interval", "group_by", "inheritable", "interval", "name", "path", "rate", "role", "type")
_MAX_NAME = 256


class NamedLimit(Params):
    """Names a limit."""

    name: Text = Field(description="Name of the limit")


class WriteLimit(NamedLimit):
    """A limit to be."""

    type: Text = Field("", description="rate-limit")
    path: Text = Field("", description="Namespace, mount or path; empty for the whole server; * may end a path")
    rate: float = Field(0.0, description="Requests an interval, greater than 0")
    interval: Duration = Field(1, description="Seconds that the rate is about")
    block_interval: Duration = Field(0, description="Seconds for which whoever exceeds the rate is refused everything")
    inheritable: LaxBool = Field(False, description="Of namespaces: concerns those below; always so without a path")
    role: Text = Field("", description="Of auth mounts whose logins name a role: this role alone")
    group_by: Text = Field("ip", description="ip: each client has its own budget; none: all share one")
    secondary_rate: float = Field(0.0, description="Not served: must be absent")


class WriteConfig(Params):
    """Settings of all limits. A field that is not sent stays as it is."""

    rate_limit_exempt_paths: CommaList = Field([], description="Paths without limit, within any namespace")
    absolute_rate_limit_exempt_paths: CommaList = Field([], description="Paths without limit, with their namespace")
    enable_rate_limit_audit_logging: LaxBool = Field(False, description="Not served: must be false")
    enable_rate_limit_response_headers: LaxBool = Field(False, description="Not served: must be false")


class QuotaRoutes:
    """The routes, over the service."""

    def __init__(self, quotas: QuotaService, tenants: Tenants, table: MountTable) -> None:
        self._quotas = quotas
        self._tenants = tenants
        self._table = table

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(
                pattern="quotas/config",
                read=endpoint(self.read_config, responses=tuple(WriteConfig.model_fields)),
                update=endpoint(self.write_config, WriteConfig),
                root_only=True,
            ),
            Route(pattern="quotas/rate-limit", list=endpoint(self.list, responses=("keys",)), root_only=True),
            Route(
                pattern="quotas/rate-limit/{name}",
                read=endpoint(self.read, NamedLimit, responses=_SHOWN),
                update=endpoint(self.write, WriteLimit),
                delete=endpoint(self.delete, NamedLimit),
                root_only=True,
            ),
        ]

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List the rate limits."""
        return listing(await self._quotas.names())

    async def read(self, _request: Request, params: NamedLimit) -> Answer:
        """Read a rate limit."""
        limit = await self._quotas.get(params.name)
        if limit is None:
            raise NotFound
        return Reply(_shown(params.name, limit))

    async def write(self, _request: Request, params: WriteLimit) -> Answer:
        """Set a rate limit."""
        _demand_served(params)
        namespace, mount, kind, path = self._placed(params.path)
        if params.role and kind not in ROLE_FIELDS:
            raise BadInput(f'Mount path "{mount}" does not support use with role-based quotas')
        if params.role and path != namespace + mount:
            raise BadInput.of("role", "concerns a whole mount: leave the path below it out")
        limit = RateLimit(
            path=path,
            namespace=namespace,
            mount=mount,
            rate=params.rate,
            interval=params.interval or 1,
            block_interval=params.block_interval,
            inheritable=params.inheritable or not path,
            role=params.role,
            group_by=GroupBy(params.group_by or "ip"),
        )
        await self._quotas.put(params.name, limit)
        return None

    async def delete(self, _request: Request, params: NamedLimit) -> Answer:
        """Remove a rate limit."""
        await self._quotas.delete(params.name)
        return None

    async def read_config(self, _request: Request, _params: NoParams) -> Answer:
        """Read the settings of all rate limits."""
        config = self._quotas.config
        return Reply(
            {
                "absolute_rate_limit_exempt_paths": list(config.absolute_rate_limit_exempt_paths),
                "enable_rate_limit_audit_logging": False,
                "enable_rate_limit_response_headers": False,
                "rate_limit_exempt_paths": list(config.rate_limit_exempt_paths),
            }
        )

    async def write_config(self, _request: Request, params: WriteConfig) -> Answer:
        """Change the settings of all rate limits."""
        if params.enable_rate_limit_audit_logging:
            raise BadInput.of("enable_rate_limit_audit_logging", "requests that are refused here are not audited")
        if params.enable_rate_limit_response_headers:
            raise BadInput.of("enable_rate_limit_response_headers", "only Retry-After is sent, with every refusal")
        known = self._quotas.config
        changes = {
            name: tuple(path.strip("/") for path in getattr(params, name))
            for name in QuotaConfig.model_fields
            if params.submitted(name)
        }
        await self._quotas.configure(known.model_copy(update=changes))
        return None

    def _placed(self, asked: str) -> tuple[str, str, str, str]:
        """Return namespace, mount, the mount's type, and the whole path in canonical form. Raises BadInput."""
        path = asked.strip("/")
        if not path:
            return "", "", "", ""
        place = self._tenants.namespaces.resolve("", f"{path}/")
        namespace, below = place.namespace.path, place.path.strip("/")
        if not below:
            return namespace, "", "", namespace
        found = self._table.find(place.namespace.id, below)
        if found is None:
            raise BadInput(f'invalid mount path "{path}/"')
        mount = found[0].mount
        return namespace, mount.path, mount.type, f"{namespace}{mount.path}{found[1]}"


def _demand_served(params: WriteLimit) -> None:
    if params.type not in {"", "rate-limit"}:
        raise BadInput.of("type", "must be rate-limit")
    if len(params.name) > _MAX_NAME:
        raise BadInput.of("name", f"has more than {_MAX_NAME} characters")
    if not 0 < params.rate <= 1e9:
        raise BadInput("'rate' is invalid")
    for name in ("interval", "block_interval"):
        if getattr(params, name) < 0:
            raise BadInput.of(name, "must not be negative")
    if params.group_by not in {"", *GroupBy}:
        raise BadInput.of("group_by", "must be ip or none")
    if params.secondary_rate:
        raise BadInput.of("secondary_rate", "is not served; leave it out")


def _shown(name: str, limit: RateLimit) -> dict[str, Any]:
    return {
        "name": name,
        "type": "rate-limit",
        "path": limit.path,
        "rate": limit.rate,
        "interval": limit.interval,
        "block_interval": limit.block_interval,
        "inheritable": limit.inheritable,
        "role": limit.role,
        "group_by": limit.group_by.value,
    }
