"""Requests while they are served and the moment they end: who is in flight, how long it took, how it was answered."""

from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Protocol

from chancery.kit.clock import rfc3339
from chancery.kit.metrics import Histogram, Meter

UNROUTED = "none"
"""The route of a request that no route was found for: what clients make up never becomes a label."""

_METHODS = frozenset({"GET", "HEAD", "LIST", "POST", "PUT", "PATCH", "DELETE"})


class Incoming(Protocol):
    """What is known of a request when its head was read."""

    @property
    def method(self) -> str:
        """Return the method."""
        ...

    @property
    def raw_path(self) -> str:
        """Return path and query as they came."""
        ...

    @property
    def remote(self) -> str | None:
        """Return the client's address."""
        ...


class Visit:
    """One request from its head to its answer. Whoever routes it fills in where it went."""

    __slots__ = ("_incoming", "is_over", "mount_type", "request_id", "route", "started")

    def __init__(self, request_id: str, incoming: Incoming) -> None:
        self.request_id = request_id
        self._incoming = incoming
        self.is_over = False
        self.started = perf_counter()
        self.mount_type = UNROUTED
        self.route = UNROUTED

    @property
    def method(self) -> str:
        """Return the method, if it is one."""
        method = self._incoming.method
        return method if method in _METHODS else UNROUTED

    def describe(self) -> dict[str, str]:
        """Return it as `sys/in-flight-req` shows it. Without the query: parameters may be secrets, paths are not."""
        began = time() - (perf_counter() - self.started)
        return {
            "start_time": rfc3339(datetime.fromtimestamp(began, UTC)),
            "client_remote_address": self._incoming.remote or "",
            "request_path": self._incoming.raw_path.partition("?")[0],
            "request_method": self._incoming.method,
            "client_id": "",
        }


CURRENT: ContextVar[Visit | None] = ContextVar("visit", default=None)
"""The request that is being served, for the router that knows where it goes and for whatever is logged meanwhile."""


class Visits:
    """All requests of this process. Costs a request about a microsecond and a half."""

    def __init__(self, meter: Meter) -> None:
        self.in_flight: dict[str, Visit] = {}
        self._meter = meter
        self._durations: dict[tuple[str, str, str, int], Histogram] = {}
        gauge = meter.gauge("chancery_requests_in_flight", "Requests that are being served.")
        meter.before_reading(lambda: gauge.set(len(self.in_flight)))

    def begin(self, request_id: str, incoming: Incoming) -> Visit:
        """Begin a request; to be ended, whatever happens."""
        visit = self.in_flight[request_id] = Visit(request_id, incoming)
        CURRENT.set(visit)
        return visit

    def end(self, visit: Visit, status: int) -> None:
        """End a request that is answered with a status."""
        visit.is_over = True
        self.in_flight.pop(visit.request_id, None)
        key = (visit.mount_type, visit.route, visit.method, status)
        durations = self._durations.get(key)
        if durations is None:
            durations = self._durations[key] = self._histogram(*key)
        durations.observe(perf_counter() - visit.started)

    def _histogram(self, mount_type: str, route: str, method: str, status: int) -> Histogram:
        return self._meter.histogram(
            "chancery_request_duration_seconds",
            "Requests by type of mount, route, method and status, from the head of the request to the answer.",
            mount_type=mount_type,
            route=route,
            method=method,
            code=str(status),
        )
