"""What Prometheus and Vault's clients read."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from chancery.telemetry.cells import Cells
from chancery.telemetry.exposition import as_document, as_text


def _cells() -> Cells:
    meter = (cells := Cells()).meter()
    meter.counter("chancery_errors_total", "Errors.", kind='odd "one"\n').add(2)
    meter.gauge("chancery_depth", "Depth.").set(3)
    for code in ("200", "500"):
        latency = meter.histogram("chancery_seconds", "Time.", (0.1, 1.0), code=code)
        for value in (0.05, 0.5, 5):
            latency.observe(value)
    return cells


def test_prometheus_reads_the_text() -> None:
    families = {family.name: family for family in text_string_to_metric_families(as_text(_cells().totals()).decode())}
    assert {name: family.type for name, family in families.items()} == {
        "chancery_errors": "counter",
        "chancery_depth": "gauge",
        "chancery_seconds": "histogram",
    }
    assert families["chancery_errors"].samples[0].labels == {"kind": 'odd "one"\n'}
    samples = {
        (sample.name, sample.labels["code"], sample.labels.get("le")): sample.value
        for sample in families["chancery_seconds"].samples
    }
    assert samples["chancery_seconds_bucket", "200", "0.1"] == 1
    assert samples["chancery_seconds_bucket", "200", "1"] == 2
    assert samples["chancery_seconds_bucket", "500", "+Inf"] == 3
    assert samples["chancery_seconds_count", "500", None] == 3
    assert samples["chancery_seconds_sum", "200", None] == 5.55


def test_the_document_has_vaults_sections() -> None:
    document = as_document(_cells().totals(), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert document["Timestamp"] == "2026-01-02 03:04:05 +0000 UTC"
    assert document["Gauges"] == [{"Name": "chancery.depth", "Labels": {}, "Value": 3.0}]
    assert document["Counters"][0]["Count"] == 2
    assert [sample["Count"] for sample in document["Samples"]] == [3, 3]
    assert document["Points"] == []
