"""The `file` device: lines appended to a file, in one chain however many processes write it; or to standard output.

A file that is renamed or removed is followed at the next line: logrotate needs neither copytruncate nor a signal.
Whoever holds the lock of the old file begins the new one, and nobody writes to the old one after that.
"""

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from chancery.audit.chain import Event, Point, as_fact, begin, digest, link, notice, read_line
from chancery.audit.logfile import LogFile, Tail
from chancery.audit.options import read_options
from chancery.kit.audit import AuditDevice, DeviceContext
from chancery.kit.errors import BadInput
from chancery.kit.params import LaxBool, Params, Text

_log = logging.getLogger(__name__)

_GONE = frozenset({errno.EBADF, errno.ESTALE, errno.EIO, errno.ENODEV})
"""Errors after which a descriptor is of no use."""

_MODES = 0o664
"""All that `mode` may grant: nobody executes a log, and nobody but owner and group writes it."""


class FileOptions(Params):
    """The options of the `file` type."""

    file_path: Text = Field("", description="Absolute path of the file, or stdout")
    path: Text = Field("", description="Another name of file_path")
    mode: Text = Field("0600", description="Permissions of the file in octal digits; 0000 leaves them alone")
    fsync: LaxBool = Field(False, description="Wait for the disk with every group of lines")

    @field_validator("mode")
    @classmethod
    def _octal(cls, text: str) -> str:
        try:
            mode = int(text or "0600", 8)
        except ValueError:
            raise ValueError('must be octal digits, such as "0640"') from None
        if mode & ~_MODES:
            raise ValueError(f"may not grant more than {_MODES:04o}")
        return text or "0600"


class FileDeviceType:
    """`type=file`."""

    name = "file"
    options = frozenset(FileOptions.model_fields)

    def open(self, context: DeviceContext) -> AuditDevice:
        """Build a device. Raises BadInput for options that are wrong and paths that are not allowed."""
        options = read_options(FileOptions, context.options)
        path = options.file_path or options.path
        if not path:
            raise BadInput.of("options.file_path", "file_path is required")
        if path == "stdout":
            return StdoutDevice(context)
        return FileDevice(context.permits.file(path), options, context)


class StdoutDevice:
    """Lines on the standard output of the server, for containers. A chain for each process."""

    def __init__(self, context: DeviceContext) -> None:
        self._context = context
        self._begun = False

    def write(self, records: Sequence[bytes]) -> None:
        """Write lines. Raises OSError when whoever read them is gone."""
        context = self._context
        if not self._begun:
            records = [notice(Event.BEGIN, context.now(), device=context.path, process=os.getpid()), *records]
        text = memoryview(b"".join(context.prefix + line + b"\n" for line in context.chain.link(records)))
        while text:
            text = text[os.write(1, text) :]
        self._begun = True

    def reopen(self) -> None:
        """Nothing to follow: standard output cannot be rotated."""

    def close(self) -> None:
        """Nothing to give back: standard output is the whole process's."""


