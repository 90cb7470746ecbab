"""The `socket` and `syslog` devices: lines to a collector. Each process has a chain of its own there.

A lost connection is made anew once within a write, and the group sent again: a collector may see lines twice, but
misses none without the chain telling.
"""

import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Protocol

from pydantic import Field, field_validator

from chancery.audit.chain import Event, notice
from chancery.audit.options import read_options
from chancery.kit.audit import AuditDevice, DeviceContext
from chancery.kit.errors import BadInput
from chancery.kit.params import Duration, Params, Text

_DEFAULT_TIMEOUT = 2
_LOCAL_LOGS = ("/dev/log", "/var/run/syslog", "/var/run/log")
_INFORMATIONAL = 6


class Facility(IntEnum):
    """Facilities of syslog (RFC 5424, 6.2.1)."""

    KERN, USER, MAIL, DAEMON, AUTH, SYSLOG, LPR, NEWS, UUCP, CRON, AUTHPRIV, FTP = range(12)
    LOCAL0, LOCAL1, LOCAL2, LOCAL3, LOCAL4, LOCAL5, LOCAL6, LOCAL7 = range(16, 24)


class SocketOptions(Params):
    """The options of the `socket` type."""

    address: Text = Field("", description="HOST:PORT, or the path of a Unix socket")
    socket_type: Text = Field("tcp", description="tcp, udp or unix")
    write_timeout: Duration = Field(_DEFAULT_TIMEOUT, description="Seconds to connect, and to send a group of lines")

    @field_validator("socket_type")
    @classmethod
    def _known(cls, text: str) -> str:
        if text not in {"tcp", "udp", "unix"}:
            raise ValueError("must be tcp, udp or unix")
        return text

    @field_validator("write_timeout")
    @classmethod
    def _positive(cls, seconds: int) -> int:
        if seconds <= 0:
            raise ValueError("must be positive")
        return seconds


class SyslogOptions(Params):
    """The options of the `syslog` type."""

    facility: Text = Field("AUTH", description="Facility, such as AUTH or LOCAL7")
    tag: Text = Field("chancery", description="Name of the program in syslog")

    @field_validator("facility")
    @classmethod
    def _known(cls, text: str) -> str:
        if text.upper() not in Facility.__members__:
            raise ValueError(f"must be one of {', '.join(Facility.__members__)}")
        return text.upper()

    @field_validator("tag")
    @classmethod
    def _plain(cls, text: str) -> str:
        if not text.replace("-", "").replace("_", "").isalnum() or len(text) > 32:
            raise ValueError("must be 1 to 32 letters, digits, - and _")
        return text


class Frame(Protocol):
    """Puts a line into the form in which it travels."""

    def __call__(self, line: bytes) -> bytes:
        """Return the bytes to send."""
        ...


class StreamDevice:
    """Lines over a socket: one datagram each, or a stream with line feeds."""

    def __init__(self, connect: Callable[[], socket.socket], frame: Frame, context: DeviceContext) -> None:
        self._connect = connect
        self._frame = frame
        self._context = context
        self._socket: socket.socket | None = None

    def write(self, records: Sequence[bytes]) -> None:
        """Send records. Raises OSError when they may not have been sent."""
        context, known = self._context, self._socket
        if known is None:
            records = [notice(Event.BEGIN, context.now(), device=context.path, process=os.getpid()), *records]
        frames = [self._frame(context.prefix + line) for line in context.chain.link(records)]
        try:
            if known is not None and self._sent(known, frames):
                return
            self._socket = known = self._connect()
            _send(known, frames)
        except OSError:
            self.close()
            raise

    def reopen(self) -> None:
        """Connect anew with the next line."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _sent(self, known: socket.socket, frames: Sequence[bytes]) -> bool:
        """Send over a connection that may have died of age."""
        try:
            _send(known, frames)
        except OSError as error:
            if isinstance(error, TimeoutError) or error.errno == errno.EMSGSIZE:
                raise  # a new connection would not help
            self.close()
            return False
        return True


def _send(known: socket.socket, frames: Sequence[bytes]) -> None:
    if known.type == socket.SOCK_STREAM:
        known.sendall(b"".join(frames))
        return
    for frame in frames:
        known.send(frame)


class SocketDeviceType:
    """`type=socket`."""

    name = "socket"
    options = frozenset(SocketOptions.model_fields)

    def open(self, context: DeviceContext) -> AuditDevice:
        """Build a device. Raises BadInput for options that are wrong and addresses that are not allowed."""
        options = read_options(SocketOptions, context.options)
        if not options.address:
            raise BadInput.of("options.address", "address is required")
        address = context.permits.address(options.address)
        if options.socket_type == "unix":
            return StreamDevice(lambda: _unix(address, socket.SOCK_STREAM, options.write_timeout), _lines, context)
        host, separator, port = address.rpartition(":")
        if not separator or not port.isdigit():
            raise BadInput.of("options.address", "must be HOST:PORT")
        peer = (host.strip("[]"), int(port))
        if options.socket_type == "tcp":
            return StreamDevice(lambda: socket.create_connection(peer, options.write_timeout), _lines, context)
        return StreamDevice(lambda: _udp(peer, options.write_timeout), _lines, context)


class SyslogDeviceType:
    """`type=syslog`: the local daemon."""

    name = "syslog"
    options = frozenset(SyslogOptions.model_fields)

    def open(self, context: DeviceContext) -> AuditDevice:
        """Build a device. Raises BadInput for options that are wrong."""
        options = read_options(SyslogOptions, context.options)
        head = f"<{Facility[options.facility] * 8 + _INFORMATIONAL}>"
        tag = f"{options.tag}[{os.getpid()}]:"

        def frame(line: bytes) -> bytes:
            return f"{head}{context.now():%b %e %H:%M:%S} {tag} ".encode() + line

        return StreamDevice(_local_log, frame, context)


def _lines(line: bytes) -> bytes:
    return line + b"\n"


def _unix(path: str, kind: socket.SocketKind, timeout: int) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, kind)
    try:
        made.settimeout(timeout)
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return made


def _udp(peer: tuple[str, int], timeout: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(*peer, type=socket.SOCK_DGRAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.settimeout(timeout)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def _local_log() -> socket.socket:
    for path in _LOCAL_LOGS:
        with suppress(OSError):  # the next path may be where this system has its socket
            return _unix(path, socket.SOCK_DGRAM, _DEFAULT_TIMEOUT)
    raise OSError(f"no syslog daemon listens on any of {', '.join(_LOCAL_LOGS)}")


SOCKET = SocketDeviceType()
SYSLOG = SyslogDeviceType()
