"""What the host's own parts count: commits, caches, the seal."""

from collections.abc import Callable

from chancery.kit.metrics import SIZES, Counter, Meter

Uses = Callable[[], tuple[int, int]]
"""Returns hits and misses of a cache since the process started."""


def measure_commits(meter: Meter) -> Callable[[int, float], None]:
    """Return what a database tells of each group commit: how many writes shared it, and how many seconds it took."""
    sizes = meter.histogram("chancery_commit_writes", "Writes that shared one durable commit.", SIZES)
    duration = meter.histogram("chancery_commit_duration_seconds", "Commits, from the first statement to durable.")

    def observe(writes: int, seconds: float) -> None:
        sizes.observe(writes)
        duration.observe(seconds)

    return observe


def measure_cache(meter: Meter, cache: str, uses: Uses) -> None:
    """Count hits and misses that a cache counts by itself."""
    counters = [
        meter.counter("chancery_cache_requests_total", "Look-ups in caches by result.", cache=cache, result=result)
        for result in ("hit", "miss")
    ]
    told = [0, 0]

    def tell() -> None:
        for index, now in enumerate(uses()):
            _tell(counters[index], now - told[index])
            told[index] = now

    meter.before_reading(tell)


def measure_seal(meter: Meter, is_sealed: Callable[[], bool]) -> None:
    """Show how many processes there are, and how many are unsealed."""
    present = meter.gauge("chancery_workers", "Server processes of this node.")
    unsealed = meter.gauge("chancery_unsealed_workers", "Server processes of this node that are unsealed.")

    def show() -> None:
        present.set(1)
        unsealed.set(0 if is_sealed() else 1)

    meter.before_reading(show)


def _tell(counter: Counter, amount: int) -> None:
    if amount:
        counter.add(amount)
