"""One request, one way: sealed? -> mount -> token -> ACL -> route -> typed parameters -> engine -> answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chancery.access import Access
from chancery.auth.tokens import TokenEntry
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, Denied, NotFound, UnsupportedOperation
from chancery.kit.params import Params
from chancery.kit.request import Answer, Caller, Operation, Reply, Request
from chancery.kit.route import Route
from chancery.namespaces.model import ROOT, Place
from chancery.namespaces.tenants import Tenants
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


@dataclass(frozen=True, slots=True)
class _Target:
    """What a message is aimed at, as far as it exists."""

    place: Place
    mounted: Mounted | None
    below: str
    match: Match | None


class Pipeline:
    """Carries every request from message to answer."""

    def __init__(self, table: MountTable, tenants: Tenants, access: Access, clock: Clock) -> None:
        self._table = table
        self._tenants = tenants
        self._access = access
        self._clock = clock

    async def serve(self, message: Message) -> Served:
        """Serve one request of an unsealed server. Raises the errors of `chancery.kit.errors`."""
        target = self._aim(message)
        request = self._request(message, target)
        match = target.match
        if match is None or not match.route.unauthenticated or not target.place.exists:
            request = await self._authorise(request, message, target)
        if not target.place.exists:
            raise NotFound("namespace not found")
        if target.mounted is None:
            raise NotFound(f'no handler for route "{message.path}". route entry not found.')
        if match is None:
            raise NotFound(f'no handler for route "{message.path}": {target.mounted.mount.type} serves no such path')
        if match.route.root_only and not target.place.namespace.is_root:
            raise BadInput("operation only available in root namespace")
        return Served(await _run(match.route, request, message), target.mounted.mount.type)

    async def serve_sealed(self, message: Message, match: Match) -> Served:
        """Serve a route that works without token and barrier."""
        target = _Target(Place(ROOT, message.path), None, "", match)
        return Served(await _run(match.route, self._request(message, target), message), "system")

    def _aim(self, message: Message) -> _Target:
        place = self._tenants.namespaces.resolve(message.namespace, message.path)
        found = self._table.find(place.namespace.id, place.path)
        if found is None:
            return _Target(place, None, "", None)
        return _Target(place, *found, found[0].router.match(found[1]))

    def _request(self, message: Message, target: _Target) -> Request:
        match, mounted = target.match, target.mounted
        captures = match.captures if match is not None else {}
        return Request(
            id=message.request_id,
            operation=message.operation,
            path=target.below,
            mount_path=mounted.mount.path if mounted is not None else "",
            raw={**message.fields, **captures} if captures else message.fields,
            now=self._clock.now(),
            namespace=target.place.namespace.path,
            namespace_id=target.place.namespace.id,
            remote_address=message.remote_address,
            headers=message.headers,
            token=message.token if mounted is not None and mounted.mount.type in _KNOWS_TOKENS else "",
        )

    async def _authorise(self, request: Request, message: Message, target: _Target) -> Request:
        entry = await self._access.identify(message.token, message.remote_address)
        match = target.match
        operation = await _settle_operation(request, match)
        acl, prefix = await self._access.scoped(entry, target.place.namespace)
        path = prefix + target.place.path
        if operation is Operation.LIST:
            path = path.rstrip("/") + "/"
        sudo_needed = match is not None and match.route.sudo
        if not acl.allows(operation, path, sudo_needed=sudo_needed, data=message.fields).allowed:
            raise Denied
        return replace(request, operation=operation, caller=_caller(entry))


_KNOWS_TOKENS = frozenset({"system", "token"})
"""Only these mounts are handed the clear token, to look it up, renew or revoke it."""


async def _settle_operation(request: Request, match: Match | None) -> Operation:
    if request.operation is not Operation.UPDATE or match is None or match.route.exists is None:
        return request.operation
    return Operation.UPDATE if await match.route.exists(request) else Operation.CREATE


def _caller(entry: TokenEntry) -> Caller:
    return Caller(
        accessor=entry.accessor,
        display_name=entry.display_name,
        policies=entry.policies,
        entity_id=entry.entity_id,
        is_root="root" in entry.policies,
        namespace_id=entry.namespace,
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
