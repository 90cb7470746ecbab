"""Where the key of a new issuer comes from: made here, opened in an HSM or KMS, or already there."""

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from ca.key_parameters import new_key
from ca.keys import Keys
from ca.records import KeyRecord
from ca.references import check_name
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput, Conflict, NotFound
from chancery.kit.storage import Change, DocumentMoved
from managed_keys.keys import ManagedKey

_ATTEMPTS = 8


class KeySource(StrEnum):
    """The last segment of `root/generate/...`."""

    INTERNAL = "internal"
    EXPORTED = "exported"
    EXISTING = "existing"
    KMS = "kms"


@dataclass(frozen=True, slots=True)
class WantedKey:
    """What a client says about the key."""

    source: KeySource
    name: str = ""
    key_type: str = "rsa"
    bits: int = 0
    shape_given: bool = False
    """Whether the client sent key_type or key_bits at all."""
    reference: str = "default"
    managed_name: str = ""
    managed_id: str = ""


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key ready to sign, and what is to be stored of it."""

    identity: str
    record: KeyRecord
    key: ManagedKey
    pkcs8: bytes = b""
    """DER of the private key, for the one answer that exports it."""

    def __repr__(self) -> str:
        return f"MadeKey({self.identity})"


class KeyMaking:
    """Makes and finds keys for one mount. What it makes is stored by the caller, together with what needs it."""

    def __init__(self, context: MountContext, keys: Keys) -> None:
        self._context = context
        self._keys = keys

    async def obtain(self, wanted: WantedKey) -> MadeKey:
        """Return the key that the client wants. Raises BadInput, Unavailable or BackendRefused."""
        if wanted.source in {KeySource.KMS, KeySource.EXISTING} and wanted.shape_given:
            raise BadInput(
                "invalid parameter for the kms/existing path parameter, key_type nor key_bits arguments can be set in "
                "this mode"
            )
        check_name(wanted.name, "key")
        match wanted.source:
            case KeySource.EXISTING:
                return await self._existing(wanted)
            case KeySource.KMS:
                return await self._managed(wanted)
            case KeySource.INTERNAL | KeySource.EXPORTED:
                await self._keys.require_free(wanted.name)
                return await self._software(wanted)

    async def stage(self, change: Change, made: MadeKey) -> MadeKey:
        """Add the key to a change unless it is stored already. Raises BadInput when its name was taken meanwhile.

        A managed key that was registered anew, and so has another UUID, takes the place of the old registration.
        """
        stored = await self._keys.records.get(made.identity)
        if stored is None:
            await self._keys.require_free(made.record.name)
            await self._keys.stage(change, made.identity, made.record)
            return made
        record, managed = stored.value, made.record.managed_uuid
        if managed and record.managed_uuid != managed:
            record = record.model_copy(update={"managed_uuid": managed, "sealed": b"", "seal_context": ""})
            change.put(self._keys.records, made.identity, record, expected=stored.version)
        return replace(made, record=record)

    async def make(self, wanted: WantedKey) -> MadeKey:
        """Obtain a key and store it by itself. Raises as `obtain` does."""
        made = await self.obtain(wanted)
        for _ in range(_ATTEMPTS):
            change = self._context.documents.change()
            staged = await self.stage(change, made)
            try:
                await change.commit()
            except DocumentMoved:
                continue
            return staged
        raise Conflict("other requests kept changing the keys of this mount; try again")

    async def _software(self, wanted: WantedKey) -> MadeKey:
        context = f"pki/{uuid.uuid4()}"
        shape = new_key(wanted.key_type, wanted.bits)
        made = await self._keys.registry.generate_software(self._context.mount(), shape, context)
        public = made.key.public_key
        record = KeyRecord(
            name=wanted.name,
            spki=public.spki,
            algorithm=public.algorithm,
            bits=public.bits,
            sealed=made.sealed,
            seal_context=context,
        )
        pkcs8 = made.pkcs8 if wanted.source is KeySource.EXPORTED else b""
        return MadeKey(self._keys.identity(public.spki), record, made.key, pkcs8)

    async def _managed(self, wanted: WantedKey) -> MadeKey:
        name, identity = wanted.managed_name.strip(), wanted.managed_id.strip()
        if not (name or identity):
            raise BadInput("unable to determine managed key id: missing argument managed_key_name or managed_key_id")
        if name and identity:
            raise BadInput(
                "unable to determine managed key id: only one argument of managed_key_name or managed_key_id should be "
                "specified"
            )
        mount = self._context.mount()
        try:
            reference = await self._keys.registry.reference(mount, name=name, uuid=identity)
            key = await self._keys.registry.open(mount, reference.uuid)
        except BadInput as error:
            raise BadInput(f"failed to lookup public key from managed key: {error.message}") from None
        public = key.public_key
        record = KeyRecord(
            name=wanted.name,
            spki=public.spki,
            algorithm=public.algorithm,
            bits=public.bits,
            managed_uuid=reference.uuid,
        )
        made = MadeKey(self._keys.identity(public.spki), record, key)
        if await self._keys.records.get(made.identity) is None:
            await self._keys.require_free(wanted.name)
        return made

    async def _existing(self, wanted: WantedKey) -> MadeKey:
        try:
            document = await self._keys.resolve(wanted.reference)
        except NotFound as error:
            raise BadInput(f"failed to lookup public key from existing key: {error.message}") from None
        return MadeKey(document.name, document.value, await self._keys.open(document.value))
