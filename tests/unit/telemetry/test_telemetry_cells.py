"""Metrics in shared memory: counted per worker, read together, kept when a worker dies."""

import os

import pytest

from chancery.telemetry.cells import REGION_SIZE, Cells, Kind, Series


def _values(cells: Cells) -> dict[str, list[float]]:
    return {series.name + "".join(f"|{value}" for _, value in series.labels): v for series, v in cells.totals().items()}


def test_workers_are_added_up() -> None:
    cells = Cells(2)
    for index in range(2):
        meter = cells.meter(index)
        meter.counter("requests_total", "Requests.", route="a").add(index + 1)
        meter.gauge("depth", "Depth.").set(5)
        latency = meter.histogram("seconds", "Time.", (1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 9.0):
            latency.observe(value)
    assert _values(cells) == {"requests_total|a": [3.0], "depth": [10.0], "seconds": [4.0, 2.0, 2.0, 24.0]}


def test_the_same_name_and_labels_lead_to_the_same_series() -> None:
    meter = (cells := Cells()).meter()
    meter.counter("c_total", "C.", a="1", b="2").add()
    meter.counter("c_total", "C.", b="2", a="1").add()
    assert _values(cells) == {"c_total|1|2": [2.0]}


def test_a_replacement_counts_on_and_forgets_gauges() -> None:
    cells = Cells(1)
    child = os.fork()
    if child == 0:
        meter = cells.meter()
        meter.counter("done_total", "Done.").add(41)
        meter.gauge("in_flight", "In flight.").set(3)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert _values(cells) == {"done_total": [41.0], "in_flight": [3.0]}
    cells.meter().counter("done_total", "Done.").add()
    assert _values(cells) == {"done_total": [42.0], "in_flight": [0.0]}


def test_a_full_region_counts_what_it_knows_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    meter = (cells := Cells()).meter()
    known = meter.counter("known_total", "Known.")
    for number in range(REGION_SIZE // 1000):
        meter.counter("many_total", "Many.", number=str(number).zfill(1000)).add()
    known.add()
    assert _values(cells)["known_total"] == [1.0]
    assert len(caplog.records) == 1


def test_samples_are_taken_before_reading() -> None:
    meter = (cells := Cells()).meter()
    gauge = meter.gauge("length", "Length.")
    meter.before_reading(lambda: gauge.set(7))
    meter.sample()
    assert _values(cells) == {"length": [7.0]}


def test_keys_are_read_as_they_were_written() -> None:
    series = Series(Kind.HISTOGRAM, "h", "Größe in µs", (("label", 'with "quotes"'),), (0.5, 1.0))
    assert Series.decoded(series.encoded()) == series
    assert len(series.encoded()) % 8 == 0
