"""Many processes write one file while it is rotated and they are killed: the chain holds."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.audit_devices import verified

pytestmark = pytest.mark.slow

_WRITE_ON = """
import sys
from pathlib import Path
from tests.support.audit_devices import file_device, record
device = file_device(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    device.write([record(f"{sys.argv[2]}-{number}-{'x' * 20_000}") for _ in range(20)])
"""


@pytest.mark.timeout(120)
def test_processes_that_are_killed_leave_a_whole_log(tmp_path: Path) -> None:
    log, rotated = tmp_path / "audit.log", list[Path]()
    chance = random.Random(4)
    writers: list[subprocess.Popen[bytes]] = []
    try:
        for round_number in range(8):
            while len(writers) < 3:
                arguments = [sys.executable, "-c", _WRITE_ON, str(log), f"{round_number}-{len(writers)}"]
                writers.append(subprocess.Popen(arguments))
            _wait_until_it_grows(log)
            victim = writers.pop(chance.randrange(len(writers)))
            victim.kill()
            victim.wait()
            if round_number % 3 == 0:
                rotated.append(log.rename(tmp_path / f"audit.log.{round_number}"))
        for writer in writers:
            writer.kill()
            writer.wait()
    finally:
        for writer in writers:
            writer.kill()
    verifier = verified(*rotated, log)
    assert verifier.findings == []
    assert sum(chain.lines for chain in verifier.chains.values()) > 100


def _wait_until_it_grows(log: Path) -> None:
    start = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + 30
    while not log.exists() or log.stat().st_size < start + 500_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
