"""`sys/internal/specs/openapi`: the OpenAPI 3 document, generated from the routes and their parameter models."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from chancery import __version__
from chancery.kit.params import LaxBool, Params
from chancery.kit.request import Answer, Operation, Reply, Request
from chancery.kit.route import Endpoint, Route, endpoint
from chancery.routing.table import Mounted, MountTable

_METHODS = {
    Operation.READ: "get",
    Operation.LIST: "get",
    Operation.UPDATE: "post",
    Operation.PATCH: "patch",
    Operation.DELETE: "delete",
}


class OpenApiParams(Params):
    """How the document is to look."""

    generic_mount_paths: LaxBool = Field(False, description="Name mounts by parameters instead of their paths")


class OpenApiRoutes:
    """The route, over the mount table: it describes what is mounted now."""

    def __init__(self, table: MountTable, namespace_id: str) -> None:
        self._table = table
        self._namespace_id = namespace_id

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        document = endpoint(self.document, OpenApiParams)
        return [Route(pattern="internal/specs/openapi", read=document, update=document)]

    async def document(self, _request: Request, params: OpenApiParams) -> Answer:
        """Describe every mounted path of the namespace as an OpenAPI document."""
        mounted = [each for each in self._table if each.mount.namespace_id == self._namespace_id]
        return Reply(describe(mounted, generic=params.generic_mount_paths), bare=True)


def describe(mounts: Iterable[Mounted], *, generic: bool) -> dict[str, Any]:
    """Build the document for a set of mounts."""
    paths: dict[str, Any] = {}
    for mounted in sorted(mounts, key=lambda each: each.mount.path):
        prefix = mounted.mount.path
        if generic and mounted.mount.type not in {"system", "token"}:
            prefix = "{" + mounted.mount.type + "_mount_path}/"
        for route in mounted.router.routes:
            paths[f"/{prefix}{route.pattern.replace('...}', '}')}"] = _path_item(route, mounted.mount.type)
    return {
        "openapi": "3.0.2",
        "info": {
            "title": "Chancery API",
            "description": "HTTP API that gives you full access to Chancery. All API routes are prefixed with /v1/.",
            "version": __version__,
            "license": {"name": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": {}},
    }


def _path_item(route: Route, mount_type: str) -> dict[str, Any]:
    captures = [part[1:-1].removesuffix("...") for part in route.pattern.split("/") if part.startswith("{")]
    item: dict[str, Any] = {
        "description": "",
        "x-vault-sudo": route.sudo,
        "x-vault-unauthenticated": route.unauthenticated,
    }
    if route.exists is not None:
        item["x-vault-createSupported"] = True
    if captures:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in captures
        ]
    for operation, served in route.endpoints():
        described = _operation(operation, served, captures, mount_type)
        method = _METHODS[operation]
        if method in item:
            item[method]["parameters"] = [_list_parameter(required=False)]
        else:
            item[method] = described
    return item


def _operation(operation: Operation, served: Endpoint[Any], captures: list[str], mount_type: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": served.summary,
        "operationId": f"{mount_type}-{served.handler.__name__.replace('_', '-')}",
        "tags": ["system" if mount_type == "system" else "auth" if mount_type == "token" else "secrets"],
        "responses": _responses(served),
    }
    properties, required = _fields(served.params, captures)
    if operation in {Operation.UPDATE, Operation.PATCH} and properties:
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        described["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    elif properties:
        described["parameters"] = [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in properties.items()
        ]
    if operation is Operation.LIST:
        described.setdefault("parameters", []).append(_list_parameter(required=True))
    return described


def _responses(served: Endpoint[Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "OK"}
    if served.responses:
        properties: dict[str, Any] = {name: {} for name in served.responses}
        success["content"] = {"application/json": {"schema": {"type": "object", "properties": properties}}}
    return {
        "200": success,
        "204": {"description": "No content"},
        "400": {"description": "Bad input"},
        "403": {"description": "Permission denied"},
        "404": {"description": "Not found"},
    }


def _list_parameter(*, required: bool) -> dict[str, Any]:
    return {"name": "list", "in": "query", "required": required, "schema": {"type": "string", "enum": ["true"]}}


@lru_cache(maxsize=1024)
def _schema(params: type[Params]) -> dict[str, Any]:
    return params.model_json_schema(by_alias=True, schema_generator=_Inlined)


def _fields(params: type[Params], captures: list[str]) -> tuple[dict[str, Any], list[str]]:
    schema = _schema(params)
    definitions = schema.get("$defs", {})
    properties = {
        name: _resolved(value, definitions)
        for name, value in schema.get("properties", {}).items()
        if name not in captures
    }
    return properties, [name for name in schema.get("required", []) if name not in captures]


def _resolved(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_resolved(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        return _resolved(definitions[reference.rpartition("/")[2]], definitions)
    return {key: _resolved(item, definitions) for key, item in value.items() if key != "title"}


class _Inlined(GenerateJsonSchema):
    """Default values that JSON cannot say are left out, without a warning."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Keep silent: such a default is simply not described."""