class FileDevice:
    """Lines in a file."""

    def __init__(self, path: Path, options: FileOptions, context: DeviceContext) -> None:
        self._path = path
        self._mode = int(options.mode, 8)
        self._fsync = options.fsync
        self._context = context
        self._file: LogFile | None = None
        self._point: Point | None = None
        self._end = -1
        """The size of the file after what this process wrote last; -1 when it must look."""

    def write(self, records: Sequence[bytes]) -> None:
        """Append records as one group. Raises OSError with nothing appended."""
        try:
            self._write(self._current(), records)
        except OSError as error:
            if error.errno in _GONE:
                self.close()
            raise

    def reopen(self) -> None:
        """Begin the new file now, if the old one was moved away."""
        self.write([])

    def close(self) -> None:
        """Close the file. The chain is remembered, should it be written to again."""
        if self._file is not None:
            self._file.close()
            self._file, self._end = None, -1

    def _write(self, file: LogFile, records: Sequence[bytes]) -> None:
        with file.locked():
            if file.is_at(self._path):
                self._append(file, records)
                return
            # Renamed or removed. Its lock is held until the next file begins with a line that names the last one here.
            self._read_on(file)
            following = LogFile.open(self._path, self._mode)
            try:
                with following.locked():
                    self._end = -1
                    self._append(following, records)
            except BaseException:
                following.close()
                raise
        self._file = following
        file.close()

    def _append(self, file: LogFile, records: Sequence[bytes]) -> None:
        notices, separator = self._catch_up(file)
        assert self._point is not None, "catching up finds or begins a chain"
        lines, point = link([*notices, *records], self._point)
        if lines:
            text = b"".join(self._context.prefix + line + b"\n" for line in lines)
            self._end, self._point = file.append(separator + text), point
            if self._fsync:
                file.sync()

    def _catch_up(self, file: LogFile) -> tuple[list[bytes], bytes]:
        """Follow what others wrote. Returns what is to be told first, and what ends a line that was left unfinished."""
        if file.size() == self._end:
            return [], b""
        tail = file.tail()
        if self._point is None:
            self._refuse_strangers(tail)
        told = self._follow(tail.line)
        if not tail.torn:
            return told, b""
        torn = {"bytes": len(tail.torn), "hash": digest(tail.torn)}
        return [self._notice(Event.TORN, torn=torn), *told], b"\n"

    def _read_on(self, file: LogFile) -> None:
        """Take over lines that others appended to a file that is done with."""
        found = read_line(file.tail().line) if file.size() != self._end else None
        if found is not None and found.point is not None and self._is_behind(found.point):
            self._point = found.point

    def _follow(self, last: bytes) -> list[bytes]:
        """Settle which chain to write on, given the last line of the file, and return what there is to tell of it."""
        line = read_line(last) if last else None
        mine, theirs = self._point, line.point if line is not None else None
        if mine is None:
            self._point = theirs or begin()
            return [self._opened(Event.OPEN if theirs else Event.BEGIN)]
        if not last:
            return [self._opened(Event.CONTINUE)]
        if theirs is None:
            return []  # A line from elsewhere: it has no place in the chain, and verifying finds it.
        if theirs.chain != mine.chain:
            self._point = theirs
            return [self._notice(Event.JOIN, left=as_fact(mine))]
        if self._is_behind(theirs):
            self._point = theirs
            return []
        first, count = theirs.sequence + 1, mine.sequence - theirs.sequence
        _log.error("audit device %s: %d lines from %d on are gone from its file", self._context.path, count, first)
        return [self._notice(Event.SHORTENED, found=as_fact(theirs))]

    def _is_behind(self, theirs: Point) -> bool:
        """Tell whether a point is where we are, or further on, on our chain or on any if we have none."""
        mine = self._point
        return mine is None or (theirs.chain == mine.chain and theirs.sequence >= mine.sequence)

    def _refuse_strangers(self, tail: Tail) -> None:
        """Raise OSError for a file that something else than an audit device wrote: a wrong path must do no harm."""
        line = read_line(tail.line) if tail.line else None
        torn = tail.torn.removeprefix(self._context.prefix)
        is_ours = line is not None and line.is_audit if tail.line else torn[: len(_HEAD)] == _HEAD[: len(torn)]
        if not is_ours:
            raise OSError("holds something else than audit lines; name another file")

    def _opened(self, event: Event) -> bytes:
        return self._notice(event, device=self._context.path, process=os.getpid())

    def _notice(self, event: Event, **facts: object) -> bytes:
        return notice(event, self._context.now(), **facts)

    def _current(self) -> LogFile:
        if self._file is None:
            self._file, self._end = LogFile.open(self._path, self._mode), -1
        return self._file


_HEAD = b'{"time":'
"""How a line begins, be it torn."""

FILE = FileDeviceType()
