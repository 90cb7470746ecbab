"""Figures read the same way whether more or less is better, and CPU time is found where it was spent."""

import os
import subprocess
import sys
import threading

import pytest

from bench import cpu
from bench.report import Figure, middle


@pytest.mark.parametrize(
    ("figure", "line"),
    [
        (Figure("sign_c1", 1500.4, 750.0, "more"), "BENCH sign_c1 ours=1500 peer=750 ratio=2.00"),
        (Figure("p50_us", 200.0, 500.0, "less"), "BENCH p50_us ours=200 peer=500 ratio=2.50"),
        (Figure("sign_c1", None, 750.0, "more"), "BENCH sign_c1 peer=750"),
        (Figure("sign_c1", 1500.0, None, "more"), "BENCH sign_c1 ours=1500"),
    ],
)
def test_a_figure_is_one_line_in_which_more_than_one_favours_us(figure: Figure, line: str) -> None:
    assert str(figure) == line


def test_the_middle_of_nothing_is_nothing() -> None:
    assert middle([]) is None
    assert middle([3.0, 1.0, 2.0]) == 2.0


def test_cpu_time_is_found_by_thread_and_in_children() -> None:
    program = "import time\nwhile time.process_time() < 0.1: pass\nprint(flush=True)\ninput()"
    before = cpu.snapshot(os.getpid())
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        used = cpu.snapshot(os.getpid()).since(before)
        child.communicate(b"\n")
    assert sum(spent for (_, pid, _), spent in used.items() if pid == child.pid) >= 90_000


def test_threads_are_told_apart() -> None:
    busy, leave = threading.Event(), threading.Event()

    def work() -> None:
        busy.set()
        leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    busy.wait()
    seen = {thread for _, _, thread in cpu.snapshot(os.getpid()).threads}
    leave.set()
    thread.join()
    assert {os.getpid(), thread.native_id} <= seen
