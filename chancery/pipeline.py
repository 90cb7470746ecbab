"""One request, one way: sealed? -> mount -> token -> ACL -> route -> typed parameters -> engine -> answer."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

from chancery.access import Access
from chancery.auth.tokens import TokenEntry
from chancery.exchange import AuditTrail, Exchange, Message, Surroundings
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, ChanceryError, Denied, NotFound, Unavailable, UnsupportedOperation
from chancery.kit.params import Params, parse_duration
from chancery.kit.request import Answer, Caller, Operation, RawReply, Reply, Request
from chancery.kit.route import Route
from chancery.namespaces.model import ROOT, Place
from chancery.namespaces.tenants import Tenants
from chancery.routing.router import Match
from chancery.routing.table import Mounted, MountTable
from chancery.telemetry.visits import CURRENT

T = TypeVar("T")


class Served(NamedTuple):
    """An answer with the type of the mount that gave it."""

    answer: Answer
    mount_type: str


class _Target(NamedTuple):
    """What a message is aimed at, as far as it exists."""

    place: Place
    mounted: Mounted | None
    below: str
    match: Match | None


class Pipeline:
    """Carries every request from message to answer."""

    def __init__(self, table: MountTable, tenants: Tenants, access: Access, clock: Clock, around: Surroundings) -> None:
        self._table = table
        self._tenants = tenants
        self._access = access
        self._clock = clock
        self._around = around

    async def serve(self, message: Message) -> Served:
        """Serve one request of an unsealed server. Raises the errors of `chancery.kit.errors`."""
        target = self._aim(message)
        mount = target.mounted.mount if target.mounted is not None else None
        if mount is not None and target.match is not None:
            _tell_where(mount.type, target.match)
        if self._around.quotas is not None:
            self._around.quotas.admit(message, target.place.namespace, target.place.path, mount)
        request = self._request(message, target)
        audit = self._around.audit
        if audit is not None and audit.is_active and _is_audited(target):
            return await self._serve_audited(audit, request, message, target)
        entry = await self._identify(request, message, target)
        exchange = await self._permit(request, message, target, entry)
        answer = await self._answer(exchange, target)
        if audit is not None and audit.is_active and _is_audited(target):
            await audit.response(exchange, answer, None)  # this very request enabled the first device
        return Served(answer, mount.type if mount is not None else "")

    async def _serve_audited(self, audit: AuditTrail, request: Request, message: Message, target: _Target) -> Served:
        mount = target.mounted.mount if target.mounted is not None else None
        exchange = Exchange(message, request, target.place.namespace, target.place.path, mount, None)
        try:
            exchange = exchange._replace(entry=await self._identify(request, message, target))
            exchange = await self._permit(request, message, target, exchange.entry)
        except Exception as refusal:
            await audit.request(exchange, _as_recorded(refusal))
            await audit.response(exchange, None, _as_recorded(refusal))
            raise
        await audit.request(exchange, None)
        try:
            answer = await self._answer(exchange, target)
        except (Exception, asyncio.CancelledError) as error:
            await audit.response(exchange, None, _as_recorded(error))
            raise
        await audit.response(exchange, answer, None)
        return Served(answer, mount.type if mount is not None else "")

    async def _identify(self, request: Request, message: Message, target: _Target) -> TokenEntry | None:
        """Find the caller's token; None where none is needed. Raises Denied."""
        match, place = target.match, target.place
        if match is not None and match.route.precondition is not None and place.exists:
            await match.route.precondition(request)
        if match is not None and match.route.unauthenticated and place.exists:
            return None
        return await self._access.identify(message.token, message.remote_address)

    async def _permit(self, request: Request, message: Message, target: _Target, entry: TokenEntry | None) -> Exchange:
        """Settle whether the caller may. Raises Denied, and only then tells what does not exist."""
        match, place = target.match, target.place
        if entry is not None:
            request = await self._authorise(request, message, target, entry)
        if not place.exists:
            raise NotFound("namespace not found")
        if target.mounted is None:
            raise NotFound(f'no handler for route "{message.path}". route entry not found.')
        if match is None:
            raise NotFound(f'no handler for route "{message.path}": {target.mounted.mount.type} serves no such path')
        if match.route.root_only and not place.namespace.is_root:
            raise BadInput("operation only available in root namespace")
        return Exchange(
            message, request, place.namespace, place.path, target.mounted.mount, entry, _wrap_ttl(message.headers)
        )

    async def _answer(self, exchange: Exchange, target: _Target) -> Answer:
        """Have the engine answer, and turn what the answer carries into tokens, leases and wrapping."""
        assert target.match is not None, "permitted requests have a route"
        answer = await _run(target.match.route, exchange.request, exchange.message)
        if not isinstance(answer, Reply):
            return await self._wrapped(answer, exchange) if isinstance(answer, RawReply) else None
        if answer.login is not None:
            logins = _demand(self._around.logins, "logins")
            auth, warnings = await logins.accept(answer.login, exchange)
            answer = replace(answer, auth=auth, login=None, warnings=(*answer.warnings, *warnings))
        if answer.lease is not None:
            leases, lease = _demand(self._around.leases, "leases"), answer.lease
            lease_id, ttl = await leases.register(lease, exchange)
            answer = replace(answer, lease=None, lease_id=lease_id, lease_duration=ttl, renewable=lease.renewable)
        return answer if answer.wrap_info is not None or answer.bare else await self._wrapped(answer, exchange)

    async def _wrapped(self, answer: Reply | RawReply, exchange: Exchange) -> Reply | RawReply:
        if not exchange.wrap_ttl:
            return answer
        info = await _demand(self._around.wrapping, "wrapping").wrap(answer, exchange)
        return Reply(wrap_info=info, warnings=answer.warnings if isinstance(answer, Reply) else ())

    async def serve_sealed(self, message: Message, match: Match) -> Served:
        """Serve a route that works without token and barrier."""
        _tell_where("system", match)
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
            fields=message.fields,
            client_certificate=message.client_certificate,
            client_chain=message.client_chain,
        )

    async def _authorise(self, request: Request, message: Message, target: _Target, entry: TokenEntry) -> Request:
        match = target.match
        operation = await _settle_operation(request, entry, match)
        acl, prefix = await self._access.scoped(entry, target.place.namespace)
        path = prefix + target.place.path
        if operation is Operation.LIST:
            path += "/"
        sudo_needed = match is not None and match.route.sudo
        wrap_ttl = _wrap_ttl(message.headers)
        if not acl.allows(operation, path, sudo_needed=sudo_needed, data=message.fields, wrap_ttl=wrap_ttl).allowed:
            raise Denied
        return request._replace(operation=operation, caller=_caller(entry))


