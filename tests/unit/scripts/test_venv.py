"""scripts/venv.sh refuses an interpreter that is too old, in words."""

import os
import subprocess
from pathlib import Path

from tests.support.sources import ROOT


def test_an_old_interpreter_is_refused_with_the_remedy(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/bash\n[ "$1" = -V ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    finished = subprocess.run(
        [ROOT / "scripts" / "venv.sh", tmp_path / "venv"],
        env={**os.environ, "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert f"Chancery needs Python 3.11 or newer, and {old} is Python 3.9.2." in finished.stderr
    assert "make PYTHON=" in finished.stderr
    assert not (tmp_path / "venv").exists()
