"""The harness notices what happens to the processes it starts."""

import signal
import sys
from pathlib import Path

import pytest

from tests.support.server_child import Child, ServerFailed, free_port, is_running, process_tree

PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print('ready', flush=True)\n"
    "child.wait()\n"
)


def _python(program: str, directory: Path) -> Child:
    return Child([sys.executable, "-c", program], log=directory / "log")


def test_a_server_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = _python("print('no such setting'); raise SystemExit(3)", tmp_path)
    with pytest.raises(ServerFailed, match=r"ended with 3 before it was listening:\nno such setting"):
        child.wait_until(lambda: False, what="listening")


def test_a_server_that_never_gets_ready_is_reported(tmp_path: Path) -> None:
    child = _python("import signal; signal.pause()", tmp_path)
    with pytest.raises(ServerFailed, match="not listening after"):
        child.wait_until(lambda: False, what="listening", deadline=0.05)
    child.sweep()
    assert not is_running(child.pid)


def test_output_is_that_of_the_present_run(tmp_path: Path) -> None:
    _python("print('first')", tmp_path).wait()
    second = _python("print('second')", tmp_path)
    second.wait()
    assert second.output() == "second\n"
    assert second.log.read_text() == "first\nsecond\n"


def test_sweeping_ends_the_children_too(tmp_path: Path) -> None:
    parent = _python(PARENT, tmp_path)
    parent.wait_until(lambda: "ready" in parent.output(), what="ready")
    family = list(process_tree(parent.pid))
    assert len(family) == 2
    parent.sweep()
    parent.sweep()
    assert not is_running(parent.pid)


def test_an_orderly_end_is_asked_for_with_sigterm(tmp_path: Path) -> None:
    child = _python("import signal; signal.pause()", tmp_path)
    assert child.terminate() == -signal.SIGTERM


def test_free_ports_differ() -> None:
    assert len({free_port() for _ in range(5)}) > 1
