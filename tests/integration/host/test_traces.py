"""Spans through a whole host: what they are, what hangs below what, and what they never carry."""

import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chancery.kit.errors import BadInput
from chancery.kit.metrics import Unmetered
from chancery.settings import TraceSettings
from chancery.telemetry import traces
from chancery.telemetry.tracing import Tracing
from tests.support.host_world import host_world

SETTINGS = {"traces": {"endpoint": "http://127.0.0.1:9/v1/traces"}}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(traces, "_otlp", lambda _settings: exporter)
    return exporter


def _named(exported: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exported.get_finished_spans() if span.name == name]


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


async def test_a_request_its_engine_and_its_commit_are_one_trace(
    tmp_path: Path, exported: InMemorySpanExporter
) -> None:
    async with host_world(tmp_path, telemetry=SETTINGS) as world:
        policy: dict[str, Any] = {"policy": 'path "x" { capabilities = ["read"] }'}
        headers = {"traceparent": PARENT}
        assert (await world.call("POST", "sys/policies/acl/secret-name", policy, headers=headers))[0] == 204
    (request,) = _named(exported, "POST system/policies/acl/{name...}")
    assert request.context is not None
    assert f"{request.context.trace_id:032x}" in PARENT
    assert f"{_parent(request):016x}" in PARENT
    (engine,) = (span for span in _named(exported, "engine") if _parent(span) == request.context.span_id)
    assert engine.context is not None
    assert [_parent(span) for span in _named(exported, "commit")].count(engine.context.span_id) == 1
    assert dict(request.attributes or {})["http.route"] == "policies/acl/{name...}"


def test_signatures_are_spans_below_their_request(exported: InMemorySpanExporter) -> None:
    meter = traces.TracingMeter(
        Unmetered(), opened := traces.Traces(TraceSettings(endpoint="http://localhost"), exported)
    )
    histogram = meter.histogram(traces.SIGNATURES, "Signatures.", key="root-key")
    with opened.part("engine", {}):
        histogram.observe(0.25)
    opened.close()
    (engine,), (sign,) = _named(exported, "engine"), _named(exported, "sign")
    assert engine.context is not None
    assert _parent(sign) == engine.context.span_id
    assert sign.end_time is not None
    assert sign.start_time is not None
    assert abs(sign.end_time - sign.start_time - 250_000_000) < 1000
    assert dict(sign.attributes or {}) == {"chancery.key": "root-key"}


async def test_refusals_are_marked_and_nothing_that_clients_send_is_told(
    tmp_path: Path, exported: InMemorySpanExporter
) -> None:
    async with host_world(tmp_path, telemetry=SETTINGS) as world:
        assert (await world.call("GET", "sys/policies/acl/secret-name", token="s.secret-token"))[0] == 403
    (request,) = _named(exported, "GET system/policies/acl/{name...}")
    assert request.status.description == "Denied"
    assert not any("secret" in span.to_json() for span in exported.get_finished_spans())


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chancery.telemetry.traces", None)
    with pytest.raises(BadInput, match=r"chancery-ca\[otel\]"):
        Tracing(TraceSettings(endpoint="http://localhost:4318/v1/traces"))
