"""`sys/audit`, `sys/audit-hash` and `sys/config/auditing/request-headers`. They concern the whole server."""

from typing import Any

from pydantic import Field, field_validator

from chancery.audit.service import AuditService, Device, device_path
from chancery.kit.errors import BadInput
from chancery.kit.params import KeyValue, LaxBool, NoParams, Params, Text
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint

_ALWAYS_CONCEALED = frozenset({"authorization", "cookie", "x-vault-token"})
"""Headers that carry secrets: they can be recorded, but only as HMAC."""


class DevicePath(Params):
    """Names a device."""

    path: Text = Field(description="Where the device is enabled")


class EnableDevice(DevicePath):
    """A device to be."""

    type: Text = Field("", description="file, syslog, socket, or the type of an installed package")
    description: Text = Field("", description="For people")
    options: KeyValue = Field({}, description="Options of the type")
    local: LaxBool = Field(False, description="Accepted and shown; nothing is replicated between clusters")


class HashInput(DevicePath):
    """A text to find in lines."""

    input: Text = Field("", description="The text")


class HeaderName(Params):
    """Names a request header."""

    header: Text = Field(description="Name of the header, in any case")

    @field_validator("header")
    @classmethod
    def _folded(cls, name: str) -> str:
        if len(name) > 128 or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise ValueError("must be the name of an HTTP header")
        return name.lower()


class RecordHeader(HeaderName):
    """How a request header is recorded."""

    hmac: LaxBool = Field(False, description="Record the value as HMAC only")


class AuditRoutes:
    """The routes, over the devices."""

    def __init__(self, audit: AuditService) -> None:
        self._audit = audit

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        headers = "config/auditing/request-headers"
        return [
            Route(pattern="audit", read=endpoint(self.list), sudo=True, root_only=True),
            Route(
                pattern="audit/{path...}",
                update=endpoint(self.enable, EnableDevice),
                delete=endpoint(self.disable, DevicePath),
                sudo=True,
                root_only=True,
            ),
            Route(pattern="audit-hash/{path...}", update=endpoint(self.hash, HashInput), root_only=True),
            Route(pattern=headers, read=endpoint(self.list_headers), sudo=True, root_only=True),
            Route(
                pattern=f"{headers}/{{header}}",
                read=endpoint(self.read_header, HeaderName),
                update=endpoint(self.record_header, RecordHeader),
                delete=endpoint(self.forget_header, HeaderName),
                sudo=True,
                root_only=True,
            ),
        ]

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List the enabled audit devices."""
        return Reply({device.path: _render(device) for device in self._audit.all()}, flat=True)

    async def enable(self, _request: Request, params: EnableDevice) -> Answer:
        """Enable an audit device. From then on nothing is served that no device can record."""
        path = device_path(params.path)
        await self._audit.enable(Device(path, params.type, params.description, params.options, params.local))
        return None

    async def disable(self, _request: Request, params: DevicePath) -> Answer:
        """Disable an audit device. What it wrote stays."""
        await self._audit.disable(device_path(params.path))
        return None

    async def hash(self, _request: Request, params: HashInput) -> Answer:
        """Return the HMAC under which a device shows a text."""
        if not params.input:
            raise BadInput('the "input" parameter is empty')
        return Reply({"hash": self._audit.hash(device_path(params.path), params.input)}, flat=True)

    async def list_headers(self, _request: Request, _params: NoParams) -> Answer:
        """List the request headers that are recorded."""
        headers = await self._audit.headers()
        return Reply({"headers": {name: {"hmac": hides} for name, hides in headers.items()}}, flat=True)

    async def read_header(self, _request: Request, params: HeaderName) -> Answer:
        """Read how a request header is recorded."""
        headers = await self._audit.headers()
        if params.header not in headers:
            raise BadInput("Could not find header in config")
        return Reply({params.header: {"hmac": headers[params.header]}}, flat=True)

    async def record_header(self, _request: Request, params: RecordHeader) -> Answer:
        """Record a request header from now on."""
        if params.header in _ALWAYS_CONCEALED and not params.hmac:
            raise BadInput.of("hmac", f"must be true: {params.header} carries secrets")
        await self._audit.show_header(params.header, concealed=params.hmac)
        return None

    async def forget_header(self, _request: Request, params: HeaderName) -> Answer:
        """Record a request header no longer."""
        await self._audit.hide_header(params.header)
        return None


def _render(device: Device) -> dict[str, Any]:
    return {
        "type": device.type,
        "description": device.description,
        "options": dict(device.options),
        "local": device.local,
        "path": device.path,
    }
