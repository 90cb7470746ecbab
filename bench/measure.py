"""Rounds: every contender in turn, in alternating order, alone while it is measured; medians at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import cpu
from bench.contenders import Contender
from bench.load import LoadResult, run
from bench.report import Better, Figure, middle
from bench.scenarios import Scenario

_WARM_UP = 2
"""Seconds of load before the first round at each concurrency, so that caches, JITs and pools have settled."""

_WORTH_NAMING = 1.0
"""Microseconds a request below which a thread is not listed."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Round:
    """One measured run, with the CPU microseconds of each thread per request."""

    result: LoadResult
    cpu: dict[tuple[str, int, int], float]

    @property
    def cpu_per_request(self) -> float:
        """Return the CPU microseconds of the whole process tree for one request."""
        return sum(self.cpu.values())


def measure(scenario: Scenario, contenders: Sequence[Contender], effort: Effort, say: Callable[[object], None]) -> None:
    """Measure a scenario and hand each figure to `say` as soon as it is known."""
    for contender in contenders:
        scenario.prove(contender)
    for connections in scenario.concurrency:
        measured = rounds(scenario, contenders, connections, effort)
        for figure in _figures(f"{scenario.name}_c{connections}", measured):
            say(figure)
        if measured.get("ours"):
            say(_where(measured["ours"]))
    for contender in contenders:
        scenario.prove(contender)


def rounds(
    scenario: Scenario, contenders: Sequence[Contender], connections: int, effort: Effort
) -> dict[str, list[Round]]:
    """Measure each contender `effort.rounds` times, by name."""
    measured: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        run(scenario.load(contender), connections=connections, seconds=_WARM_UP)
    for number in range(effort.rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            measured[contender.name].append(_round(scenario, contender, connections, effort.seconds))
    return measured


def _round(scenario: Scenario, contender: Contender, connections: int, seconds: int) -> Round:
    before = cpu.snapshot(contender.pid)
    result = run(scenario.load(contender), connections=connections, seconds=seconds)
    used = cpu.snapshot(contender.pid).since(before)
    return Round(result, {thread: spent / result.requests for thread, spent in used.items()})


def _figures(name: str, rounds: dict[str, list[Round]]) -> list[Figure]:
    ours, peer = rounds.get("ours", []), rounds.get("peer", [])

    def figure(label: str, value: Callable[[Round], float], better: Better) -> Figure:
        return Figure(label, middle([*map(value, ours)]), middle([*map(value, peer)]), better)

    return [
        figure(name, lambda each: each.result.rate, "more"),
        figure(f"p50_us_{name}", lambda each: each.result.p50, "less"),
        figure(f"p99_us_{name}", lambda each: each.result.p99, "less"),
        figure(f"cpu_us_per_request_{name}", lambda each: each.cpu_per_request, "less"),
    ]


def _where(rounds: Sequence[Round]) -> str:
    """Tell where our CPU time went in the last round, by process and thread."""
    shares = [
        f"{label}[{pid}]/{'main' if thread == pid else thread} {spent:.0f}"
        for (label, pid, thread), spent in rounds[-1].cpu.items()
        if spent >= _WORTH_NAMING
    ]
    return f"  our CPU us a request by thread: {', '.join(shares)}"
