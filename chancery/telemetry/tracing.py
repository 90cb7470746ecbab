"""Tracing as the host knows it: what stands in the place of its parts when `telemetry.traces` is set."""

from typing import TYPE_CHECKING

from chancery.access import Access
from chancery.exchange import Surroundings
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput
from chancery.kit.metrics import Meter
from chancery.namespaces.tenants import Tenants
from chancery.pipeline import Pipeline
from chancery.routing.table import MountTable
from chancery.settings import TraceSettings
from chancery.storage.database import HostDatabase

if TYPE_CHECKING:
    from chancery.telemetry.traces import Traces


class Tracing:
    """Hands out each part as it is, or wrapped."""

    def __init__(self, settings: TraceSettings | None) -> None:
        """Raises BadInput when traces are wanted and their packages are not installed."""
        self._traces = _open(settings) if settings is not None else None

    def database(self, database: HostDatabase) -> HostDatabase:
        """Return the database whose writes are traced."""
        if self._traces is None:
            return database
        from chancery.telemetry.traces import TracedDatabase

        return TracedDatabase(database, self._traces)

    def meter(self, meter: Meter) -> Meter:
        """Return the meter for extensions, whose measured signatures are traced."""
        if self._traces is None:
            return meter
        from chancery.telemetry.traces import TracingMeter

        return TracingMeter(meter, self._traces)

    def pipeline(
        self, table: MountTable, tenants: Tenants, access: Access, clock: Clock, around: Surroundings
    ) -> Pipeline:
        """Return the pipeline, whose requests are traced."""
        if self._traces is None:
            return Pipeline(table, tenants, access, clock, around)
        from chancery.telemetry.traces import TracedPipeline

        return TracedPipeline(self._traces, table, tenants, access, clock, around)

    def close(self) -> None:
        """Send what waits; blocks for as long as the collector takes, up to its timeout."""
        if self._traces is not None:
            self._traces.close()


def _open(settings: TraceSettings) -> "Traces":
    try:
        from chancery.telemetry.traces import Traces
    except ModuleNotFoundError as error:
        raise BadInput.of(
            "telemetry.traces",
            f"traces need packages that are not installed ({error.name}): pip install 'chancery-ca[otel]'",
        ) from None
    return Traces(settings)
