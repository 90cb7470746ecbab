"""The port that the pipeline calls: records every request before it is served and every answer before it leaves.

Fails closed: while devices are enabled, one of them must have the line, or the request is refused and the answer
withheld. One device that works is enough; the others' gaps are counted, logged and told in their own lines.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chancery.audit import records
from chancery.audit.chain import timestamp
from chancery.audit.records import View
from chancery.audit.writer import WRITTEN, DeviceWriter, Outcome
from chancery.exchange import Exchange
from chancery.kit.clock import Clock
from chancery.kit.errors import ChanceryError, Sealed, Unavailable
from chancery.kit.request import Answer, RawReply

_LARGE_BODY = 256 * 1024
"""Bytes of an answer from which on its HMAC is left to a thread."""


@dataclass(frozen=True, slots=True)
class LiveDevice:
    """A device at work: how it sees records, and the thread that takes them."""

    view: View
    writer: DeviceWriter


@dataclass(frozen=True, slots=True)
class _Asked:
    """The shared part of two lines, for each of the devices that have the first."""

    devices: tuple[LiveDevice, ...]
    shared: Sequence[bytes]


class Trail:
    """`AuditTrail` of the pipeline."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._devices: tuple[LiveDevice, ...] = ()
        self._headers: Mapping[str, bool] = {}
        self._asked: dict[str, _Asked] = {}
        """What the lines of a request and of its answer share, by the request's id; between the two calls only."""
        self._is_stopped = False
        self.is_active = False

    def record_to(self, devices: Sequence[LiveDevice]) -> None:
        """Have these devices, and no others, from now on."""
        self._devices = tuple(devices)
        self.is_active = bool(devices)
        self._is_stopped = False

    def stop(self) -> None:
        """Record nothing more: the server seals itself. Answers on their way are withheld, but for the seal's own."""
        self.record_to(())
        self._is_stopped = True

    def show_headers(self, headers: Mapping[str, bool]) -> None:
        """Record these request headers from now on; True conceals the value."""
        self._headers = dict(headers)

    async def request(self, exchange: Exchange, error: ChanceryError | None) -> None:
        """Record a request. Raises Unavailable when no device has the line in time."""
        time, asked = timestamp(self._clock.now()), self._ask(exchange, error)
        outcomes = [
            device.writer.submit(records.request_record(time, shared, error))
            for device, shared in zip(asked.devices, asked.shared, strict=True)
        ]
        if not await _recorded(outcomes):
            raise Unavailable("no audit device could record the request, so it was not served; see the server's log")
        self._asked[exchange.message.request_id] = asked

    async def response(self, exchange: Exchange, answer: Answer, error: ChanceryError | None) -> None:
        """Record an answer. Raises Unavailable when no device has the line in time."""
        asked = self._asked.pop(exchange.message.request_id, None)
        if self._is_stopped and asked is not None and not _is_of_the_host(exchange):
            raise Sealed
        if asked is None or asked.devices is not self._devices:  # devices came or went with this very request
            asked = self._ask(exchange, error)
        devices, shared = asked.devices, asked.shared
        time = timestamp(self._clock.now())

        def rendered() -> list[bytes]:
            return [
                records.response_record(device.view, time, part, exchange, answer, error)
                for device, part in zip(devices, shared, strict=True)
            ]

        is_large = isinstance(answer, RawReply) and len(answer.body) > _LARGE_BODY
        lines = await asyncio.to_thread(rendered) if is_large else rendered()
        if not await _recorded([device.writer.submit(line) for device, line in zip(devices, lines, strict=True)]):
            raise Unavailable("no audit device could record the answer, so it is withheld; see the server's log")

    def _ask(self, exchange: Exchange, error: ChanceryError | None) -> _Asked:
        devices = self._devices
        return _Asked(devices, [records.asked(device.view, exchange, self._headers, error) for device in devices])


def _is_of_the_host(exchange: Exchange) -> bool:
    return exchange.mount is not None and exchange.mount.type == "system"


async def _recorded(outcomes: Sequence[Outcome]) -> bool:
    """Wait for every device, none of which takes longer than its deadline. Tell whether any has the line."""
    if not outcomes:
        return True
    reasons = [await outcome for outcome in outcomes]
    return WRITTEN in reasons
