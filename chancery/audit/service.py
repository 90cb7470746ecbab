"""The audit devices of a server: enabled and disabled, kept over restarts, opened at unseal, reopened at SIGHUP.

Those of the configuration file come first and cannot be disabled through the API. Salts and what was enabled are sealed
documents of the whole server, not of a namespace.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from pydantic import Field

from chancery.audit.callers import Callers
from chancery.audit.chain import ProcessChain
from chancery.audit.concealment import Concealment
from chancery.audit.options import common_options
from chancery.audit.permits import FreePermits, ListedPermits
from chancery.audit.records import Shown, View
from chancery.audit.trail import LiveDevice, Trail
from chancery.audit.writer import WRITTEN, DeviceWriter, Patience, Tally
from chancery.coherence import Changes, Coherence
from chancery.kit.audit import AuditDeviceType, DeviceContext, Permits
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput
from chancery.kit.metrics import Meter
from chancery.kit.storage import ABSENT, Collection, DocumentMoved, Documents, Stored
from chancery.settings import Audit

_log = logging.getLogger(__name__)

AUDIT = "system/audit"
"""The scope of the documents."""

_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Device:
    """What is enabled at a path. `path` has its trailing slash: `file/`."""

    path: str
    type: str
    description: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    local: bool = False


class DeviceRecord(Stored):
    """A device as it is kept; the document's name is its path."""

    device: Device


class SaltRecord(Stored):
    """The salt of a path, which keeps it: lines from before and after a device was enabled anew can be compared."""

    salt: bytes = Field(repr=False)


