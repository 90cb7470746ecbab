"""`make demo` from the outside."""

import os
import subprocess
import sys

import pytest

from tests.support.sources import ROOT

pytestmark = pytest.mark.slow


def test_the_demo_ends_well_when_every_step_does() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "scripts.demo"],
        cwd=ROOT,
        env={**os.environ, "DEMO_EXIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "test.example.com.pem: OK" in finished.stdout
