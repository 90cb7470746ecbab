"""Who asks, and what they may do: the token and ACL questions that the pipeline and some `sys/` routes share."""

from chancery.auth.store import TokenStore, permitted_from
from chancery.auth.tokens import TokenEntry
from chancery.kit.clock import Clock
from chancery.kit.engine import Mount
from chancery.kit.errors import Denied
from chancery.kit.request import Caller, Request
from chancery.namespaces.model import Namespace
from chancery.namespaces.tenants import Tenants
from chancery.policy.acl import ACL


class Access:
    """Tokens and policies together."""

    def __init__(self, tokens: TokenStore, tenants: Tenants, clock: Clock) -> None:
        self._tokens = tokens
        self._tenants = tenants
        self._clock = clock

    async def identify(self, token: str, remote_address: str) -> TokenEntry:
        """Return the entry of a valid token used from a permitted address; spends one of its uses if they are counted.

        Raises Denied, always with the same words.
        """
        entry = await self._tokens.lookup(token, self._clock.now()) if token else None
        if entry is None or not permitted_from(entry, remote_address):
            raise Denied
        if entry.num_uses:
            await self._tokens.use(token)
        return entry

    async def scoped(self, entry: TokenEntry, namespace: Namespace) -> tuple[ACL, str]:
        """Return the compiled policies of a token, and what they call the namespace of a request.

        A token serves its own namespace and those below it; its policies name paths from its own. Raises Denied
        everywhere else.
        """
        home = self._tenants.namespaces.by_id(entry.namespace)
        if home is None or not home.contains(namespace):
            raise Denied
        acl = await self._tenants.tenant(home.id).policies.acl_for(entry.policies)
        return acl, namespace.path[len(home.path) :]

    async def has_sudo(self, request: Request) -> bool:
        """Tell whether the caller has the sudo capability on the request's own path."""
        caller = request.authenticated
        if caller.is_root:
            return True
        acl, prefix = await self._of_caller(caller, request)
        return acl.has_sudo(prefix + request.mount_path + request.path)

    async def may_see(self, request: Request, mount: Mount) -> bool:
        """Tell whether the caller's policies mention anything at or below a mount. No token: nothing but `unauth`."""
        if mount.config.listing_visibility == "unauth":
            return True
        entry = await self._tokens.lookup(request.token, request.now) if request.token else None
        namespace = self._tenants.namespaces.by_id(mount.namespace_id)
        if entry is None or namespace is None:
            return False
        try:
            acl, prefix = await self.scoped(entry, namespace)
        except Denied:
            return False
        return acl.mentions(prefix + mount.path)

    async def _of_caller(self, caller: Caller, request: Request) -> tuple[ACL, str]:
        home = self._tenants.namespaces.by_id(caller.namespace_id)
        if home is None:
            raise Denied
        acl = await self._tenants.tenant(home.id).policies.acl_for(caller.policies)
        return acl, request.namespace[len(home.path) :]
