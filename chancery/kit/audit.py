"""What an audit device is, and what the host gives it. Entry points `chancery.audit_devices` name an `AuditDeviceType`.

A record is one JSON object in UTF-8 without a line feed. The host builds records; a device chains them, so that whoever
reads them later can tell that none is missing or altered, and takes them somewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable


class Chain(Protocol):
    """One chain of this process: every line carries its number and the hash of the line before."""

    def link(self, records: Sequence[bytes]) -> list[bytes]:
        """Return the records as lines of the chain, without line feeds. Linked lines that get lost show as a gap."""
        ...


class Permits(Protocol):
    """What a device may reach: all for devices of the configuration file, little for those that the API asks for."""

    def file(self, path: str) -> Path:
        """Return where a file may be written. Raises BadInput that names the setting to change."""
        ...

    def address(self, address: str) -> str:
        """Return an address that may be connected to. Raises BadInput that names the setting to change."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """The world of one device."""

    path: str
    """What the device is called, with its trailing slash: `file/`."""
    options: Mapping[str, str]
    """As submitted. The host has seen to `prefix`, `format` and what else it shares among types."""
    prefix: bytes
    """Comes before every line, outside of the chain."""
    chain: Chain
    permits: Permits
    now: Callable[[], datetime]


class AuditDevice(Protocol):
    """An open device. Lives in a thread of its own that makes one call at a time; blocking is fine."""

    def write(self, records: Sequence[bytes]) -> None:
        """Deliver records in order; on return the operating system or the peer has them. None is a test.

        Opens whatever is closed. Raises OSError when a record may not have been delivered; the next call tries anew.
        """
        ...

    def reopen(self) -> None:
        """Follow a rotation (SIGHUP). Raises OSError as `write` does."""
        ...

    def close(self) -> None:
        """Give back what is open."""
        ...


class AuditDeviceType(Protocol):
    """A kind of device. `name` is what `type=` says at `sys/audit`."""

    name: str
    options: frozenset[str]
    """The options of this type, besides those that all types share."""

    def open(self, context: DeviceContext) -> AuditDevice:
        """Build a device without I/O. Raises BadInput that names every wrong option."""
        ...


@runtime_checkable
class ShowsInAudit(Protocol):
    """What an engine type may have besides: fields that audit shows as they are, because they are public by nature."""

    audit_clear: frozenset[str]
    """Names in requests and answers, on the first level only."""
