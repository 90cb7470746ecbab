"""Who asks, and what they may do: the token and ACL questions that the pipeline and some `sys/` routes share."""

from chancery.auth.store import TokenStore, permitted_from
from chancery.auth.tokens import TokenEntry
from chancery.kit.clock import Clock
from chancery.kit.engine import Mount
from chancery.kit.errors import Denied
from chancery.kit.request import Request
from chancery.policy.acl import ACL
from chancery.policy.store import PolicyStore


class Access:
    """Tokens and policies together."""

    def __init__(self, tokens: TokenStore, policies: PolicyStore, clock: Clock) -> None:
        self._tokens = tokens
        self._policies = policies
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

    async def acl(self, entry: TokenEntry) -> ACL:
        """Return the compiled policies of a token."""
        return await self._policies.acl_for(entry.policies)

    async def has_sudo(self, request: Request) -> bool:
        """Tell whether the caller has the sudo capability on the request's own path."""
        caller = request.authenticated
        if caller.is_root:
            return True
        acl = await self._policies.acl_for(caller.policies)
        return acl.has_sudo(request.mount_path + request.path)

    async def may_see(self, request: Request, mount: Mount) -> bool:
        """Tell whether the caller's policies mention anything at or below a mount. No token: nothing but `unauth`."""
        if mount.config.listing_visibility == "unauth":
            return True
        entry = await self._tokens.lookup(request.token, request.now) if request.token else None
        if entry is None:
            return False
        return (await self._policies.acl_for(entry.policies)).mentions(mount.path)
