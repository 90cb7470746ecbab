"""The whole extension over a real token: routes, registry, provider, signer processes; only the host is in memory."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from chancery.kit.engine import Mount
from chancery.kit.request import Operation, Reply, Request
from chancery.kit.route import Endpoint
from managed_keys.extension import ManagedKeys
from managed_keys.keys import ManagedKey, SignatureScheme
from managed_keys.providers.pkcs11.pool import SignerPool
from managed_keys.providers.pkcs11.provider import PKCS11, Pkcs11Backend
from tests.support.hsm_host import MemoryHost
from tests.support.hsm_token import SoftToken

SCHEME = SignatureScheme.ECDSA_SHA256


@dataclass
class HsmWorld:
    """A server with managed keys in one token."""

    token: SoftToken
    host: MemoryHost = field(default_factory=MemoryHost)

    def __post_init__(self) -> None:
        self.host.libraries = [self.token.library]
        self.extension = ManagedKeys(self.host.context(), {"pkcs11": PKCS11})
        self.mount: Mount = self.host.add_mount("pki/", "k")

    async def __aenter__(self) -> "HsmWorld":
        await self.extension.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.extension.stop()

    @property
    def backend(self) -> Pkcs11Backend:
        """Return the running provider."""
        backend = self.extension.registry._backends["pkcs11"]
        assert isinstance(backend, Pkcs11Backend)
        return backend

    @property
    def pool(self) -> SignerPool:
        """Return the one pool."""
        (pool,) = self.backend._pools.values()
        return pool

    async def settle(self) -> None:
        """Wait until connections that were given up are closed."""
        while closing := self.extension.registry._closing:
            await asyncio.wait(closing)

    @property
    def process_ids(self) -> list[int]:
        """Return the processes that are logged in."""
        return [process.pid for process in self.pool.crew.ready]

    def let_time_pass(self) -> None:
        """End the breaker's delay, at once."""
        crew = self.pool.crew
        crew._breaker = replace(crew._breaker, until=0.0)

    def replace_library(self, **changes: Any) -> None:
        """Change the library in the configuration; takes effect at `extension.reload()`."""
        self.host.libraries = [replace(self.host.libraries[0], **changes)]

    async def call(self, operation: Operation, path: str, /, **raw: Any) -> Reply:
        """Call a route below `sys/`, as the host would."""
        endpoint, captures = self._route(operation, path)
        fields = raw | captures
        request = Request("id", operation, path, "sys/", fields, self.host.clock.now())
        answer = await endpoint.handler(request, endpoint.params.parse(fields))
        return answer if isinstance(answer, Reply) else Reply()

    def _route(self, operation: Operation, path: str) -> tuple[Endpoint[Any], dict[str, str]]:
        parts = path.split("/")
        for route in self.extension.routes():
            pattern = route.pattern.split("/")
            endpoint = route.endpoint(operation)
            fits = [want == part or want.startswith("{") for want, part in zip(pattern, parts, strict=False)]
            if endpoint is not None and len(pattern) == len(parts) and all(fits):
                pairs = zip(pattern, parts, strict=True)
                return endpoint, {want[1:-1]: part for want, part in pairs if want.startswith("{")}
        raise AssertionError(f"no route for {path}")

    async def write(self, name: str = "k", **fields: Any) -> str:
        """Write a P-256 entry that may generate its key, with these changes; return its UUID."""
        raw = {
            "library": self.token.library.name, "token_label": self.token.label, "pin": self.token.pin,
            "key_label": "label", "mechanism": "0x1041", "curve": "P256", "allow_generate_key": True,
        } | fields  # fmt: skip
        await self.call(Operation.UPDATE, f"managed-keys/pkcs11/{name}", **raw)
        return str((await self.read(name))["UUID"])

    async def read(self, name: str = "k") -> dict[str, Any]:
        """Read an entry."""
        reply = await self.call(Operation.READ, f"managed-keys/pkcs11/{name}")
        assert reply.data is not None
        return dict(reply.data)

    async def test_sign(self, name: str = "k", **fields: Any) -> dict[str, Any]:
        """Call test/sign."""
        reply = await self.call(Operation.UPDATE, f"managed-keys/pkcs11/{name}/test/sign", **fields)
        assert reply.data is not None
        return dict(reply.data)

    async def open(self, uuid: str) -> ManagedKey:
        """Open a key from the mount `pki/`."""
        return await self.extension.registry.open(self.mount, uuid)

    async def sign(self, uuid: str, message: bytes = b"m") -> bytes:
        """Open and sign, as an engine does for each request."""
        return await (await self.open(uuid)).sign(message, SCHEME)
