"""The settings of a mount: addresses, CRLs, and where it is reached."""

from ca.records import ClusterConfig, CrlConfig, Urls
from ca.references import CONFIG
from chancery.kit.storage import Document, Documents


class Configuration:
    """Access to the settings, which have defaults until they are written."""

    def __init__(self, documents: Documents) -> None:
        self.urls_documents = documents.collection("config_urls", Urls)
        self.crl_documents = documents.collection("config_crl", CrlConfig)
        self.cluster_documents = documents.collection("config_cluster", ClusterConfig)

    async def urls(self) -> Urls:
        """Return the addresses that issuers use unless they have their own."""
        document = await self.urls_documents.get(CONFIG)
        return document.value if document is not None else _URLS

    async def crl(self) -> Document[CrlConfig]:
        """Return how CRLs are made; version 0 while nobody has said."""
        return await self.crl_documents.get(CONFIG) or Document(CONFIG, 0, CrlConfig())

    async def cluster(self) -> ClusterConfig:
        """Return where the mount is reached."""
        document = await self.cluster_documents.get(CONFIG)
        return document.value if document is not None else _CLUSTER


_URLS = Urls()
_CLUSTER = ClusterConfig()
