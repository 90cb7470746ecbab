"""HTTP requests that configuration or a login makes the server send: the port. An engine asks for it as a service::

    door = outgoing_of(context.services)

Laws: https only, unless the operator allows more; no address that the operator has not allowed; every size and time
bounded. Nothing that a client sends opens another way to the network.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, Protocol

from chancery.kit.engine import Services
from chancery.kit.errors import Unavailable

DEFAULT_MAX_SIZE: Final = 1024 * 1024
NOT_AUTHORITIES: Final = "expected one or more PEM certificates of authorities"


class OutgoingFailed(Unavailable):
    """No usable answer came. The message names the host and what happened: for operators, not for those who log in."""


class OutgoingRefused(OutgoingFailed):
    """The operator's settings forbid the request; nothing was sent."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """May hold credentials; they go to the URL's own origin and nowhere else."""
    ca_pem: str = ""
    """The only authorities that may vouch for the peer; the system's when empty."""
    max_size: int = DEFAULT_MAX_SIZE
    """Bytes of the answer's body."""
    is_signed: bool = False
    """The answer is itself signed and will be verified (OCSP, CRL): the operator may let it travel over plain HTTP."""


@dataclass(frozen=True, slots=True)
class OutgoingAnswer:
    """What came back, whatever its status."""

    status: int
    body: bytes = field(repr=False)


class Outgoing(Protocol):
    """The one door to the network."""

    async def send(self, request: OutgoingRequest) -> OutgoingAnswer:
        """Send a request. Raises OutgoingRefused, and OutgoingFailed when no answer came; statuses are the caller's."""
        ...


def outgoing_of(services: Services) -> Outgoing:
    """Return the door. Raises Unavailable on a server that has none."""
    return services.get(Outgoing)  # type: ignore[type-abstract]  # services are found by Protocol


def demand_authorities(ca_pem: str) -> None:
    """Raise ValueError when a text is not one or more PEM certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, TypeError, ValueError):  # TypeError: the text is not ASCII
        raise ValueError(NOT_AUTHORITIES) from None
