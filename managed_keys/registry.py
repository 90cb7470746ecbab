"""The only door to keys: checks who may use a key, finds or generates it, pins its public key, keeps it open.

Warm, `open` costs a look into two dictionaries and at the entry's version: whatever changes an entry, in this process
or another, takes effect with the next call.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from chancery.kit.clock import Clock
from chancery.kit.engine import Mount
from chancery.kit.errors import BadInput, ChanceryError, Unavailable
from chancery.kit.metrics import Meter, Unmetered
from chancery.kit.storage import Collection, Document
from managed_keys.catalogue import Catalogue
from managed_keys.contact import Contact
from managed_keys.entries import KeyEntry
from managed_keys.guard import GuardedKey, Measures
from managed_keys.keys import ManagedKey, ManagedKeyReference, NewKey, SoftwareKey, Usage
from managed_keys.parameters import KeyParameters
from managed_keys.provider import Backend, KeyProvider, unsupported_type
from managed_keys.software import SoftwareKeys

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Opened:
    """An entry as this process last saw it, its connection, and its key once there was contact."""

    namespace_id: str
    collection: Collection[KeyEntry]
    document: Document[KeyEntry]
    parameters: KeyParameters
    provider: KeyProvider
    key: GuardedKey | None = None


class Registry:
    """The service `KeyRegistry`."""

    def __init__(
        self,
        catalogue: Catalogue,
        backends: Mapping[str, Backend],
        software: SoftwareKeys,
        clock: Clock,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Unmetered()
        self.catalogue = catalogue
        self._backends, self._software = backends, software
        self._contact = Contact(catalogue, clock, owner=secrets.token_hex(8))
        self._opened: dict[str, _Opened] = {}
        self._opening: dict[str, asyncio.Task[GuardedKey]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def reference(
        self, mount: Mount, *, name: str = "", uuid: str = "", usage: Usage = Usage.SIGN
    ) -> ManagedKeyReference:
        """Find a registered key that this mount may use (KeyRegistry)."""
        if not name and not uuid:
            raise BadInput("missing argument managed_key_name or managed_key_id")
        if name and uuid:
            raise BadInput("only one argument of managed_key_name or managed_key_id should be specified")
        lookup = self.catalogue.by_name if name else self.catalogue.by_uuid
        entry = (await lookup(mount.namespace_id, name or uuid)).value
        admit(mount, entry.name, self.catalogue.parameters(entry), usage)
        return ManagedKeyReference(entry.uuid, entry.name)

    async def describe(self, mount: Mount, uuid: str) -> ManagedKeyReference:
        """Return the present name of a key (KeyRegistry)."""
        entry = (await self.catalogue.by_uuid(mount.namespace_id, uuid)).value
        return ManagedKeyReference(entry.uuid, entry.name)

    async def open(self, mount: Mount, uuid: str, usage: Usage = Usage.SIGN) -> ManagedKey:
        """Open a registered key, generating it if need be and allowed (KeyRegistry)."""
        opened = self._opened.get(uuid)
        if opened is not None and opened.key is not None and opened.namespace_id == mount.namespace_id:
            now = await opened.collection.get(opened.document.name)
            if now is opened.document or (now is not None and now.version == opened.document.version):
                admit(mount, opened.document.name, opened.parameters, usage)
                return opened.key
        document = await self.catalogue.by_uuid(mount.namespace_id, uuid)
        admit(mount, document.name, self.catalogue.parameters(document.value), usage)
        return await self.open_entry(mount.namespace_id, document)

    async def open_entry(self, namespace_id: str, document: Document[KeyEntry]) -> GuardedKey:
        """Open an entry whose use has been allowed. Concurrent callers share one contact with the backend."""
        uuid = document.value.uuid
        task = self._opening.get(uuid)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._open_anew(namespace_id, document))
            self._opening[uuid] = task
            task.add_done_callback(lambda done: self._opening_ended(uuid, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Unavailable("managed keys were closed while the key was being opened", retry_after=1) from None
            raise

    def _opening_ended(self, uuid: str, task: "asyncio.Task[GuardedKey]") -> None:
        self._opening.pop(uuid, None)
        if not task.cancelled():
            task.exception()  # a caller that went away is no reason for a warning

    async def _open_anew(self, namespace_id: str, document: Document[KeyEntry]) -> GuardedKey:
        opened = await self._connected(namespace_id, document)
        if opened.key is None or opened.document.value.pinned != document.value.pinned:
            opened.key = None
            document, handle = await self._contact.establish(namespace_id, document, opened.provider)
            measures = Measures(self._meter, document.name, namespace_id)
            opened.key = GuardedKey(opened.provider.open(handle), f'managed key "{document.name}"', measures)
        opened.document = document
        return opened.key

    async def _connected(self, namespace_id: str, document: Document[KeyEntry]) -> _Opened:
        """Return the connection that an entry describes now; one that it described before is given back."""
        entry = document.value
        parameters = self.catalogue.parameters(entry)
        backend = self._backends.get(entry.type)
        if backend is None:
            raise unsupported_type(entry.type, list(self._backends))
        before = self._opened.get(entry.uuid)
        if before is not None:
            same = before.document.value.writes == entry.writes
            if same or (before.key is not None and parameters.connects_as(before.parameters)):
                before.parameters = parameters
                return before
            if before.key is None:
                await before.provider.aclose()  # it was written anew: what was refused may be tried once more
            else:
                self._background(before.provider.aclose())  # after the new connection took over what both share
        opened = self._opened[entry.uuid] = _Opened(
            namespace_id, self.catalogue.collection(namespace_id), document, parameters, backend.connect(parameters)
        )
        return opened

    def forget(self, uuid: str) -> None:
        """Give back the connection of an entry that was deleted."""
        opened = self._opened.pop(uuid, None)
        if opened is not None:
            self._background(opened.provider.aclose())

    def _background(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def generate_software(self, mount: Mount, key: NewKey, context: str) -> SoftwareKey:
        """Make a software key (KeyRegistry)."""
        return await self._software.generate(mount, key, context)

    async def open_software(self, mount: Mount, sealed: bytes, context: str) -> ManagedKey:
        """Open a software key (KeyRegistry)."""
        return await self._software.open(mount, sealed, context)

    async def reload(self) -> None:
        """Follow changed settings."""
        for backend in self._backends.values():
            await backend.reload()

    async def aclose(self) -> None:
        """Forget every key and secret, end every process and connection."""
        for task in list(self._opening.values()):
            task.cancel()
        self._opened.clear()
        self._software.forget()
        if self._closing:
            await asyncio.wait(self._closing)
        for name, backend in self._backends.items():
            try:
                await backend.aclose()
            except ChanceryError as error:
                _LOG.warning("closing the key provider %s: %s", name, error)


def admit(mount: Mount, name: str, parameters: KeyParameters, usage: Usage) -> None:
    """Check that a mount may use a key for this. Pure. Raises BadInput that says what to change."""
    if not parameters.any_mount and name not in mount.config.allowed_managed_keys:
        raise BadInput(
            f'mount "{mount.path}" may not use the managed key "{name}": add it to the mount\'s allowed_managed_keys '
            f"(sys/mounts/{mount.path}tune), or set any_mount on the key"
        )
    require_usage(name, parameters, usage)


def require_usage(name: str, parameters: KeyParameters, usage: Usage) -> None:
    """Check that a key is meant for this. Pure. Raises BadInput."""
    if usage not in parameters.usages:
        raise BadInput(
            f'the managed key "{name}" is not for {usage}: its usages are {", ".join(parameters.usages) or "none"}'
        )
