"""What a second worker brings: the same server with one and with two, in alternating rounds on the same disk."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.contenders import ours
from bench.measure import Effort, Round, rounds
from bench.scenarios import Scenario

_COUNTS = (1, 2)


def compare(scenario: Scenario, directory: Path, effort: Effort, say: Callable[[object], None]) -> None:
    """Measure the scenario with each number of workers and hand the ratios to `say`."""
    with ExitStack() as stack:
        contenders = []
        for count in _COUNTS:
            home = directory / f"workers-{count}"
            home.mkdir()
            contenders.append(stack.enter_context(ours(home, name=str(count), settings={"workers": count})))
        for connections in scenario.concurrency:
            measured = rounds(scenario, contenders, connections, effort)
            say(_ratio(f"workers_rate_c{connections}", measured, lambda each: each.result.rate))
            say(_ratio(f"workers_p99_us_c{connections}", measured, lambda each: each.result.p99))
            say(_ratio(f"workers_cpu_us_per_request_c{connections}", measured, lambda each: each.cpu_per_request))


def _ratio(name: str, measured: dict[str, list[Round]], value: Callable[[Round], float]) -> str:
    one, two = (median(map(value, measured[str(count)])) for count in _COUNTS)
    return f"BENCH {name} one={one:.0f} two={two:.0f} ratio={two / one:.2f}"
