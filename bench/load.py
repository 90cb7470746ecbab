"""Load from `wrk`: one thread, a number of keep-alive connections, each with one request in flight."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("post.lua")
_MARK = "RESULT "


class LoadFailed(Exception):
    """`wrk` could not run, or a server refused or dropped requests: there is no figure then."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send where. `body` is JSON text, sent with POST and the token's header."""

    url: str
    token: str
    body: str


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One run: requests answered with success, and latencies in microseconds."""

    requests: int
    seconds: float
    p50: int
    p99: int

    @property
    def rate(self) -> float:
        """Return requests per second."""
        return self.requests / self.seconds


def run(load: Load, *, connections: int, seconds: int) -> LoadResult:
    """Send the load for a while. Raises LoadFailed unless every answer was a success."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as body:
        body.write(load.body)
        body.flush()
        finished = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT), load.url],
            env={**os.environ, "BENCH_BODY": body.name, "BENCH_TOKEN": load.token},
            capture_output=True,
            text=True,
            check=False,
        )
    lines = [line for line in finished.stdout.splitlines() if line.startswith(_MARK)]
    if finished.returncode != 0 or not lines:
        raise LoadFailed(f"wrk ended with {finished.returncode}: {finished.stdout}{finished.stderr}")
    values = json.loads(lines[-1].removeprefix(_MARK))
    if values["refused"] or values["broken"] or not values["requests"]:
        raise LoadFailed(f"{load.url} with {connections} connections: {values}")
    return LoadResult(values["requests"], values["microseconds"] / 1e6, values["p50"], values["p99"])
