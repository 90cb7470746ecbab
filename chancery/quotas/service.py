"""Rate limits in force: kept as documents, counted in this process.

Each server process counts for itself. A client that is spread over n processes has n times the budget.
"""

from chancery.exchange import Message
from chancery.kit.clock import Clock
from chancery.kit.engine import Mount
from chancery.kit.errors import BadInput, RateLimited
from chancery.kit.storage import Documents
from chancery.namespaces.model import Namespace
from chancery.quotas.buckets import Buckets, client_of
from chancery.quotas.model import Exemptions, GroupBy, Limits, QuotaConfig, RateLimit, Subject

_CONFIG = "config"


class QuotaService:
    """`Quotas` of the pipeline, and what `sys/quotas` changes."""

    KINDS = ("rate-limit", "quota-config")
    """Kinds of documents, for whoever follows their changes."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        limits, configs = self.KINDS
        self._records = documents.collection(limits, RateLimit)
        self._configs = documents.collection(configs, QuotaConfig)
        self._clock = clock
        self._known: dict[str, RateLimit] = {}
        self._buckets: dict[str, Buckets] = {}
        self._limits: Limits | None = None
        self._take_over(QuotaConfig())

    def admit(self, message: Message, namespace: Namespace, path: str, mount: Mount | None) -> None:
        """Count a request against the limit that concerns it, if any. Raises RateLimited."""
        if self._limits is not None:
            self._count(self._limits, message, namespace, path, mount)

    async def load(self) -> None:
        """Read what is stored: after unsealing, and when another process changed it. Counts go on."""
        documents = await self._records.all()
        config = await self._configs.get(_CONFIG)
        self._take_over(config.value if config is not None else QuotaConfig())
        known = {document.name: document.value for document in documents}
        self._buckets = {
            name: self._buckets[name]
            if self._known.get(name) == limit
            else Buckets(limit.rate, limit.interval, limit.block_interval)
            for name, limit in known.items()
        }
        self._known = known
        self._limits = Limits(known) if known else None

    def forget(self) -> None:
        """Forget every limit; called at seal."""
        self._known, self._buckets, self._limits = {}, {}, None
        self._take_over(QuotaConfig())

    @property
    def config(self) -> QuotaConfig:
        """Return the settings in force."""
        return self._config

    async def configure(self, config: QuotaConfig) -> None:
        """Change the settings, durably and at once."""
        await self._configs.put(_CONFIG, config)
        await self.load()

    async def get(self, name: str) -> RateLimit | None:
        """Return a limit, or None."""
        document = await self._records.get(name)
        return document.value if document is not None else None

    async def names(self) -> list[str]:
        """Return the names of all limits, in order."""
        return await self._records.names()

    async def put(self, name: str, limit: RateLimit) -> None:
        """Set a limit, durably and at once. Raises BadInput when another one is about the same."""
        for document in await self._records.all():
            if document.name != name and document.value.scope == limit.scope:
                raise BadInput(f'quota rule with similar properties exists under the name "{document.name}"')
        await self._records.put(name, limit)
        await self.load()

    async def delete(self, name: str) -> None:
        """Remove a limit, durably and at once; absent is fine."""
        await self._records.delete(name)
        await self.load()

    def _take_over(self, config: QuotaConfig) -> None:
        self._config = config
        self._exempt = Exemptions(config.rate_limit_exempt_paths)
        self._exempt_absolutely = Exemptions(config.absolute_rate_limit_exempt_paths)

    def _count(self, limits: Limits, message: Message, namespace: Namespace, path: str, mount: Mount | None) -> None:
        if self._exempt.include(path) or self._exempt_absolutely.include(namespace.path + path):
            return
        where, kind = (mount.path, mount.type) if mount is not None else ("", "")
        name = limits.of(Subject(namespace.path, path, where, kind, message.fields))
        if name is None:
            return
        shared = self._known[name].group_by is GroupBy.NONE
        client = "" if shared else client_of(message.remote_address)
        wait = self._buckets[name].take(client, self._clock.monotonic())
        if wait:
            raise RateLimited(f'request path "{message.path}": rate limit quota exceeded', retry_after=wait)
