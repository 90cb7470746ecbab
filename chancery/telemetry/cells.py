"""Metrics in memory that all workers share: each worker counts in a region of its own, whoever is asked adds up all.

A region outlives its worker: the replacement counts on where the dead one stopped, so nothing ever falls back, and not
even a kill loses a count. Counting is one addition in place. A region is a length and then records, each with the key
of a series and its cells (doubles); a record is complete before the length includes it, so readers need no lock.
"""

import logging
import mmap
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

from chancery.kit.metrics import SECONDS, Counter, Gauge, Histogram, Unmetered

_log = logging.getLogger(__name__)

REGION_SIZE = 1 << 20
"""Bytes a worker: some four thousand series. Pages that are not used cost nothing."""

_LENGTH = struct.Struct("Q")
_RECORD = struct.Struct("IHH")
"""Length of the key, number of cells, nothing."""
_CELL = 8


class Kind(StrEnum):
    """What the cells of a series mean."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    """One cell for each bound, one for what lies above, and the sum."""


@dataclass(frozen=True, slots=True)
class Series:
    """The identity of a series."""

    kind: Kind
    name: str
    description: str
    labels: tuple[tuple[str, str], ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """Return how many cells it has."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1

    def encoded(self) -> bytes:
        """Return the key, padded to whole cells."""
        key = orjson.dumps([self.kind, self.name, self.description, self.labels, self.bounds])
        return key + b" " * (-len(key) % _CELL)

    @classmethod
    def decoded(cls, key: bytes) -> "Series":
        """Read a key."""
        kind, name, description, labels, bounds = orjson.loads(key)
        return cls(Kind(kind), name, description, tuple((label, value) for label, value in labels), tuple(bounds))


class Cells:
    """All regions; made before the first fork."""

    def __init__(self, workers: int = 1) -> None:
        self._memory = memoryview(mmap.mmap(-1, workers * REGION_SIZE))
        self._workers = workers

    def meter(self, index: int = 0) -> "CellMeter":
        """Return the meter of a worker, which alone counts in its region."""
        return CellMeter(self._region(index))

    def totals(self) -> dict[Series, list[float]]:
        """Return the cells of every series, added up over the workers."""
        totals: dict[Series, list[float]] = {}
        for index in range(self._workers):
            for series, cells in _records(self._region(index)):
                known = totals.get(series)
                totals[series] = list(cells) if known is None else [a + b for a, b in zip(known, cells, strict=True)]
        return totals

    def _region(self, index: int) -> memoryview:
        return self._memory[index * REGION_SIZE : (index + 1) * REGION_SIZE]


def _records(region: memoryview) -> Iterator[tuple[Series, "memoryview[float]"]]:
    """Yield the series of a region with their cells."""
    end, offset = _LENGTH.unpack_from(region)[0], _LENGTH.size
    while offset < end:
        key_length, cells, _ = _RECORD.unpack_from(region, offset)
        key = offset + _RECORD.size
        first = key + key_length
        offset = first + cells * _CELL
        yield Series.decoded(bytes(region[key:first])), region[first:offset].cast("d")


class CellMeter:
    """`Meter` over one region."""

    def __init__(self, region: memoryview) -> None:
        self._region = region
        self._known = dict(_records(region))
        self._samples: list[Callable[[], None]] = []
        self._full = False
        for series, cells in self._known.items():
            if series.kind is Kind.GAUGE:
                cells[0] = 0.0  # it was the dead worker's

    def counter(self, name: str, description: str, **labels: str) -> Counter:
        """Return a counter."""
        cells = self._cells(Series(Kind.COUNTER, name, description, tuple(sorted(labels.items()))))
        return _Cell(cells) if cells is not None else Unmetered().counter(name, description)

    def gauge(self, name: str, description: str, **labels: str) -> Gauge:
        """Return a gauge."""
        cells = self._cells(Series(Kind.GAUGE, name, description, tuple(sorted(labels.items()))))
        return _Cell(cells) if cells is not None else Unmetered().gauge(name, description)

    def histogram(self, name: str, description: str, bounds: Sequence[float] = SECONDS, **labels: str) -> Histogram:
        """Return a histogram."""
        series = Series(Kind.HISTOGRAM, name, description, tuple(sorted(labels.items())), tuple(bounds))
        cells = self._cells(series)
        return _Buckets(cells, series.bounds) if cells is not None else Unmetered().histogram(name, description)

    def before_reading(self, sample: Callable[[], None]) -> None:
        """Have `sample` called before metrics are read."""
        self._samples.append(sample)

    def sample(self) -> None:
        """Set the gauges that nobody keeps up."""
        for sample in self._samples:
            sample()

    def _cells(self, series: Series) -> "memoryview[float] | None":
        known = self._known.get(series)
        if known is not None:
            return known
        key = series.encoded()
        offset = _LENGTH.unpack_from(self._region)[0] or _LENGTH.size
        first = offset + _RECORD.size + len(key)
        end = first + series.cells * _CELL
        if end > len(self._region):
            if not self._full:
                self._full = True
                _log.warning(
                    "there are more metrics than there is room for: %s and others are not counted", series.name
                )
            return None
        _RECORD.pack_into(self._region, offset, len(key), series.cells, 0)
        self._region[offset + _RECORD.size : first] = key
        _LENGTH.pack_into(self._region, 0, end)
        cells = self._known[series] = self._region[first:end].cast("d")
        return cells


class _Cell:
    """A counter or a gauge."""

    __slots__ = ("_cells",)

    def __init__(self, cells: "memoryview[float]") -> None:
        self._cells = cells

    def add(self, amount: float = 1) -> None:
        """Count."""
        self._cells[0] += amount

    def set(self, value: float) -> None:
        """Say how it is now."""
        self._cells[0] = value


class _Buckets:
    """A histogram."""

    __slots__ = ("_bounds", "_cells", "_sum")

    def __init__(self, cells: "memoryview[float]", bounds: tuple[float, ...]) -> None:
        self._cells, self._bounds = cells, bounds
        self._sum = len(bounds) + 1

    def observe(self, value: float) -> None:
        """Count a value."""
        cells = self._cells
        cells[bisect_left(self._bounds, value)] += 1
        cells[self._sum] += value
