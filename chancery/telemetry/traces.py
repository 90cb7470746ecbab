"""Traces for OpenTelemetry: a span for each request, and within it for the engine, signatures and commits.

Everything here is imported only when `telemetry.traces` is set. It wraps what it traces from outside; what is traced
knows nothing of it, and costs nothing when it is absent. Spans carry routes, never paths' values, parameters or tokens.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from sqlalchemy import Connection, Table

from chancery import __version__
from chancery.exchange import Exchange, Message
from chancery.kit.metrics import SECONDS, Counter, Gauge, Histogram, Meter
from chancery.kit.request import Answer
from chancery.pipeline import Pipeline, Served
from chancery.settings import TraceSettings
from chancery.storage.database import Bell, HostDatabase
from chancery.telemetry.visits import CURRENT

T = TypeVar("T")

_PROPAGATED = ("traceparent", "tracestate")
SIGNATURES = "chancery_managed_key_sign_duration_seconds"


class Traces:
    """Opened once the process is forked; closed last."""

    def __init__(self, settings: TraceSettings, exporter: SpanExporter | None = None) -> None:
        """`exporter` takes the place of OTLP over HTTP to `settings.endpoint`."""
        resource = Resource.create({"service.name": settings.service_name, "service.version": __version__})
        sampler = ParentBased(TraceIdRatioBased(settings.sample_ratio))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or _otlp(settings)))
        self._tracer = self._provider.get_tracer("chancery")

    @contextmanager
    def request(self, message: Message) -> Iterator[Span]:
        """Span a request, as a child of what the client's `traceparent` names."""
        parent = extract({name: message.headers[name] for name in _PROPAGATED if name in message.headers})
        attributes = {"chancery.request_id": message.request_id, "chancery.operation": message.operation.value}
        with self._span("request", parent, SpanKind.SERVER, attributes) as span:
            try:
                yield span
            finally:
                visit = CURRENT.get()
                if visit is not None:
                    span.update_name(f"{visit.method} {visit.mount_type}/{visit.route}")
                    span.set_attributes({"http.request.method": visit.method, "http.route": visit.route})

    @contextmanager
    def part(self, name: str, attributes: Mapping[str, str]) -> Iterator[None]:
        """Span a part of what the present task is doing."""
        with self._span(name, None, SpanKind.INTERNAL, attributes):
            yield

    def past(self, name: str, seconds: float, attributes: Mapping[str, str]) -> None:
        """Span what the present task did in the last seconds."""
        now = time.time_ns()
        span = self._tracer.start_span(name, attributes=dict(attributes), start_time=now - int(seconds * 1e9))
        span.end(now)

    def close(self) -> None:
        """Send what waits. Blocks for as long as the collector takes, up to its timeout."""
        self._provider.shutdown()

    @contextmanager
    def _span(self, name: str, parent: Any, kind: SpanKind, attributes: Mapping[str, str]) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise


def _otlp(settings: TraceSettings) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(settings.endpoint)


class TracedPipeline(Pipeline):
    """The pipeline with a span for each request and for its engine."""

    def __init__(self, traces: Traces, *parts: Any) -> None:
        super().__init__(*parts)
        self._traces = traces

    async def serve(self, message: Message) -> Served:
        """Serve one request."""
        with self._traces.request(message):
            return await super().serve(message)

    async def _answer(self, exchange: Exchange, target: Any) -> Answer:
        mount = exchange.mount
        with self._traces.part("engine", {"chancery.mount_type": mount.type if mount is not None else ""}):
            return await super()._answer(exchange, target)


class TracedDatabase:
    """A database whose writes are spanned from the call to durable."""

    def __init__(self, database: HostDatabase, traces: Traces) -> None:
        self._database, self._traces = database, traces
        self.storage_type, self.on_batch = database.storage_type, database.on_batch

    @property
    def bell(self) -> Bell | None:
        """Return what rings between processes."""
        return self._database.bell

    async def open(self) -> None:
        """Connect."""
        await self._database.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._database.close()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run read-only work."""
        return await self._database.read(work)

    async def peek(self, work: Callable[[Connection], T]) -> T:
        """Run read-only work beside all other."""
        return await self._database.peek(work)

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Run work that no other process may run meanwhile."""
        return await self._database.migrate(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction."""
        with self._traces.part("commit", {}):
            return await self._database.write(work)

    async def append(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert one row."""
        with self._traces.part("commit", {"chancery.table": table.name}):
            await self._database.append(table, row)


class TracingMeter:
    """A meter that makes spans of measured signatures: they are measured where they happen."""

    def __init__(self, meter: Meter, traces: Traces) -> None:
        self._meter, self._traces = meter, traces

    def counter(self, name: str, description: str, **labels: str) -> Counter:
        """Return a counter."""
        return self._meter.counter(name, description, **labels)

    def gauge(self, name: str, description: str, **labels: str) -> Gauge:
        """Return a gauge."""
        return self._meter.gauge(name, description, **labels)

    def histogram(self, name: str, description: str, bounds: Sequence[float] = SECONDS, **labels: str) -> Histogram:
        """Return a histogram."""
        histogram = self._meter.histogram(name, description, bounds, **labels)
        return _Spanned(histogram, self._traces, labels) if name == SIGNATURES else histogram

    def before_reading(self, sample: Callable[[], None]) -> None:
        """Have `sample` called before metrics are read."""
        self._meter.before_reading(sample)


class _Spanned:
    def __init__(self, histogram: Histogram, traces: Traces, labels: Mapping[str, str]) -> None:
        self._histogram, self._traces = histogram, traces
        self._attributes = {f"chancery.{name}": value for name, value in labels.items()}

    def observe(self, value: float) -> None:
        """Count a duration, and span it."""
        self._histogram.observe(value)
        self._traces.past("sign", value, self._attributes)
