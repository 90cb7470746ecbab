"""scripts/apt.sh installs only what is missing, and without root says exactly what to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.sources import ROOT

SCRIPT = ROOT / "scripts" / "apt.sh"


class Machine:
    """A PATH of our own, with stand-ins for apt-get and id."""

    def __init__(self, directory: Path) -> None:
        self.calls = directory / "calls"
        self.programs = directory / "bin"
        self.programs.mkdir()
        for name in ("bash", "basename"):
            (self.programs / name).symlink_to(shutil.which(name) or name)
        self.install("apt-get", f'echo "$@" >> {self.calls}')
        self.become(0)

    def install(self, name: str, script: str = "") -> None:
        """Put a program in the PATH."""
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def become(self, user: int) -> None:
        """Choose who runs the script."""
        self.install("id", f"echo {user}")

    def run(self, *groups: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        environment = {**os.environ, "PATH": str(self.programs), "PYTHON": "python3.11"}
        return subprocess.run([SCRIPT, *groups], env=environment, capture_output=True, text=True, check=False)

    def installed(self) -> list[str]:
        """Return the packages that apt-get was last asked for."""
        if not self.calls.exists():
            return []
        return [word for word in self.calls.read_text().splitlines()[-1].split() if not word.startswith(("-", "DPkg"))]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_root_installs_what_is_missing_and_nothing_else(machine: Machine) -> None:
    machine.install("softhsm2-util")
    machine.install("openssl")
    assert machine.run("run", "bench").returncode == 0
    assert machine.installed() == ["install", "opensc", "wrk"]


def test_a_complete_machine_is_left_alone(machine: Machine) -> None:
    machine.become(1000)
    machine.install("wrk")
    done = machine.run("bench")
    assert (done.returncode, done.stdout, done.stderr, machine.installed()) == (0, "", "", [])


def test_others_than_root_learn_the_exact_command(machine: Machine) -> None:
    machine.become(1000)
    done = machine.run("python", "bench")
    assert done.returncode == 2
    assert "sudo apt-get install -y --no-install-recommends python3.11 python3.11-venv wrk\n" in done.stderr
    assert machine.installed() == []


def test_an_interpreter_without_ensurepip_needs_only_its_venv_package(machine: Machine) -> None:
    machine.install("python3.11", "exit 1")
    assert machine.run("python").returncode == 0
    assert machine.installed() == ["install", "python3.11-venv"]


def test_stale_lists_are_refreshed_once(machine: Machine) -> None:
    fails_first = f'echo "$@" >> {machine.calls}; [ "$1" = update ] || [ "$(wc -l < {machine.calls})" -gt 2 ]'
    machine.install("wc", 'n=0; while read -r _; do n=$((n+1)); done; echo "$n"')
    machine.install("apt-get", fails_first)
    assert machine.run("bench").returncode == 0
    assert "update" in machine.calls.read_text()
    assert machine.installed() == ["install", "wrk"]


def test_without_apt_the_packages_are_named(machine: Machine) -> None:
    (machine.programs / "apt-get").unlink()
    done = machine.run("bench")
    assert done.returncode == 2
    assert "missing: wrk" in done.stderr
