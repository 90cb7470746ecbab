"""Records of requests and answers, in the shape of Vault's audit lines. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from chancery.audit.callers import Caller, Callers
from chancery.audit.concealment import Concealment
from chancery.exchange import Exchange, Message
from chancery.kit.clock import rfc3339
from chancery.kit.engine import Mount
from chancery.kit.errors import ChanceryError
from chancery.kit.request import Answer, Auth, Operation, RawReply, Reply, WrapInfo

Shown = Mapping[str, frozenset[str]]
"""Fields shown in clear, by the type of the mount."""

Headers = Mapping[str, bool]
"""Request headers to record, in lower case, and whether as HMAC only."""

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """How one device wants its records."""

    conceal: Concealment
    callers: Callers
    elide_lists: bool
    shown: Shown


def asked(view: View, exchange: Exchange, headers: Headers, error: ChanceryError | None) -> bytes:
    """Return what records of a request and of its answer share: the members `auth` and `request`, without braces."""
    caller = view.callers.caller(exchange, error)
    return b'"auth":' + caller.auth + b',"request":' + orjson.dumps(_request(view, exchange, caller, headers))


def request_record(time: str, shared: bytes, error: ChanceryError | None) -> bytes:
    """Return the record of a request, about to be served or refused."""
    return b'{"time":"%b","type":"request",%b%b}' % (time.encode(), shared, _error(error))


def response_record(
    view: View, time: str, shared: bytes, exchange: Exchange, answer: Answer, error: ChanceryError | None
) -> bytes:
    """Return the record of an answer, about to leave."""
    response = orjson.dumps(_response(view, exchange, answer))
    return b'{"time":"%b","type":"response",%b,"response":%b%b}' % (time.encode(), shared, response, _error(error))


def _error(error: ChanceryError | None) -> bytes:
    return b"" if error is None else b',"error":' + orjson.dumps(error.message or type(error).__name__)


def _request(view: View, exchange: Exchange, caller: Caller, headers: Headers) -> dict[str, Any]:
    message, mount, conceal = exchange.message, exchange.mount, view.conceal
    is_list = exchange.request.operation is Operation.LIST
    document: dict[str, Any] = {"id": message.request_id, "operation": exchange.request.operation.value}
    if mount is not None:
        document |= _mount(mount)
    if caller.client_token:
        document["client_token"] = caller.client_token
    if caller.accessor:
        document["client_token_accessor"] = caller.accessor
    namespace = exchange.namespace
    document["namespace"] = {"id": namespace.id, **({"path": namespace.path} if namespace.path else {})}
    document["path"] = exchange.path + "/" if is_list and exchange.path else exchange.path
    fields = {name: value for name, value in message.fields.items() if name != "list"} if is_list else message.fields
    if fields:
        document["data"] = conceal.fields(fields, _clear(view, mount, of_request=True))
    document["remote_address"] = message.remote_address
    if exchange.wrap_ttl:
        document["wrap_ttl"] = exchange.wrap_ttl
    shown = _headers(conceal, message, headers) if headers else None
    return {**document, "headers": shown} if shown else document


def _mount(mount: Mount) -> dict[str, str]:
    return {
        "mount_point": mount.path,
        "mount_type": mount.type,
        "mount_accessor": mount.accessor,
        "mount_class": "auth" if mount.path.startswith("auth/") else "secret",
    }


def _headers(conceal: Concealment, message: Message, headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in message.headers.items():
        hides = headers.get(name.lower())
        if hides is not None:
            found.setdefault(name.lower(), []).append(conceal.hidden(value) if hides else value)
    return found


def _clear(view: View, mount: Mount | None, *, of_request: bool) -> frozenset[str]:
    if mount is None:
        return _NOTHING
    tuned = mount.config.audit_non_hmac_request_keys if of_request else mount.config.audit_non_hmac_response_keys
    always = view.shown.get(mount.type, _NOTHING)
    return always.union(tuned) if tuned else always


def _response(view: View, exchange: Exchange, answer: Answer) -> dict[str, Any]:
    mount, conceal = exchange.mount, view.conceal
    document: dict[str, Any] = {} if mount is None else dict(_mount(mount))
    if isinstance(answer, RawReply):
        document["data"] = {
            "http_content_type": conceal.hidden(answer.content_type),
            "http_raw_body": conceal.body(answer.body),
            "http_status_code": answer.status,
        }
    if not isinstance(answer, Reply):
        return document
    if answer.auth is not None:
        document["auth"] = _auth(conceal, answer.auth)
    if answer.lease_id:
        document["secret"] = {"lease_id": answer.lease_id}
    if answer.data is not None:
        counted = _counted(answer.data) if view.elide_lists and _is_list(exchange) else {}
        kept = {name: value for name, value in answer.data.items() if name not in counted} if counted else answer.data
        document["data"] = {**conceal.fields(kept, _clear(view, mount, of_request=False)), **counted}
    if answer.wrap_info is not None:
        document["wrap_info"] = _wrap_info(conceal, answer.wrap_info)
    if answer.warnings:
        document["warnings"] = list(answer.warnings)
    return document


def _is_list(exchange: Exchange) -> bool:
    return exchange.request.operation is Operation.LIST


def _counted(data: Mapping[str, Any]) -> dict[str, int]:
    """Return how many keys a list has."""
    lists = {name: data.get(name) for name in ("keys", "key_info")}
    return {name: len(value) for name, value in lists.items() if isinstance(value, list | tuple | Mapping)}


def _auth(conceal: Concealment, auth: Auth) -> dict[str, Any]:
    document: dict[str, Any] = {"client_token": conceal.hidden(auth.client_token)}
    if auth.accessor:
        document["accessor"] = conceal.accessor(auth.accessor)
    document |= {"policies": list(auth.policies), "token_policies": list(auth.token_policies)}
    if auth.identity_policies:
        document["identity_policies"] = list(auth.identity_policies)
    if auth.metadata:
        document["metadata"] = dict(auth.metadata)
    if auth.entity_id:
        document["entity_id"] = auth.entity_id
    document["token_type"] = auth.token_type
    if auth.lease_duration:
        document["token_ttl"] = auth.lease_duration
    if auth.num_uses:
        document["num_uses"] = auth.num_uses
    return document


def _wrap_info(conceal: Concealment, info: WrapInfo) -> dict[str, Any]:
    document = {
        "ttl": info.ttl,
        "token": conceal.hidden(info.token),
        "accessor": conceal.accessor(info.accessor),
        "creation_time": rfc3339(info.creation_time),
        "creation_path": info.creation_path,
    }
    return document | ({"wrapped_accessor": conceal.accessor(info.wrapped_accessor)} if info.wrapped_accessor else {})
