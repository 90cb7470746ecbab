"""What audit costs: the same server with a file device and without, in alternating rounds on the same disk."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import scenarios
from bench.contenders import ours
from bench.load import LoadFailed
from bench.measure import Effort, Round, rounds
from chancery.audit.verify import Verifier

_LOG = "audit.log"


def compare(directory: Path, concurrency: Sequence[int], effort: Effort, say: Callable[[object], None]) -> None:
    """Measure signing on both servers and hand each ratio to `say`. Raises LoadFailed unless every line is there."""
    scenario = scenarios.sign(tuple(concurrency))
    device = {"type": "file", "options": {"file_path": str(directory / _LOG)}}
    with ExitStack() as stack:
        homes = {name: directory / f"audit-{name}" for name in ("off", "on")}
        for home in homes.values():
            home.mkdir()
        off = stack.enter_context(ours(homes["off"], name="off"))
        on = stack.enter_context(ours(homes["on"], name="on", settings={"audit": {"devices": [device]}}))
        for connections in scenario.concurrency:
            measured = rounds(scenario, [off, on], connections, effort)
            say(_ratio(f"audit_rate_c{connections}", measured, lambda each: each.result.rate))
            say(_ratio(f"audit_p50_us_c{connections}", measured, lambda each: each.result.p50))
            say(_ratio(f"audit_cpu_us_per_request_c{connections}", measured, lambda each: each.cpu_per_request))
    _verify(directory / _LOG)


def _ratio(name: str, measured: dict[str, list[Round]], value: Callable[[Round], float]) -> str:
    off, on = (median(map(value, measured[side])) for side in ("off", "on"))
    return f"BENCH {name} off={off:.0f} on={on:.0f} ratio={on / off:.2f}"


def _verify(log: Path) -> None:
    verifier = Verifier()
    with log.open("rb") as lines:
        verifier.read(log.name, lines)
    if verifier.finish():
        raise LoadFailed(f"the audit log is not whole: {verifier.findings[0]}")
