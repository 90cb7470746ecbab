"""How long a server takes from its start to its first answer, on data that is there already; sealed counts."""

import time
from collections.abc import Sequence
from pathlib import Path

from bench.report import Figure, middle
from tests.support.server_openbao import OpenBaoServer
from tests.support.server_process import ConfiguredServer

_STARTS = 5


def measure(names: Sequence[str], directory: Path) -> Figure:
    """Start each contender several times and compare the medians, in milliseconds."""
    medians = {name: middle(_starts(name, directory / f"start-{name}")) for name in names}
    return Figure("start_ms", medians.get("ours"), medians.get("peer"), "less")


def _starts(name: str, directory: Path) -> list[float]:
    directory.mkdir()
    server = ConfiguredServer(directory) if name == "ours" else OpenBaoServer(directory)
    taken = []
    with server:
        for _ in range(_STARTS):
            server.stop()
            began = time.perf_counter()
            server.listen()
            taken.append((time.perf_counter() - began) * 1000)
    return taken
