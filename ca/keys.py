"""The keys of a mount: found by name or id, opened through the registry, renamed and removed."""

from ca.records import KeyRecord, KeysConfig, Name, key_id
from ca.references import CONFIG, DEFAULT, check_name, is_identity
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.storage import ABSENT, Change, Document, DocumentMoved
from managed_keys.keys import KeyRegistry, ManagedKey, ManagedKeyReference


class Keys:
    """The keys of one mount."""

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._mount = context.mount().uuid
        self.records = context.documents.collection("key", KeyRecord)
        self.names = context.documents.collection("key_name", Name)
        self.config = context.documents.collection("config_keys", KeysConfig)

    @property
    def registry(self) -> KeyRegistry:
        """Return the door to every key. Raises Unavailable when no extension offers it."""
        return self._context.services.get(KeyRegistry)  # type: ignore[type-abstract]  # services are found by Protocol

    def identity(self, spki: bytes) -> str:
        """Return the id of a public key within this mount."""
        return key_id(self._mount, spki)

    async def resolve(self, reference: str) -> Document[KeyRecord]:
        """Return the key with this id or name, or the default one. Raises NotFound."""
        identity = await self._identify(reference)
        document = await self.records.get(identity) if identity else None
        if document is None:
            raise NotFound(f"unable to find PKI key for reference: {reference[:255]}")
        return document

    async def _identify(self, reference: str) -> str:
        if reference == DEFAULT:
            default = (await self.default()).default
            if not default:
                raise NotFound("no default key currently configured")
            return default
        if is_identity(reference):
            return reference.lower()
        named = await self.names.get(reference)
        return named.value.id if named is not None else ""

    async def open(self, record: KeyRecord) -> ManagedKey:
        """Open a key for signing. Raises BadInput when the mount may not use it, Unavailable when it is away."""
        mount = self._context.mount()
        if record.managed_uuid:
            return await self.registry.open(mount, record.managed_uuid)
        return await self.registry.open_software(mount, record.sealed, record.seal_context)

    async def describe(self, record: KeyRecord) -> ManagedKeyReference | None:
        """Return what the registry calls a managed key; None for a software key. Raises BadInput when it is gone."""
        if not record.managed_uuid:
            return None
        return await self.registry.describe(self._context.mount(), record.managed_uuid)

    async def default(self) -> KeysConfig:
        """Return the settings."""
        document = await self.config.get(CONFIG)
        return document.value if document is not None else KeysConfig()

    async def set_default(self, reference: str) -> KeysConfig:
        """Make a key the default one. Raises BadInput for a reference to nothing."""
        if not reference or reference == DEFAULT:
            raise BadInput("Invalid key specification; must be non-empty and can't be 'default'.")
        try:
            document = await self.resolve(reference)
        except NotFound as error:
            raise BadInput(f"Error resolving issuer reference: {error.message}") from None
        return (await self.config.put(CONFIG, KeysConfig(default=document.name))).value

    async def rename(self, reference: str, name: str) -> Document[KeyRecord]:
        """Give a key another name, or none. Raises BadInput when the name is taken."""
        check_name(name, "key")
        document = await self.resolve(reference)
        if document.value.name == name:
            return document
        change = self._context.documents.change()
        renamed = document.value.model_copy(update={"name": name})
        change.put(self.records, document.name, renamed, expected=document.version)
        if document.value.name:
            change.delete(self.names, document.value.name)
        if name:
            change.put(self.names, name, Name(id=document.name), expected=ABSENT)
        try:
            await change.commit()
        except DocumentMoved:
            await self.require_free(name)
            raise
        return Document(document.name, document.version + 1, renamed)

    async def require_free(self, name: str) -> None:
        """Raise BadInput when the name belongs to a key."""
        if name and await self.names.get(name) is not None:
            raise BadInput("key name already in use")

    async def delete(self, reference: str) -> bool:
        """Forget a key that no issuer uses any more; False when there was none. The key in an HSM stays."""
        try:
            document = await self.resolve(reference)
        except NotFound:
            return False
        change = self._context.documents.change()
        await self.stage_removal(change, document)
        await change.commit()
        return True

    async def stage_removal(self, change: Change, document: Document[KeyRecord]) -> None:
        """Add the removal of a key, of its name and of its being the default to a change."""
        change.delete(self.records, document.name, expected=document.version)
        if document.value.name:
            change.delete(self.names, document.value.name)
        config = await self.config.get(CONFIG)
        if config is not None and config.value.default == document.name:
            change.put(self.config, CONFIG, KeysConfig(), expected=config.version)

    async def stage(self, change: Change, identity: str, record: KeyRecord) -> None:
        """Add a new key to a change: its record, its name, and its being the default when there is none."""
        change.put(self.records, identity, record, expected=ABSENT)
        if record.name:
            change.put(self.names, record.name, Name(id=identity), expected=ABSENT)
        config = await self.config.get(CONFIG)
        if config is None or not config.value.default:
            version = ABSENT if config is None else config.version
            change.put(self.config, CONFIG, KeysConfig(default=identity), expected=version)
