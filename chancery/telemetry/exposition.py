"""Metrics as text for Prometheus, and as the JSON document that Vault answers by default."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from typing import Any

from chancery.telemetry.cells import Kind, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Totals = Mapping[Series, list[float]]


def as_text(totals: Totals) -> bytes:
    """Render Prometheus' text format. Takes milliseconds: not for the event loop."""
    from prometheus_client.core import CollectorRegistry
    from prometheus_client.exposition import generate_latest
    from prometheus_client.metrics_core import Metric

    class Collected:
        """What `prometheus_client` asks for metrics."""

        def collect(self) -> Iterable[Metric]:
            return _families(totals)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return generate_latest(registry)


def _families(totals: Totals) -> Iterator[Any]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    makers = {
        Kind.COUNTER: CounterMetricFamily,
        Kind.GAUGE: GaugeMetricFamily,
        Kind.HISTOGRAM: HistogramMetricFamily,
    }
    families: dict[tuple[str, tuple[str, ...]], Any] = {}
    for series, cells in totals.items():
        names = tuple(label for label, _ in series.labels)
        family = families.get((series.name, names))
        if family is None:
            family = makers[series.kind](series.name, series.description, labels=names)
            families[series.name, names] = family
        values = [value for _, value in series.labels]
        if series.kind is Kind.HISTOGRAM:
            *counts, total = cells
            limits = [*map(_number, series.bounds), "+Inf"]
            family.add_metric(values, [*zip(limits, accumulate(counts), strict=True)], total)
        else:
            family.add_metric(values, cells[0])
    yield from families.values()


def as_document(totals: Totals, now: datetime) -> dict[str, Any]:
    """Render Vault's JSON. Counts and sums are since the start, where Vault's are of the last ten seconds."""
    document: dict[str, Any] = {
        "Timestamp": f"{now:%Y-%m-%d %H:%M:%S} +0000 UTC",
        "Gauges": [],
        "Points": [],
        "Counters": [],
        "Samples": [],
    }
    for series, cells in totals.items():
        entry: dict[str, Any] = {"Name": series.name.replace("_", "."), "Labels": dict(series.labels)}
        if series.kind is Kind.GAUGE:
            document["Gauges"].append(entry | {"Value": cells[0]})
        elif series.kind is Kind.COUNTER:
            document["Counters"].append(entry | {"Count": int(cells[0]), "Sum": cells[0]})
        else:
            *counts, total = cells
            count = int(sum(counts))
            document["Samples"].append(entry | {"Count": count, "Sum": total, "Mean": total / count if count else 0.0})
    return document


def _number(bound: float) -> str:
    return f"{bound:g}"
