"""`sys/internal/specs/openapi`: the OpenAPI 3 document, generated from the routes and their parameter models."""

import inspect
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from chancery import __version__
from chancery.kit.params import LaxBool, Params
from chancery.kit.request import Answer, Operation, RawReply, Reply, Request
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
    operation_ids: Counter[str] = Counter()
    for mounted in sorted(mounts, key=lambda each: each.mount.path):
        mount = mounted.mount
        kind = "auth/" if mount.path.startswith("auth/") else ""
        is_named = generic and mount.type not in _FIXED
        prefix = f"{kind}{{{mount.type}_mount_path}}/" if is_named else mount.path
        for route in mounted.router.routes:
            path = f"/{prefix}{route.pattern.replace('...}', '}')}"
            if path not in paths:  # in a generic document the second mount of a type says nothing new
                paths[path] = _path_item(path, route, mount.type, operation_ids)
    return {
        "openapi": "3.0.2",
        "info": {
            "title": "Chancery API",
            "description": "HTTP API that gives you full access to Chancery. All API routes are prefixed with /v1/.",
            "version": __version__,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": [{"url": "/v1"}],
        "paths": paths,
        "components": {
            "schemas": {},
            "responses": {name: _failure(text) for name, text in _FAILURES.values()},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Vault-Token"}},
        },
    }


_FIXED = frozenset({"system", "token", "cubbyhole", "identity"})
"""Types of mounts whose path is always the same."""


def _path_item(path: str, route: Route, mount_type: str, operation_ids: Counter[str]) -> dict[str, Any]:
    captures = [part[1:-1] for part in path.split("/") if part.startswith("{")]
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
        described = _operation(operation, served, captures)
        if not route.unauthenticated:
            described["security"] = [{"token": []}]
        method = _METHODS[operation]
        if method in item:
            _add_list(item[method], described)
        else:
            operation_id = f"{mount_type}-{served.handler.__name__.replace('_', '-')}"
            operation_ids[operation_id] += 1
            count = operation_ids[operation_id]
            described["operationId"] = operation_id if count == 1 else f"{operation_id}-{count}"
            described["tags"] = [_tag(path)]
            item[method] = described
    return item


def _operation(operation: Operation, served: Endpoint[Any], captures: list[str]) -> dict[str, Any]:
    takes_body = operation in {Operation.UPDATE, Operation.PATCH}
    described: dict[str, Any] = {"summary": served.summary, "responses": _responses(operation, served)}
    properties, required = _fields(served.params, captures)
    if takes_body and properties:
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        media = "application/merge-patch+json" if operation is Operation.PATCH else "application/json"
        described["requestBody"] = {"required": bool(required), "content": {media: {"schema": schema}}}
    elif properties:
        described["parameters"] = [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in properties.items()
        ]
    if operation is Operation.LIST:
        described.setdefault("parameters", []).append(_list_parameter(required=True))
    return described


def _tag(path: str) -> str:
    area = path.split("/")[1]
    return "system" if area == "sys" else area if area in {"auth", "identity"} else "secrets"


def _add_list(reading: dict[str, Any], listing: dict[str, Any]) -> None:
    """Say of a path that is read and listed by one method that a parameter chooses."""
    parameters = reading.setdefault("parameters", [])
    known = {each["name"] for each in parameters}
    parameters += [each | {"required": False} for each in listing.get("parameters", ()) if each["name"] not in known]


_FAILURES = {
    "400": ("BadInput", "The request is wrong; every wrong field is named"),
    "403": ("Denied", "No valid token, or its policies do not allow this"),
    "404": ("NotFound", "There is no such thing"),
    "405": ("UnsupportedOperation", "The path does not serve this operation"),
    "409": ("Conflict", "Somebody else changed it first, or its state forbids this"),
    "413": ("PayloadTooLarge", "The body exceeds limits.max_request_size"),
    "415": ("UnsupportedMediaType", "The body is not application/merge-patch+json"),
    "429": ("RateLimited", "Too many requests; Retry-After says when to try again"),
    "500": ("Failed", "An HSM or KMS refused, or the server failed; its log says more"),
    "503": ("Unavailable", "The server is sealed, or something that it depends on is away"),
}
"""Statuses with their name in the document; `chancery.http.errors` decides when they are given."""
_ONLY_WITH_BODY = {Operation.UPDATE: {"413"}, Operation.PATCH: {"413", "415"}}


def _responses(operation: Operation, served: Endpoint[Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "OK"}
    if inspect.signature(served.handler).return_annotation is RawReply:
        success["content"] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    elif served.responses:
        properties: dict[str, Any] = {name: {} for name in served.responses}
        success["content"] = {"application/json": {"schema": {"type": "object", "properties": properties}}}
    responses = {"200": success, "204": {"description": "No content"}}
    for status in served.statuses:
        responses[status] = {"description": "Particular to this operation"}
    of_body = _ONLY_WITH_BODY.get(operation, set())
    for status, (name, _) in _FAILURES.items():
        if status not in {"413", "415"} or status in of_body:
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    return responses


def _failure(text: str) -> dict[str, Any]:
    errors = {"type": "object", "properties": {"errors": {"type": "array", "items": {"type": "string"}}}}
    return {"description": text, "content": {"application/json": {"schema": errors}}}


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
