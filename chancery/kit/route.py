"""How an engine declares its paths. The router compiles these once; OpenAPI is generated from them.

Patterns are segments below the mount: `roles/{name}`; `{rest...}` as the last segment takes the whole remainder,
slashes included. A literal segment wins over a capture. Trailing slashes are not significant.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from chancery.kit.params import NoParams, Params
from chancery.kit.request import Answer, Operation, Request

P = TypeVar("P", bound=Params)


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[P]):
    """One operation of a path: what it accepts, who serves it, what it is called."""

    handler: Callable[[Request, P], Awaitable[Answer]]
    params: type[P]
    summary: str
    responses: tuple[str, ...] = ()
    """Names of the fields in `data`, for the OpenAPI document."""
    statuses: tuple[str, ...] = ()
    """Statuses that only this operation answers with, as OpenAPI spells them: `202`, `4XX`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path pattern and its operations."""

    pattern: str
    read: Endpoint[Any] | None = None
    list: Endpoint[Any] | None = None
    update: Endpoint[Any] | None = None
    """Serves both CREATE and UPDATE: which of the two a write is, `exists` tells."""
    patch: Endpoint[Any] | None = None
    delete: Endpoint[Any] | None = None
    exists: Callable[[Request], Awaitable[bool]] | None = None
    """When given, a write to a thing that does not exist needs the `create` capability instead of `update`."""
    precondition: Callable[[Request], Awaitable[None]] | None = None
    """Asked before who asks is settled: raises what even a client without a valid token is told."""
    unauthenticated: bool = False
    sudo: bool = False
    """Root-protected: needs the `sudo` capability besides the operation's own."""
    root_only: bool = False
    """Served in the root namespace only: it concerns the whole server."""
    unaudited: bool = False
    """Not recorded by audit devices: it tells a prober the state of the server, or serves while it is sealed."""

    def endpoint(self, operation: Operation) -> Endpoint[Any] | None:
        """Return what serves an operation, or None."""
        match operation:
            case Operation.READ:
                return self.read
            case Operation.LIST:
                return self.list
            case Operation.CREATE | Operation.UPDATE:
                return self.update
            case Operation.PATCH:
                return self.patch
            case Operation.DELETE:
                return self.delete

    def endpoints(self) -> Iterator[tuple[Operation, Endpoint[Any]]]:
        """Yield every operation with what serves it; a write appears once, as UPDATE."""
        for operation in Operation:
            endpoint = None if operation is Operation.CREATE else self.endpoint(operation)
            if endpoint is not None:
                yield operation, endpoint


def endpoint(
    handler: Callable[[Request, P], Awaitable[Answer]],
    params: type[P] = NoParams,  # type: ignore[assignment]  # the default is for handlers that take NoParams
    summary: str = "",
    responses: tuple[str, ...] = (),
    statuses: tuple[str, ...] = (),
) -> Endpoint[P]:
    """Declare one operation; the summary defaults to the first line of the handler's docstring."""
    first_line = (handler.__doc__ or "").strip().partition("\n")[0]
    return Endpoint(handler, params, summary or first_line, responses, statuses)
