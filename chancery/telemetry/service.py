"""Telemetry put together: the meter that this process counts with, and what all workers counted and are doing."""

import resource
from collections.abc import Mapping
from typing import Any

import orjson

from chancery.telemetry.cells import Cells, Series
from chancery.telemetry.visits import Visits
from chancery.workers.link import Topic
from chancery.workers.siblings import Siblings


class Telemetry:
    """One for the process, of which there may be several on the node."""

    def __init__(self, cells: Cells | None = None, siblings: Siblings | None = None) -> None:
        """`cells` made before the first fork, and `siblings`, when this process is one of several workers."""
        self._cells = cells or Cells()
        self._siblings = siblings
        index = siblings.own.index if siblings is not None else 0
        self.meter = self._cells.meter(index)
        self.visits = Visits(self.meter)
        self._measure_process(str(index))

    async def read(self) -> dict[Series, list[float]]:
        """Return every series, added up over all workers, as of now."""
        self.meter.sample()
        if self._siblings is not None:
            await self._siblings.ask_all(Topic.SAMPLE)
        return self._cells.totals()

    async def in_flight(self) -> dict[str, Mapping[str, str]]:
        """Return the requests that all workers are serving, by their identifiers."""
        found: dict[str, Mapping[str, str]] = self._in_flight_here()
        if self._siblings is not None:
            for answer in (await self._siblings.ask_all(Topic.IN_FLIGHT)).values():
                found |= orjson.loads(answer)
        return found

    def answer(self, topic: Topic) -> bytes:
        """Answer a sibling's `SAMPLE` or `IN_FLIGHT`."""
        if topic is Topic.SAMPLE:
            self.meter.sample()
            return b""
        return orjson.dumps(self._in_flight_here())

    def _in_flight_here(self) -> dict[str, Any]:
        return {request_id: visit.describe() for request_id, visit in self.visits.in_flight.items()}

    def _measure_process(self, worker: str) -> None:
        memory = self.meter.gauge(
            "chancery_process_max_resident_bytes", "The most memory that a server process has had.", worker=worker
        )
        seconds = self.meter.gauge(
            "chancery_process_cpu_seconds", "CPU time of a server process since it started.", worker=worker
        )

        def sample() -> None:
            used = resource.getrusage(resource.RUSAGE_SELF)
            seconds.set(used.ru_utime + used.ru_stime)
            memory.set(used.ru_maxrss * 1024)

        self.meter.before_reading(sample)
