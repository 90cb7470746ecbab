"""Metrics as those who count see them. Names are Prometheus': `chancery_..._total`, `..._seconds`; labels are few.

Handles are made once and kept; using one costs a tenth of a microsecond. Label values come from configuration, never
from what clients send: each combination is a series for the life of the server.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of durations: from a cached read to a generated key."""
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""Bounds of batches."""


class Counter(Protocol):
    """Goes up, for as long as the server runs."""

    def add(self, amount: float = 1) -> None:
        """Count."""
        ...


class Gauge(Protocol):
    """Goes up and down. What several processes set is added up."""

    def set(self, value: float) -> None:
        """Say how it is now."""
        ...


class Histogram(Protocol):
    """How often values fell where."""

    def observe(self, value: float) -> None:
        """Count a value."""
        ...


class Meter(Protocol):
    """Makes handles. The same name and labels lead to the same series."""

    def counter(self, name: str, description: str, **labels: str) -> Counter:
        """Return a counter; its name ends in `_total`."""
        ...

    def gauge(self, name: str, description: str, **labels: str) -> Gauge:
        """Return a gauge."""
        ...

    def histogram(self, name: str, description: str, bounds: Sequence[float] = SECONDS, **labels: str) -> Histogram:
        """Return a histogram; bounds are upper bounds, inclusive."""
        ...

    def before_reading(self, sample: Callable[[], None]) -> None:
        """Have `sample` called on the event loop before metrics are read, to set gauges that nobody keeps up."""
        ...


class _Nothing:
    """Counts nothing."""

    def add(self, amount: float = 1) -> None:
        """Do nothing."""

    def set(self, value: float) -> None:
        """Do nothing."""

    def observe(self, value: float) -> None:
        """Do nothing."""


_NOTHING = _Nothing()


class Unmetered:
    """The meter of whoever measures nothing: tests, and parts that run without a host."""

    def counter(self, name: str, description: str, **labels: str) -> Counter:  # noqa: ARG002
        """Return a counter that forgets."""
        return _NOTHING

    def gauge(self, name: str, description: str, **labels: str) -> Gauge:  # noqa: ARG002
        """Return a gauge that forgets."""
        return _NOTHING

    def histogram(
        self,
        name: str,  # noqa: ARG002
        description: str,  # noqa: ARG002
        bounds: Sequence[float] = SECONDS,  # noqa: ARG002
        **labels: str,  # noqa: ARG002
    ) -> Histogram:
        """Return a histogram that forgets."""
        return _NOTHING

    def before_reading(self, sample: Callable[[], None]) -> None:
        """Do nothing."""