def _tell_where(mount_type: str, match: Match) -> None:
    """Let the metrics know where the request went."""
    visit = CURRENT.get()
    if visit is not None:
        visit.mount_type, visit.route = mount_type, match.route.pattern


_KNOWS_TOKENS = frozenset({"system", "token"})
"""Only these mounts are handed the clear token, to look it up, renew or revoke it."""


async def _settle_operation(request: Request, entry: TokenEntry, match: Match | None) -> Operation:
    if request.operation is not Operation.UPDATE or match is None or match.route.exists is None:
        return request.operation
    exists = await match.route.exists(request._replace(caller=_caller(entry)))
    return Operation.UPDATE if exists else Operation.CREATE


def _caller(entry: TokenEntry) -> Caller:
    return Caller(
        accessor=entry.accessor,
        display_name=entry.display_name,
        policies=entry.policies,
        token_hash=entry.token_hash,
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
    return reply if reply.bare else replace(reply, warnings=(*reply.warnings, warning))


def _wrap_ttl(headers: Mapping[str, str]) -> int:
    text = headers.get("X-Vault-Wrap-TTL")
    if not text:
        return 0
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadInput.of("X-Vault-Wrap-TTL", str(error)) from None
    if seconds < 0:
        raise BadInput.of("X-Vault-Wrap-TTL", "must not be negative")
    if not seconds and any(digit in "123456789" for digit in text):
        raise BadInput.of("X-Vault-Wrap-TTL", "must be at least a second: the answer would be given in clear")
    if seconds and headers.get("X-Vault-Wrap-Format", "").lower() == "jwt":
        raise BadInput.of("X-Vault-Wrap-Format", "jwt is not served: leave the header out for an ordinary token")
    return seconds


def _is_audited(target: _Target) -> bool:
    return target.match is None or not target.match.route.unaudited


def _as_recorded(error: BaseException) -> ChanceryError:
    """Return what audit may say of an error: only our own are made to be read."""
    if isinstance(error, ChanceryError):
        return error
    given_up = isinstance(error, asyncio.CancelledError)
    return ChanceryError("given up before it was answered" if given_up else "internal error")


def _demand(port: T | None, name: str) -> T:
    if port is None:
        raise Unavailable(f"this server is not set up for {name}")
    return port
