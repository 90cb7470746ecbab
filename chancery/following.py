"""Who follows what other nodes change: which parts of the host hold something made of documents."""

from chancery.auth.store import TokenStore
from chancery.coherence import Changes, Coherence
from chancery.namespaces.tenants import Tenants


def follow_stored(coherence: Coherence, tokens: TokenStore, tenants: Tenants) -> None:
    """Have tokens, namespaces, mounts and policies follow. Namespaces come before what is in them."""
    following = _Following(tokens, tenants)
    coherence.on_change("token/store", "revocation", following.tokens)
    coherence.on_change("system/namespaces", "namespace", following.namespaces)
    coherence.on_change("system/", "mount", following.mounts)
    coherence.on_change("policy/", "policy", following.policies)


class _Following:
    def __init__(self, tokens: TokenStore, tenants: Tenants) -> None:
        self._tokens = tokens
        self._tenants = tenants

    async def tokens(self, _changes: Changes) -> None:
        self._tokens.changed()

    async def namespaces(self, changes: Changes) -> None:
        if changes.everything:
            await self._tenants.follow_all()
            return
        for path in dict.fromkeys(place.name for place in changes.places):
            await self._tenants.follow(path)

    async def mounts(self, changes: Changes) -> None:
        """Of `everything` nothing is left to do: following all namespaces includes their mounts."""
        for scope, path in dict.fromkeys((place.scope, place.name) for place in changes.places if place.kind):
            tenant = self._tenants.find(scope.removeprefix("system/"))
            if tenant is not None:
                await tenant.mounts.follow(path)

    async def policies(self, changes: Changes) -> None:
        scopes = {place.scope for place in changes.places}
        for tenant in self._tenants.tenants():
            if changes.everything or f"policy/{tenant.namespace.id}" in scopes:
                tenant.policies.changed()
