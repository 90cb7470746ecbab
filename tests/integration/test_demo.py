"""`make demo` from the outside."""

import os
import signal
import sys
from pathlib import Path

import pytest

from scripts.demo import __main__ as demo
from tests.support.server_child import Child

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WALK = 120.0
"""Seconds for the walk on a busy machine: two RSA keys, one of them with 4096 bits inside the token."""


def _demo(directory: Path, **variables: str) -> Child:
    environment = {**os.environ, "TMPDIR": str(directory), **variables}
    return Child([sys.executable, "-m", demo.__package__], log=directory / "log", environment=environment)


def test_it_ends_well_when_every_step_does(tmp_path: Path) -> None:
    walk = _demo(tmp_path, DEMO_EXIT="1")
    try:
        assert walk.wait(WALK) == 0, walk.output()
    finally:
        walk.sweep()
    assert "test.example.com.pem: OK" in walk.output()
    assert not list(tmp_path.glob("chancery-demo-*"))


def test_it_serves_until_interrupted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    serving = _demo(tmp_path)
    try:
        serving.wait_until(lambda: "Ctrl-C" in serving.output(), what="serving", deadline=WALK)
        serving.send(signal.SIGINT)
        assert serving.wait() == 0, serving.output()
    finally:
        serving.sweep()
    assert not list(tmp_path.glob("chancery-demo-*"))
