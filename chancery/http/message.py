"""One HTTP request turned into a `Message`: operation, path and fields, with every limit enforced on the way.

Paths leave here in one canonical spelling. Policies are judged by the same text that routes are found by, so no other
spelling of a path may reach a route.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from chancery.exchange import Message
from chancery.http.client_certificates import NOTHING, Presented
from chancery.http.errors import UnsupportedMediaType
from chancery.kit.errors import BadInput, PayloadTooLarge, UnsupportedOperation
from chancery.kit.request import Operation

_OPERATIONS = {
    "POST": Operation.UPDATE,
    "PUT": Operation.UPDATE,
    "GET": Operation.READ,
    "HEAD": Operation.READ,
    "LIST": Operation.LIST,
    "DELETE": Operation.DELETE,
    "PATCH": Operation.PATCH,
}
_MERGE_PATCH = "application/merge-patch+json"
_PREFIX = "/v1/"


async def read_message(
    request: web.BaseRequest, request_id: str, max_body: int, presented: Presented = NOTHING
) -> Message:
    """Parse a request that came over a connection whose client presented these certificates.

    Raises BadInput, PayloadTooLarge, UnsupportedOperation or UnsupportedMediaType.
    """
    operation = _OPERATIONS.get(request.method)
    if operation is None:
        raise UnsupportedOperation
    target, _, query = request.raw_path.partition("?")
    path = _path(target)
    fields: Mapping[str, Any]
    if operation is Operation.UPDATE or operation is Operation.PATCH:
        if operation is Operation.PATCH:
            _demand_merge_patch(request)
        fields = _fields(await read_body(request, max_body))
    else:
        fields = _query(request) if query else {}
        if operation is Operation.READ and str(fields.get("list", "")).lower() in {"true", "1", "t"}:
            operation = Operation.LIST
    headers = request.headers
    return Message(
        request_id=request_id,
        operation=operation,
        path=path.rstrip("/"),
        fields=fields,
        token=headers.get("X-Vault-Token") or _bearer(headers.get("Authorization")),
        namespace=headers.get("X-Vault-Namespace", ""),
        remote_address=request.remote or "",
        headers=headers,
        client_certificate=presented.certificate,
        client_chain=presented.chain,
    )


def _path(target: str) -> str:
    if not target.startswith(_PREFIX):
        raise BadInput("paths begin with /v1/")
    path = target[len(_PREFIX) :]
    if "%" in path:
        path = unquote(path, errors="replace")
    if ".." in path and ".." in path.split("/"):
        raise BadInput("path cannot contain parent references")
    if "//" in path or path.startswith("/"):
        raise BadInput("path cannot contain empty segments")
    if not path.isprintable():
        raise BadInput("path contains characters that cannot be printed")
    return path


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _demand_merge_patch(request: web.BaseRequest) -> None:
    if request.content_type != _MERGE_PATCH:
        raise UnsupportedMediaType(
            f"PATCH requires Content-Type of {_MERGE_PATCH}, provided {request.content_type[:80]}"
        )


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """Read the body, never more than `limit` bytes of it. Raises PayloadTooLarge."""
    content = request.content
    if content.is_eof():
        body = content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    pieces, size = [], 0
    while not content.at_eof():
        piece = await content.readany()
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"request body exceeds the limit of {limit} bytes (limits.max_request_size)")


def _fields(body: bytes) -> Mapping[str, Any]:
    if not body or body.isspace():
        return {}
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            f"failed to decode JSON input: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise BadInput("failed to decode JSON input: expected an object")
    return fields


def _query(request: web.BaseRequest) -> Mapping[str, Any]:
    query = request.query
    return {name: values[0] if len(values) == 1 else values for name in query for values in [query.getall(name)]}
