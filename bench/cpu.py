"""CPU time of a process and everything below it, by thread, from /proc. Microseconds; the kernel counts in ticks."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.server_child import process_tree

_TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """CPU microseconds used so far, keyed by (process label, process id, thread id)."""

    threads: dict[tuple[str, int, int], int]

    def since(self, before: "Snapshot") -> dict[tuple[str, int, int], int]:
        """Return what each thread used after `before`, the busiest first; idle threads are left out."""
        used = {key: spent - before.threads.get(key, 0) for key, spent in self.threads.items()}
        return dict(sorted(((key, spent) for key, spent in used.items() if spent > 0), key=lambda item: -item[1]))


def snapshot(pid: int) -> Snapshot:
    """Measure a process and its descendants. Threads that ended meanwhile are not seen: servers keep theirs."""
    threads: dict[tuple[str, int, int], int] = {}
    for member in process_tree(pid):
        label = _label(member)
        for task in Path(f"/proc/{member}/task").iterdir():
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            threads[label, member, int(task.name)] = (int(fields[11]) + int(fields[12])) * _TICK
    return Snapshot(threads)


def _label(pid: int) -> str:
    """Name a process: the module of `python -m module`, else its program's name."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    program = words[1] if len(words) > 2 and Path(words[0]).name.startswith("python") else words[0]
    return Path(program).name
