"""What extensions offer to engines, found by type."""

from typing import TypeVar, cast

from chancery.kit.engine import Extension
from chancery.kit.errors import Unavailable

S = TypeVar("S")


class OfferedServices:
    """The services of every open extension."""

    def __init__(self) -> None:
        self._services: dict[type, object] = {}

    def offer(self, extension: Extension) -> None:
        """Add what an extension offers. Two offers of one service are a broken installation."""
        for service, implementation in extension.services().items():
            self.add(service, implementation)

    def add(self, service: type, implementation: object) -> None:
        """Add one service."""
        if service in self._services:
            raise RuntimeError(f"two extensions offer {service.__name__}")
        self._services[service] = implementation

    def get(self, service: type[S]) -> S:
        """Return the service. Raises Unavailable when no installed extension offers it."""
        try:
            return cast(S, self._services[service])
        except KeyError:
            raise Unavailable(f"no installed extension offers {service.__name__}") from None
