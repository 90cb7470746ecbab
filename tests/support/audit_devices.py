"""Audit devices that can fail, hang and fail after doing it, and contexts for real ones."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from chancery.audit.chain import ProcessChain
from chancery.audit.devices.file import FILE
from chancery.audit.permits import FreePermits
from chancery.audit.verify import Verifier
from chancery.kit.audit import AuditDevice, DeviceContext, Permits

NOON = datetime(2026, 3, 1, 12, 0, 0, 125000, tzinfo=UTC)


def context(
    options: Mapping[str, str] | None = None, *, prefix: bytes = b"", permits: Permits | None = None
) -> DeviceContext:
    """Return the world of a device at noon."""
    return DeviceContext("test/", options or {}, prefix, ProcessChain(), permits or FreePermits(), lambda: NOON)


def file_device(path: Path, *, prefix: bytes = b"", **options: str) -> AuditDevice:
    """Return a file device that may write anywhere."""
    return FILE.open(context({"file_path": str(path), **options}, prefix=prefix))


def record(text: str) -> bytes:
    """Return a small record."""
    return orjson.dumps({"time": "2026-03-01T12:00:00Z", "type": "request", "request": {"id": text}})


def verified(*paths: Path, anchors: Sequence[str] = ()) -> Verifier:
    """Verify files in the order of writing."""
    verifier = Verifier(frozenset(anchors))
    for path in paths:
        verifier.read(path.name, path.read_bytes().splitlines(keepends=True))
    verifier.finish()
    return verifier


def events(path: Path) -> list[str]:
    """Return what a file's lines are: the event of those of type chain, the request's id of the others."""
    documents = [orjson.loads(line[line.find(b"{") :]) for line in path.read_bytes().splitlines()]
    return [document.get("event") or document["request"]["id"] for document in documents]


@dataclass
class FakeDevice:
    """Keeps what it is given. `trouble` is raised instead, and a closed `gate` makes it hang."""

    groups: list[list[bytes]] = field(default_factory=list)
    trouble: Exception | None = None
    fails_after_doing: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    reopened: int = 0
    is_closed: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def records(self) -> list[bytes]:
        """Return everything it has, group after group."""
        return [record for group in self.groups for record in group]

    def write(self, records: Sequence[bytes]) -> None:
        """Take records, unless it is in trouble."""
        self.entered.set()
        self.gate.wait(30)
        if self.trouble is not None and not self.fails_after_doing:
            raise self.trouble
        self.groups.append(list(records))
        if self.trouble is not None:
            raise self.trouble

    def reopen(self) -> None:
        """Count."""
        self.reopened += 1

    def close(self) -> None:
        """Remember."""
        self.is_closed = True


@dataclass
class FakeDeviceType:
    """`type=fake`: gives the devices that it was made with, by the option `which`."""

    devices: Mapping[str, FakeDevice]
    name: str = "fake"
    options: frozenset[str] = frozenset({"which"})

    def open(self, context: DeviceContext) -> AuditDevice:
        """Return one of the devices."""
        return self.devices[context.options["which"]]


class DiskFull:
    """Stands for `os.write` on a disk that takes only so many bytes more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write: Callable[[int, bytes], int] = os.write

    def __call__(self, descriptor: int, data: bytes) -> int:
        """Write what fits. Raises OSError when nothing does."""
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        written = self._write(descriptor, bytes(data[: self.room]))
        self.room -= written
        return written
