"""`sys/metrics` and `sys/in-flight-req`: what this node counts, and what it is doing."""

import asyncio
from typing import Literal

from pydantic import Field

from chancery.kit.clock import Clock
from chancery.kit.params import Params
from chancery.kit.request import Answer, RawReply, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.telemetry.exposition import CONTENT_TYPE, as_document, as_text
from chancery.telemetry.service import Telemetry

_PROMETHEUS = ("application/openmetrics-text", "text/plain")


class MetricsParams(Params):
    """How metrics are written."""

    format: Literal["", "json", "prometheus"] = Field(
        "", description="json, the default, or prometheus. Without it, a client that accepts plain text gets that"
    )


class MetricsRoutes:
    """The routes, over the telemetry of the process."""

    def __init__(
        self, telemetry: Telemetry, clock: Clock, *, open_metrics: bool = False, open_in_flight: bool = False
    ) -> None:
        """What is open needs no token, and serves while sealed."""
        self._telemetry = telemetry
        self._clock = clock
        self._open_metrics = open_metrics
        self._open_in_flight = open_in_flight

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(
                pattern="metrics",
                read=endpoint(self.metrics, MetricsParams),
                unauthenticated=self._open_metrics,
                root_only=True,
            ),
            Route(
                pattern="in-flight-req",
                read=endpoint(self.in_flight),
                unauthenticated=self._open_in_flight,
                root_only=True,
            ),
        ]

    async def metrics(self, request: Request, params: MetricsParams) -> Answer:
        """Read the metrics of this node, all its workers together."""
        totals = await self._telemetry.read()
        if params.format == "prometheus" or (not params.format and _accepts_text(request)):
            return RawReply(await asyncio.to_thread(as_text, totals), CONTENT_TYPE)
        return Reply(as_document(totals, self._clock.now()), bare=True)

    async def in_flight(self, _request: Request, _params: Params) -> Answer:
        """Read which requests this node is serving now."""
        return Reply(await self._telemetry.in_flight(), bare=True)


def _accepts_text(request: Request) -> bool:
    accepted = request.headers.get("Accept", "")
    return any(kind in accepted for kind in _PROMETHEUS)
