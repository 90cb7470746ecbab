"""How figures are printed: `BENCH name ours=X peer=Y ratio=R`, one line each.

The ratio is written so that more than 1 is in our favour, whether the figure is a rate (more is better) or a cost
(less is better).
"""

from dataclasses import dataclass
from statistics import median
from typing import Literal

Better = Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number on both sides: the medians of several rounds. A side that was not measured is None."""

    name: str
    ours: float | None
    peer: float | None
    better: Better

    @property
    def ratio(self) -> float | None:
        """Return how many times better ours is, or None when one side is missing."""
        if not self.ours or not self.peer:
            return None
        return self.ours / self.peer if self.better == "more" else self.peer / self.ours

    def __str__(self) -> str:
        sides = [f"{side}={value:.0f}" for side, value in (("ours", self.ours), ("peer", self.peer)) if value]
        ratio = [f"ratio={self.ratio:.2f}"] if self.ratio is not None else []
        return " ".join(["BENCH", self.name, *sides, *ratio])


def middle(values: list[float]) -> float | None:
    """Return the median, or None when nothing was measured."""
    return median(values) if values else None
