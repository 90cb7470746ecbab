"""Issuers made ready to sign: certificate parsed, chain rendered, addresses filled in. Prepared once, not each time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ca.configuration import Configuration
from ca.issuers import Issuers, parsed
from ca.keys import Keys
from ca.records import ClusterConfig, IssuerRecord, IssuerUsage, KeyRecord, Urls
from ca.references import DEFAULT
from ca.urls import fill_in
from ca.validity import LeafNotAfter
from ca.x509 import pem
from ca.x509.certificate import ParsedCertificate
from ca.x509.extensions import AuthorityUrls
from ca.x509.spec import IssuerIdentity
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.storage import Document
from managed_keys.keys import KeyAlgorithm, ManagedKey, PublicKey, SignatureScheme, choose_scheme


@dataclass(frozen=True, slots=True)
class Signer:
    """An issuer with everything that its certificates repeat."""

    issuer_id: str
    identity: IssuerIdentity
    not_after: datetime
    outliving: LeafNotAfter
    urls: AuthorityUrls
    key: KeyRecord
    certificate: ParsedCertificate
    chain: tuple[ParsedCertificate, ...]
    certificate_pem: str
    chain_pem: tuple[str, ...]
    rootless_chain_pem: tuple[str, ...]
    """Without self-signed certificates."""
    authority_key_id: str
    """Hexadecimal octets with colons."""

    def scheme(self, hash_bits: int, pss: bool) -> SignatureScheme:
        """Return the signature scheme for what a role says. Raises BadInput when the key has none such."""
        return scheme_for(self.key.public_key, hash_bits, pss)


def scheme_for(key: PublicKey, hash_bits: int, pss: bool) -> SignatureScheme:
    """Return the signature scheme for a key, in terms of `signature_bits` and `use_pss`. Raises BadInput."""
    if key.algorithm is KeyAlgorithm.RSA and hash_bits not in {0, 256, 384, 512}:
        raise BadInput(f"unsupported hash signature algorithm: {hash_bits}; signature_bits must be 256, 384 or 512")
    try:
        return choose_scheme(key, hash_bits=hash_bits, pss=pss)
    except ValueError as error:
        raise BadInput(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A signer with what it was made of: the same objects mean that nothing has changed."""

    issuer: Document[IssuerRecord]
    key: Document[KeyRecord]
    urls: Urls
    cluster: ClusterConfig
    signer: Signer


_MAX_PREPARED: Final = 256


class Signers:
    """The signers of one mount. Warm, finding one reads no database."""

    def __init__(self, issuers: Issuers, keys: Keys, configuration: Configuration) -> None:
        self._issuers = issuers
        self._keys = keys
        self._configuration = configuration
        self._prepared: dict[str, _Prepared] = {}

    async def get(self, reference: str, usage: IssuerUsage) -> Signer:
        """Return the signer for an issuer. Raises BadInput when there is none, or it may or can not do this."""
        try:
            issuer = await self._issuers.resolve(reference or DEFAULT)
        except NotFound as error:
            raise BadInput(f"could not fetch the CA certificate (was one set?): {error.message}") from None
        record = issuer.value
        if usage not in record.usages:
            raise BadInput(
                f"requested usage {usage} for issuer [id:{issuer.name} / name:{record.name}] "
                f"but only had usage {','.join(record.usages)}"
            )
        key = await self._keys.records.get(record.key_id) if record.key_id else None
        if key is None:
            raise BadInput(f"issuer {record.name or issuer.name} has no private key here: it cannot sign")
        urls = record.urls or await self._configuration.urls()
        cluster = await self._configuration.cluster()
        prepared = self._prepared.get(issuer.name)
        if (
            prepared is None
            or prepared.issuer is not issuer
            or prepared.key is not key
            or prepared.urls is not urls
            or prepared.cluster is not cluster
        ):
            prepared = _Prepared(issuer, key, urls, cluster, await self._prepare(issuer, key, urls, cluster))
            if len(self._prepared) >= _MAX_PREPARED:
                self._prepared.clear()
            self._prepared[issuer.name] = prepared
        return prepared.signer

    async def open(self, signer: Signer) -> ManagedKey:
        """Open a signer's key. Raises BadInput when the mount may not use it, Unavailable when it is away."""
        return await self._keys.open(signer.key)

    async def _prepare(
        self, issuer: Document[IssuerRecord], key: Document[KeyRecord], urls: Urls, cluster: ClusterConfig
    ) -> Signer:
        certificate = parsed(issuer.value.certificate)
        chain = tuple(await self._issuers.chain(issuer.value))
        identifier = certificate.extensions.subject_key_identifier or b""
        return Signer(
            issuer_id=issuer.name,
            identity=certificate.identity(),
            not_after=certificate.not_after,
            outliving=issuer.value.leaf_not_after_behavior,
            urls=fill_in(urls, cluster, issuer.name),
            key=key.value,
            certificate=certificate,
            chain=chain,
            certificate_pem=pem.encode(pem.CERTIFICATE, certificate.der),
            chain_pem=tuple(pem.encode(pem.CERTIFICATE, member.der) for member in chain),
            rootless_chain_pem=tuple(
                pem.encode(pem.CERTIFICATE, member.der) for member in chain if not member.is_self_issued
            ),
            authority_key_id=identifier.hex(":"),
        )
