"""`python -m bench`: every figure of the comparison with OpenBao, one line each."""

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import auditing, machine, nodes, scenarios, starting, workers
from bench.contenders import open_all
from bench.measure import Effort, measure

_RESULTS = Path(__file__).with_name("results")
"""Databases lie here, on the disk of the checkout: /tmp may be memory, where durability costs nothing."""

LOADS = {"sign": scenarios.sign, "issue": scenarios.issue}
"""Scenarios that put a server under load, by name."""


def main() -> None:
    """Run the scenarios that the command line names."""
    options = _options()
    effort = Effort(rounds=options.rounds, seconds=options.seconds)
    chosen = [LOADS[name](tuple(options.concurrency)) for name in options.scenario if name in LOADS]
    _RESULTS.mkdir(exist_ok=True)
    print(
        f"{machine.describe()}\n# medians of {effort.rounds} rounds of {effort.seconds} s; ratio > 1 is in our favour"
    )
    with tempfile.TemporaryDirectory(dir=_RESULTS) as directory, ExitStack() as stack:
        if "start" in options.scenario:
            print(starting.measure(options.contender, Path(directory)), flush=True)
        if "audit" in options.scenario:
            auditing.compare(Path(directory), options.concurrency, effort, lambda line: print(line, flush=True))
        if "nodes" in options.scenario:
            nodes.compare(scenarios.sign(tuple(options.concurrency)), Path(directory), effort, print)
        if "workers" in options.scenario:
            workers.compare(scenarios.sign(tuple(options.concurrency)), Path(directory), effort, print)
        contenders = open_all(stack, options.contender, Path(directory)) if chosen else []
        for scenario in chosen:
            measure(scenario, contenders, effort, lambda line: print(line, flush=True))
    print(machine.describe())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Compare Chancery with OpenBao on this machine.")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", "3")))
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("BENCH_SECONDS", "5")))
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument(
        "--scenario",
        nargs="+",
        choices=["start", "audit", "nodes", "workers", *LOADS],
        default=["start", "sign", "audit", "nodes"],
    )
    parser.add_argument("--contender", nargs="+", choices=["ours", "peer"], default=["ours", "peer"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
