"""One request, one way: sealed? -> mount -> token -> ACL -> route -> typed parameters -> engine -> answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chancery.access import Access
from chancery.auth.tokens import TokenEntry
from chancery.kit.clock import Clock
from chancery.kit.engine import ROOT_NAMESPACE
from chancery.kit.errors import BadInput, Denied, NotFound, UnsupportedOperation
from chancery.kit.params import Params
from chancery.kit.request import Answer, Caller, Operation, Reply, Request
from chancery.kit.route import Route
from chancery.routing.router import Match
from chancery.routing.table import Mounted, MountTable


@dataclass(frozen=True, slots=True)
class Message:
    """A request as the edge understood it, before anyone knows who asks and which engine serves."""

    request_id: str
    operation: Operation
    path: str
    """Without `/v1/`; as sent, trailing slash included."""
    fields: Mapping[str, Any]
    token: str = ""
    namespace: str = ""
    remote_address: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """An answer with the type of the mount that gave it."""

    answer: Answer
    mount_type: str


class Pipeline:
    """Carries every request from message to answer."""

    def __init__(self, table: MountTable, access: Access, clock: Clock) -> None:
        self._table = table
        self._access = access
        self._clock = clock

    async def serve(self, message: Message) -> Served:
        """Serve one request of an unsealed server. Raises the errors of `chancery.kit.errors`."""
        _demand_root_namespace(message.namespace)
        found = self._table.find(ROOT_NAMESPACE, message.path)
        mounted, below = found if found is not None else (None, "")
        match = mounted.router.match(below) if mounted is not None else None
        request = self._request(message, mounted, below, match)
        if match is None or not match.route.unauthenticated:
            request = await self._authorise(request, message, match)
        if mounted is None:
            raise NotFound(f'no handler for route "{message.path}". route entry not found.')
        if match is None:
            raise NotFound(f'no handler for route "{message.path}": {mounted.mount.type} serves no such path')
        return Served(await _run(match.route, request, message), mounted.mount.type)

    async def serve_sealed(self, message: Message, match: Match) -> Served:
        """Serve a route that works without token and barrier."""
        return Served(await _run(match.route, self._request(message, None, "", match), message), "system")

    def _request(self, message: Message, mounted: Mounted | None, below: str, match: Match | None) -> Request:
        captures = match.captures if match is not None else {}
        return Request(
            id=message.request_id,
            operation=message.operation,
            path=below,
            mount_path=mounted.mount.path if mounted is not None else "",
            raw={**message.fields, **captures} if captures else message.fields,
            now=self._clock.now(),
            remote_address=message.remote_address,
            headers=message.headers,
            token=message.token if mounted is not None and mounted.mount.type in _KNOWS_TOKENS else "",
        )

    async def _authorise(self, request: Request, message: Message, match: Match | None) -> Request:
        entry = await self._access.identify(message.token, message.remote_address)
        operation = await _settle_operation(request, match)
        acl = await self._access.acl(entry)
        path = message.path if operation is not Operation.LIST else message.path.rstrip("/") + "/"
        sudo_needed = match is not None and match.route.sudo
        decision = acl.allows(operation, path, sudo_needed=sudo_needed, data=message.fields)
        if not decision.allowed:
            raise Denied
        return _authorised(request, operation, entry)


_KNOWS_TOKENS = frozenset({"system", "token"})
"""Only these mounts are handed the clear token, to look it up, renew or revoke it."""


async def _settle_operation(request: Request, match: Match | None) -> Operation:
    if request.operation is not Operation.UPDATE or match is None or match.route.exists is None:
        return request.operation
    return Operation.UPDATE if await match.route.exists(request) else Operation.CREATE


def _authorised(request: Request, operation: Operation, entry: TokenEntry) -> Request:
    return Request(
        id=request.id,
        operation=operation,
        path=request.path,
        mount_path=request.mount_path,
        raw=request.raw,
        now=request.now,
        caller=_caller(entry),
        remote_address=request.remote_address,
        headers=request.headers,
        token=request.token,
    )


def _caller(entry: TokenEntry) -> Caller:
    return Caller(
        accessor=entry.accessor,
        display_name=entry.display_name,
        policies=entry.policies,
        entity_id=entry.entity_id,
        is_root="root" in entry.policies,
    )


async def _run(route: Route, request: Request, message: Message) -> Answer:
    endpoint = route.endpoint(request.operation)
    if endpoint is None:
        raise UnsupportedOperation
    params: Params = endpoint.params.parse(request.raw)
    answer = await endpoint.handler(request, params)
    if isinstance(answer, Reply) and request.operation in _WRITES:
        unknown = endpoint.params.unknown(message.fields)
        if unknown:
            return _with_warning(answer, f"Endpoint ignored these unrecognized parameters: [{' '.join(unknown)}]")
    return answer


_WRITES = frozenset({Operation.CREATE, Operation.UPDATE, Operation.PATCH})


def _with_warning(reply: Reply, warning: str) -> Reply:
    if reply.bare:
        return reply
    return Reply(reply.data, warnings=(*reply.warnings, warning), auth=reply.auth, status=reply.status, flat=reply.flat)


def _demand_root_namespace(namespace: str) -> None:
    if namespace.strip("/") not in {"", "root"}:
        raise BadInput.of("X-Vault-Namespace", "no such namespace; this server has only the root namespace")