class HeaderRecord(Stored):
    """A request header to record; the document's name is the header's, in lower case."""

    hmac: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A device at work, with what it was opened from."""

    device: Device
    is_declared: bool
    live: LiveDevice


class AuditService:
    """Every device of this process."""

    def __init__(
        self,
        settings: Audit,
        types: Mapping[str, AuditDeviceType],
        shown: Shown,
        documents: Documents,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._settings = settings
        self._types = types
        self._shown = shown
        self._clock = clock
        self._meter = meter
        self._devices: Collection[DeviceRecord] = documents.collection("device", DeviceRecord)
        self._salts: Collection[SaltRecord] = documents.collection("salt", SaltRecord)
        self._headers: Collection[HeaderRecord] = documents.collection("header", HeaderRecord)
        self._opened: dict[str, Opened] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.trail = Trail(clock)

    async def start(self) -> None:
        """Open every device; called after unseal. One that fails is tried again with every request.

        Raises BadInput when the settings no longer permit what was enabled.
        """
        for declared in self._settings.devices:
            path = device_path(declared.path or declared.type)
            await self._open(Device(path, declared.type, declared.description, declared.options), is_declared=True)
        await self._agree()

    def follow(self, coherence: Coherence) -> None:
        """Have what other processes enable, disable and tune followed."""

        async def agree(_changes: Changes) -> None:
            await self._agree()

        for kind in ("device", "header"):
            coherence.on_change(AUDIT, kind, agree)

    async def stop(self) -> None:
        """Write what is queued and close every device; called at seal and shutdown, after the last request."""
        opened = list(self._opened.values())
        self._opened.clear()
        self.trail.stop()
        await asyncio.gather(*self._closing, *(each.live.writer.close() for each in opened))

    def reopen(self) -> None:
        """Follow rotated files (SIGHUP)."""
        for opened in self._opened.values():
            opened.live.writer.reopen()

    def all(self) -> list[Device]:
        """Return what is enabled, by path."""
        return [opened.device for _, opened in sorted(self._opened.items())]

    def tallies(self) -> dict[str, Tally]:
        """Return what each device has done since it was opened, by path."""
        return {path: opened.live.writer.tally for path, opened in self._opened.items()}

    async def enable(self, device: Device) -> None:
        """Enable a device that works. Raises BadInput when it does not, or may not, or its path is taken."""
        self._refuse_taken(device.path)
        live = await self._build(device, is_declared=False)
        reason = await live.writer.submit(b"")
        if reason != WRITTEN:
            await live.writer.close()
            raise BadInput(f"the audit device cannot be written to: {reason}")
        try:
            self._refuse_taken(device.path)
            await self._devices.put(device.path, DeviceRecord(device=device), expected=ABSENT)
        except (BadInput, DocumentMoved):
            await live.writer.close()
            raise BadInput("path already in use") from None
        self._opened[device.path] = Opened(device, is_declared=False, live=live)
        self._at_work()

    async def disable(self, path: str) -> None:
        """Disable a device; silently fine when there is none, as in Vault. Raises BadInput for a declared one."""
        opened = self._opened.get(path)
        if opened is not None and opened.is_declared:
            raise BadInput(f"{path} is declared in the configuration file: remove it from audit.devices there")
        await self._devices.delete(path)
        opened = self._opened.pop(path, None)
        if opened is not None:
            self._at_work()
            await opened.live.writer.close()

    def hash(self, path: str, text: str) -> str:
        """Return the HMAC by which a device conceals a text. Raises BadInput when there is no such device."""
        opened = self._opened.get(path)
        if opened is None:
            raise BadInput(f'unknown audit backend "{path}"')
        return opened.live.view.conceal.hidden(text)

    async def headers(self) -> dict[str, bool]:
        """Return the request headers that are recorded, and whether as HMAC only."""
        return {document.name: document.value.hmac for document in await self._headers.all()}

    async def show_header(self, name: str, *, concealed: bool) -> None:
        """Record a request header from now on."""
        await self._headers.put(name, HeaderRecord(hmac=concealed))
        await self._show_headers()

    async def hide_header(self, name: str) -> None:
        """Record a request header no longer."""
        await self._headers.delete(name)
        await self._show_headers()

    async def _agree(self) -> None:
        """Open and close devices until they are those that are stored; take over the headers. Waits for no device."""
        stored = {document.name: document.value.device for document in await self._devices.all()}
        for path, opened in list(self._opened.items()):
            if (
                not opened.is_declared
                and stored.get(path) != opened.device
                and not await self._is_stored(opened.device)
            ):
                self._close_later(path)
        for path, device in stored.items():
            if path not in self._opened:
                await self._open(device, is_declared=False)
        await self._show_headers()

    async def _is_stored(self, device: Device) -> bool:
        """Look once more: a request may have enabled the device while all of them were being read."""
        document = await self._devices.get(device.path)
        return document is not None and document.value.device == device

    async def _show_headers(self) -> None:
        self.trail.show_headers(await self.headers())

    async def _open(self, device: Device, *, is_declared: bool) -> None:
        try:
            live = await self._build(device, is_declared=is_declared)
        except BadInput as error:
            raise BadInput(f"audit device {device.path} cannot be opened: {error.message}") from None
        self._opened[device.path] = Opened(device, is_declared, live)
        self._at_work()
        live.writer.submit(b"")  # logs what is wrong with the device; requests are refused while it is the only one

    def _close_later(self, path: str) -> None:
        opened = self._opened.pop(path)
        self._at_work()
        closing = asyncio.get_running_loop().create_task(opened.live.writer.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _at_work(self) -> None:
        self.trail.record_to([opened.live for opened in self._opened.values()])

    async def _build(self, device: Device, *, is_declared: bool) -> LiveDevice:
        kind = self._types.get(device.type)
        if kind is None:
            known = ", ".join(sorted(self._types))
            raise BadInput(f'unknown backend type: "{device.type}" (installed: {known})')
        common = common_options(device.options, kind)
        context = DeviceContext(
            path=device.path,
            options=device.options,
            prefix=common.prefix.encode(),
            chain=ProcessChain(),
            permits=self._permits(is_declared=is_declared),
            now=self._clock.now,
        )
        opened = await asyncio.to_thread(partial(kind.open, context))
        conceal = Concealment(
            await self._salt(device.path), raw=common.log_raw, accessors_clear=not common.hmac_accessor
        )
        patience = Patience(float(self._settings.deadline), self._settings.queue)
        tally = Tally(self._meter, device.path)
        writer = DeviceWriter(opened, self._clock, patience, tally, name=device.path)
        return LiveDevice(View(conceal, Callers(conceal), common.elide_list_responses, self._shown), writer)

    def _permits(self, *, is_declared: bool) -> Permits:
        if is_declared:
            return FreePermits()
        return ListedPermits(self._settings.directories, self._settings.addresses)

    async def _salt(self, path: str) -> bytes:
        known = await self._salts.get(path)
        if known is None:
            try:
                known = await self._salts.put(path, SaltRecord(salt=secrets.token_bytes(_SALT_BYTES)), expected=ABSENT)
            except DocumentMoved:  # another process opened the same device first
                known = await self._salts.get(path)
                assert known is not None, "a salt that was just made is there"
        return known.value.salt

    def _refuse_taken(self, path: str) -> None:
        if path in self._opened:
            raise BadInput("path already in use")


def device_path(path: str) -> str:
    """Return a device's path in its canonical form. Raises BadInput for what cannot be one."""
    wanted = path.strip("/")
    if not wanted or len(wanted) > 256 or any(not part or part.isspace() for part in wanted.split("/")):
        raise BadInput.of("path", "must be 1 to 256 characters without empty segments")
    return wanted + "/"
