"""The engine behind `sys/`: the routes of every part of the system, as one mount."""

from collections.abc import Sequence

from chancery.kit.route import Route


class SystemEngine:
    """Routes only: the state lives in the parts that brought them."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)

    def routes(self) -> Sequence[Route]:
        """Return everything below `sys/`."""
        return self._routes

    async def start(self) -> None:
        """Nothing to make ready."""

    async def stop(self) -> None:
        """Nothing to give back."""

    async def erase(self) -> None:
        """The system is never unmounted."""
        raise AssertionError("sys/ cannot be disabled")
