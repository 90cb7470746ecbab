"""`keys` and `key`: the keys of a mount."""

from typing import Any

from pydantic import Field

from ca.endpoints.paging import Page
from ca.endpoints.rendering import Format
from ca.issuers import Issuers
from ca.key_making import KeyMaking, KeySource, WantedKey
from ca.keys import Keys
from ca.records import KeyRecord
from ca.x509.public_keys import ski
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import LaxInt, NoParams, Params, Text
from chancery.kit.request import Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import Document

_FIELDS = ("key_id", "key_name", "key_type", "managed_key_id", "managed_key_name", "subject_key_id")


class KeyReference(Params):
    """Parameters of reading and deleting a key."""

    key_ref: Text = Field(description="Name or id of the key, or `default`")


class WriteKey(KeyReference):
    """Parameters of renaming a key."""

    key_name: Text = Field("", description="New name")


class GenerateKey(Params):
    """Parameters of `keys/generate`."""

    key_name: Text = Field("", description="Name for the new key")
    key_type: Text = Field("rsa", description="rsa, ec or ed25519")
    key_bits: LaxInt = Field(0, description="Size of the key; 0 = 2048 for rsa, 256 for ec")
    managed_key_name: Text = Field("", description="For kms: the managed key's name")
    managed_key_id: Text = Field("", description="For kms: the managed key's UUID")


class SetDefaultKey(Params):
    """Parameters of `config/keys`."""

    default: Text = Field("", description="Name or id of the key")


class KeyEndpoints:
    """Serves the keys of one mount."""

    def __init__(self, keys: Keys, issuers: Issuers, making: KeyMaking) -> None:
        self._keys = keys
        self._issuers = issuers
        self._making = making

    def routes(self) -> list[Route]:
        """Return the paths."""
        made = ("key_id", "key_name", "key_type", "private_key")
        return [
            Route(pattern="keys", list=endpoint(self.listing, Page, responses=("keys", "key_info"))),
            Route(
                pattern="key/{key_ref}",
                read=endpoint(self.read, KeyReference, responses=_FIELDS),
                update=endpoint(self.rename, WriteKey, responses=_FIELDS[:3]),
                delete=endpoint(self.delete, KeyReference),
            ),
            Route(
                pattern="config/keys",
                read=endpoint(self.read_default, responses=("default",)),
                update=endpoint(self.set_default, SetDefaultKey, responses=("default",)),
            ),
            Route(pattern="keys/generate/internal", update=endpoint(self.internal, GenerateKey, responses=made)),
            Route(pattern="keys/generate/exported", update=endpoint(self.exported, GenerateKey, responses=made)),
            Route(pattern="keys/generate/kms", update=endpoint(self.kms, GenerateKey, responses=made)),
        ]

    async def listing(self, _request: Request, params: Page) -> Reply:
        """List the keys."""
        default = (await self._keys.default()).default
        names = await self._keys.records.names(after=params.after, limit=params.length)
        documents = [await self._keys.records.get(name) for name in names]
        info = {
            document.name: {"key_name": document.value.name, "is_default": document.name == default}
            for document in documents
            if document is not None
        }
        return listing(list(info), info)

    async def read(self, _request: Request, params: KeyReference) -> Reply:
        """Read a key."""
        document = await self._keys.resolve(params.key_ref)
        data = _shown(document) | {"subject_key_id": ski(document.value.spki).hex(":")}
        managed = await self._keys.describe(document.value)
        if managed is not None:
            data |= {"managed_key_id": managed.uuid, "managed_key_name": managed.name}
        return Reply(data)

    async def rename(self, _request: Request, params: WriteKey) -> Reply:
        """Rename a key."""
        return Reply(_shown(await self._keys.rename(params.key_ref, params.key_name)))

    async def delete(self, _request: Request, params: KeyReference) -> None:
        """Delete a key that no issuer uses. A key in an HSM or KMS stays there."""
        try:
            document = await self._keys.resolve(params.key_ref)
        except NotFound:
            return
        for issuer in await self._issuers.records.all():
            if issuer.value.key_id == document.name:
                raise BadInput(f"Failed to Delete Key.  Key in Use by Issuer: {issuer.name}")
        await self._keys.delete(document.name)

    async def read_default(self, _request: Request, _params: NoParams) -> Reply:
        """Read which key is the default one."""
        return Reply({"default": (await self._keys.default()).default})

    async def set_default(self, _request: Request, params: SetDefaultKey) -> Reply:
        """Choose the default key."""
        return Reply({"default": (await self._keys.set_default(params.default)).default})

    async def internal(self, _request: Request, params: GenerateKey) -> Reply:
        """Generate a key that never leaves this server."""
        return await self._generate(KeySource.INTERNAL, params)

    async def exported(self, _request: Request, params: GenerateKey) -> Reply:
        """Generate a key and show it this once."""
        return await self._generate(KeySource.EXPORTED, params)

    async def kms(self, _request: Request, params: GenerateKey) -> Reply:
        """Add a managed key."""
        return await self._generate(KeySource.KMS, params)

    async def _generate(self, source: KeySource, params: GenerateKey) -> Reply:
        wanted = WantedKey(
            source=source,
            name=params.key_name.strip(),
            key_type=params.key_type,
            bits=params.key_bits,
            managed_name=params.managed_key_name,
            managed_id=params.managed_key_id,
        )
        made = await self._making.make(wanted)
        data = {"key_id": made.identity, "key_name": made.record.name, "key_type": str(made.record.algorithm)}
        if made.pkcs8:
            data["private_key"] = Format().private_key(made.pkcs8)
        return Reply(data)


def _shown(document: Document[KeyRecord]) -> dict[str, Any]:
    record = document.value
    return {"key_id": document.name, "key_name": record.name, "key_type": str(record.algorithm)}
