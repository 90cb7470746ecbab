"""Who asks, and what they may do: the token and ACL questions that the pipeline and some `sys/` routes share."""

from chancery.auth.logins import united
from chancery.auth.store import TokenStore, permitted_from
from chancery.auth.tokens import TokenEntry
from chancery.identity.store import Known
from chancery.kit.clock import Clock
from chancery.kit.engine import Mount
from chancery.kit.errors import Denied
from chancery.kit.request import Operation, Request
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

        A token is no longer valid once the auth mount that vouched for it is gone, or its entity is gone or disabled.
        Raises Denied, always with the same words.
        """
        entry = await self._tokens.lookup(token, self._clock.now()) if token else None
        if entry is None or not permitted_from(entry, remote_address):
            raise Denied
        if entry.mount and not self._tenants.has_mount(entry.mount):
            raise Denied
        if entry.entity_id:
            await self._person(entry.namespace, entry.entity_id)
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
        acl = await self._acl(home.id, entry.policies, entry.entity_id)
        return acl, namespace.path[len(home.path) :]

    async def of_caller(self, request: Request) -> tuple[ACL, str]:
        """Return what the caller of a request may do, and what its policies call the request's namespace."""
        caller = request.authenticated
        home = self._tenants.namespaces.by_id(caller.namespace_id)
        if home is None:
            raise Denied
        acl = await self._acl(home.id, caller.policies, caller.entity_id)
        return acl, request.namespace[len(home.path) :]

    async def of_token(self, token: str, request: Request) -> tuple[ACL, str] | None:
        """Return the same for another token; None when it is not valid. Raises Denied for another namespace's."""
        entry = await self._tokens.lookup(token, request.now)
        return await self._scoped_to(entry, request)

    async def of_accessor(self, accessor: str, request: Request) -> tuple[ACL, str] | None:
        """Return the same for the token with an accessor."""
        entry = await self._tokens.by_accessor(accessor, request.now)
        return await self._scoped_to(entry, request)

    async def has_sudo(self, request: Request) -> bool:
        """Tell whether the caller has the sudo capability on the request's own path."""
        if request.authenticated.is_root:
            return True
        acl, prefix = await self.of_caller(request)
        slash = "/" if request.operation is Operation.LIST and request.path else ""
        return acl.has_sudo(prefix + request.mount_path + request.path + slash)

    async def may_see(self, request: Request, mount: Mount) -> bool:
        """Tell whether the caller's policies mention anything at or below a mount. No token: nothing but `unauth`."""
        if mount.config.listing_visibility == "unauth":
            return True
        entry = await self._tokens.lookup(request.token, request.now) if request.token else None
        namespace = self._tenants.namespaces.by_id(mount.namespace_id)
        if entry is None or namespace is None or not permitted_from(entry, request.remote_address):
            return False
        try:
            acl, prefix = await self.scoped(entry, namespace)
        except Denied:
            return False
        return acl.mentions(prefix + mount.path)

    async def _scoped_to(self, entry: TokenEntry | None, request: Request) -> tuple[ACL, str] | None:
        namespace = self._tenants.namespaces.by_id(request.namespace_id)
        return await self.scoped(entry, namespace) if entry is not None and namespace is not None else None

    async def _acl(self, namespace_id: str, policies: tuple[str, ...], entity_id: str) -> ACL:
        store = self._tenants.tenant(namespace_id).policies
        if not entity_id:
            return await store.acl_for(policies)
        person, lives_here = await self._person(namespace_id, entity_id)
        # The policies of an entity are names in its own namespace; elsewhere other policies may be called the same.
        held = united(policies, person.entity.policies) if lives_here else policies
        return await store.acl_for(held, person.subject)

    async def _person(self, namespace_id: str, entity_id: str) -> tuple[Known, bool]:
        """Return an entity, and whether it lives in this namespace rather than above it. Raises Denied."""
        known = await self._tenants.identities(namespace_id).known(entity_id)
        lives_here = known is not None
        home = self._tenants.namespaces.by_id(namespace_id)
        if known is None and home is not None:
            for namespace in self._tenants.namespaces.above(home):
                known = known or await self._tenants.identities(namespace.id).known(entity_id)
        if known is None or known.entity.disabled:
            raise Denied
        return known, lives_here
