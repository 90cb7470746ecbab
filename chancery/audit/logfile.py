"""One file that several processes append to: locked for each group of lines, never left with half a line.

Blocking; for the threads of devices only.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BLOCK = 64 * 1024
_LONGEST_LINE = 256 * 1024 * 1024
"""Bytes at the end of a file to look through for a line feed."""


@dataclass(frozen=True, slots=True)
class Tail:
    """How a file ends: its last whole line without the line feed, and what comes after it."""

    line: bytes
    torn: bytes


class LogFile:
    """An open file. Everything but `open` and `close` is called under `locked`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, mode: int) -> Self:
        """Open or create; a mode of 0 leaves permissions alone. Raises OSError, also for links and special files."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("is not a regular file; file_path=stdout writes to standard output")
            if mode and stat.S_IMODE(found.st_mode) != mode:
                os.fchmod(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process away from the file."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_at(self, path: Path) -> bool:
        """Tell whether this is still the file that a path leads to."""
        try:
            there = path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def size(self) -> int:
        """Return the size in bytes."""
        return os.fstat(self._descriptor).st_size

    def tail(self) -> Tail:
        """Read how the file ends."""
        start = self.size()
        text = b""
        while start > 0 and text.count(b"\n") < 2:
            if len(text) > _LONGEST_LINE:
                raise OSError("has no line feed within reach of its end: this is no audit log")
            length = min(_BLOCK + len(text), start)  # doubling, so that long lines are not read in small steps
            start -= length
            text = os.pread(self._descriptor, length, start) + text
        whole, separator, torn = text.rpartition(b"\n")
        return Tail(whole.rpartition(b"\n")[2] if separator else b"", torn)

    def append(self, text: bytes) -> int:
        """Append all of it or none, and return the size. Raises OSError, having taken back what fitted."""
        before = self.size()
        rest = memoryview(text)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            with suppress(OSError):  # what cannot be taken back, as in append-only files, the next writer marks as torn
                os.ftruncate(self._descriptor, before)
            raise
        return before + len(text)

    def sync(self) -> None:
        """Wait until the disk has everything."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close. What is written stays written."""
        os.close(self._descriptor)
