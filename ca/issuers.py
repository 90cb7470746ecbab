"""The issuers of a mount: found by name or id, described, changed and removed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from ca.chains import chains
from ca.keys import Keys
from ca.records import IssuerRecord, IssuersConfig, IssuerUsage, Name, authority_id, issuer_id
from ca.references import CONFIG, DEFAULT, check_name, is_identity
from ca.x509.certificate import ParsedCertificate
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.storage import ABSENT, Change, Document, DocumentMoved

parsed: Final = lru_cache(maxsize=1024)(ParsedCertificate.parse)
"""Read the certificate of an issuer; remembered, since issuers are few and used for everything."""


class Issuers:
    """The issuers of one mount."""

    def __init__(self, context: MountContext, keys: Keys) -> None:
        self._context = context
        self._mount = context.mount().uuid
        self._keys = keys
        self.records = context.documents.collection("issuer", IssuerRecord)
        self.names = context.documents.collection("issuer_name", Name)
        self.config = context.documents.collection("config_issuers", IssuersConfig)

    async def resolve(self, reference: str) -> Document[IssuerRecord]:
        """Return the issuer with this id or name, or the default one. Raises NotFound."""
        identity = await self._identify(reference)
        document = await self.records.get(identity) if identity else None
        if document is None:
            raise NotFound(f"unable to find PKI issuer for reference: {reference[:255]}")
        return document

    async def _identify(self, reference: str) -> str:
        if reference == DEFAULT:
            default = (await self.default()).default
            if not default:
                raise NotFound("no default issuer currently configured")
            return default
        if is_identity(reference):
            return reference.lower()
        named = await self.names.get(reference)
        return named.value.id if named is not None else ""

    async def chain(self, record: IssuerRecord) -> list[ParsedCertificate]:
        """Return the certificates from this issuer up to its root, as far as they are here."""
        documents = [await self.records.get(identity) for identity in record.chain]
        return [parsed(document.value.certificate) for document in documents if document is not None]

    async def default(self) -> IssuersConfig:
        """Return the settings."""
        document = await self.config.get(CONFIG)
        return document.value if document is not None else IssuersConfig()

    async def set_default(self, reference: str, follows_latest: bool | None) -> IssuersConfig:
        """Make an issuer the default one. `follows_latest` None leaves that setting alone. Raises BadInput."""
        if not reference or reference == DEFAULT:
            raise BadInput("Invalid issuer specification; must be non-empty and can't be 'default'.")
        try:
            document = await self.resolve(reference)
        except NotFound as error:
            raise BadInput(f"Error resolving issuer reference: {error.message}") from None
        before = await self.default()
        follows = before.default_follows_latest_issuer if follows_latest is None else follows_latest
        config = IssuersConfig(default=document.name, default_follows_latest_issuer=follows)
        return (await self.config.put(CONFIG, config)).value

    async def require_free(self, name: str) -> None:
        """Raise BadInput when the name belongs to an issuer."""
        if name and await self.names.get(name) is not None:
            raise BadInput("issuer name already in use")

    def describe(self, name: str, certificate: ParsedCertificate, key_id: str) -> tuple[str, IssuerRecord]:
        """Return id and record of a certificate that becomes an issuer; its chain is itself until it is staged."""
        identity = issuer_id(self._mount, certificate.der)
        record = IssuerRecord(
            name=name,
            certificate=certificate.der,
            key_id=key_id,
            authority=authority_id(self._mount, certificate.subject_der, certificate.spki),
            chain=(identity,),
        )
        return identity, record

    async def stage(self, change: Change, additions: Mapping[str, IssuerRecord]) -> None:
        """Add new issuers to a change: records with their chains, names, and the default when that follows."""
        existing = await self.records.all()
        self._stage_chains(change, existing, additions)
        for identity, record in additions.items():
            if record.name:
                change.put(self.names, record.name, Name(id=identity), expected=ABSENT)
        config = await self.config.get(CONFIG)
        before = config.value if config is not None else IssuersConfig()
        signing = [identity for identity, record in additions.items() if record.key_id]
        if signing and (not before.default or before.default_follows_latest_issuer):
            after = before.model_copy(update={"default": signing[-1]})
            change.put(self.config, CONFIG, after, expected=ABSENT if config is None else config.version)

    def _stage_chains(
        self, change: Change, existing: Sequence[Document[IssuerRecord]], additions: Mapping[str, IssuerRecord]
    ) -> None:
        """Write new records, and old ones whose chains they complete."""
        records = {document.name: document.value for document in existing} | dict(additions)
        found = chains(
            {identity: parsed(record.certificate) for identity, record in records.items()},
            {identity: record.manual_chain for identity, record in records.items()},
        )
        for document in existing:
            if tuple(found[document.name]) != document.value.chain:
                value = document.value.model_copy(update={"chain": tuple(found[document.name])})
                change.put(self.records, document.name, value, expected=document.version)
        for identity, record in additions.items():
            value = record.model_copy(update={"chain": tuple(found[identity])})
            change.put(self.records, identity, value, expected=ABSENT)

    async def replace(self, document: Document[IssuerRecord], value: IssuerRecord) -> Document[IssuerRecord]:
        """Store a changed record. Raises BadInput when its new name is taken or no name, DocumentMoved."""
        check_name(value.name, "issuer")
        change = self._context.documents.change()
        if value.manual_chain != document.value.manual_chain:
            value = value.model_copy(update={"chain": await self._chain_of(document.name, value)})
        change.put(self.records, document.name, value, expected=document.version)
        if value.name != document.value.name:
            if document.value.name:
                change.delete(self.names, document.value.name)
            if value.name:
                change.put(self.names, value.name, Name(id=document.name), expected=ABSENT)
        try:
            await change.commit()
        except DocumentMoved:
            if value.name != document.value.name:
                await self.require_free(value.name)
            raise
        return Document(document.name, document.version + 1, value)

    async def _chain_of(self, identity: str, record: IssuerRecord) -> tuple[str, ...]:
        records = {document.name: document.value for document in await self.records.all()} | {identity: record}
        certificates = {name: parsed(other.certificate) for name, other in records.items()}
        manual = {name: other.manual_chain for name, other in records.items()}
        return tuple(chains(certificates, manual)[identity])

    async def manual_chain(self, identity: str, references: Sequence[str]) -> tuple[str, ...]:
        """Resolve a manual chain, in which `self` is the issuer itself and must come first. Raises BadInput."""
        members = [identity if one == "self" else (await self._required(one)).name for one in references]
        if members and members[0] != identity:
            raise BadInput.of("manual_chain", "must begin with the issuer itself, which `self` stands for")
        if len(set(members)) != len(members):
            raise BadInput.of("manual_chain", "names an issuer twice")
        return tuple(members)

    async def _required(self, reference: str) -> Document[IssuerRecord]:
        try:
            return await self.resolve(reference)
        except NotFound as error:
            raise BadInput.of("manual_chain", error.message) from None

    async def revoke(self, document: Document[IssuerRecord], now: datetime) -> Document[IssuerRecord]:
        """Mark an issuer as revoked: it issues nothing from now on."""
        remaining = tuple(usage for usage in document.value.usages if usage is not IssuerUsage.ISSUING_CERTIFICATES)
        value = document.value.model_copy(update={"revoked_at": now, "usages": remaining})
        return await self.records.put(document.name, value, expected=document.version)

    async def delete(self, reference: str) -> bool:
        """Forget an issuer; True when it was the default one. Its certificates and its key stay."""
        try:
            document = await self.resolve(reference)
        except NotFound:
            return False
        change = self._context.documents.change()
        was_default = await self.stage_removal(change, [document])
        await change.commit()
        return was_default

    async def stage_removal(self, change: Change, leaving: Sequence[Document[IssuerRecord]]) -> bool:
        """Add the removal of issuers to a change; True when the default one is among them."""
        gone = {document.name for document in leaving}
        for document in leaving:
            change.delete(self.records, document.name, expected=document.version)
            if document.value.name:
                change.delete(self.names, document.value.name)
        staying = [document for document in await self.records.all() if document.name not in gone]
        self._stage_chains(change, staying, {})
        config = await self.config.get(CONFIG)
        if config is None or config.value.default not in gone:
            return False
        after = config.value.model_copy(update={"default": ""})
        change.put(self.config, CONFIG, after, expected=config.version)
        return True
