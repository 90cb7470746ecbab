"""A host with everything mounted that is installed, credentials that must not work, and a look at what is stored."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from chancery.plugins import Catalog
from tests.support.host_world import HostWorld, host_world
from tests.support.security_operations import ApiOperation, operations

EVERYTHING = 'path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }'
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


_ENDED = """
    CREATE TEMP TABLE ended AS WITH RECURSIVE ended(hash) AS (
        SELECT hash FROM tokens WHERE expires_at <= {now} OR uses_left < 0
        UNION SELECT tokens.hash FROM tokens JOIN ended ON tokens.parent_hash = ended.hash
    ) SELECT hash FROM ended
"""
"""Tokens that have ended without being revoked, which are removed whenever it pleases the scheduler."""


class MovableClock:
    """The present as a test says it is."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return the moment in seconds."""
        return self.moment.timestamp()

    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


@dataclass(slots=True)
class SecurityWorld:
    """An unsealed server with two sibling namespaces, `team` and `other`, and the same mounts in all three."""

    running: HostWorld
    clock: MovableClock
    database: Path
    operations: list[ApiOperation]

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Send one request as root unless told otherwise."""
        return await self.running.call(method, path, body, **options)

    async def send(self, operation: ApiOperation, token: str, *, namespace: str = "") -> tuple[int, Any]:
        """Send an operation with an empty body."""
        headers = {"X-Vault-Namespace": namespace} | (MERGE_PATCH if operation.method == "PATCH" else {})
        body: Any = {} if operation.method in {"POST", "PATCH"} else None
        return await self.running.call(operation.method, operation.path, body, token=token, headers=headers)

    async def made(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request that has to succeed and return its answer."""
        status, answer = await self.running.call(method, path, body, **options)
        assert status in {200, 204}, (method, path, answer)
        return answer

    async def token(self, *policies: str, namespace: str = "", parent: str | None = None, **wishes: Any) -> str:
        """Create a token. Without policies of its own it may do everything that its namespace's policy `all` says."""
        options: dict[str, Any] = {"headers": {"X-Vault-Namespace": namespace}}
        if parent is not None:
            options["token"] = parent
        body = {"policies": list(policies) or ["all"], "no_default_policy": True} | wishes
        answer = await self.made("POST", "auth/token/create", body, **options)
        return str(answer["auth"]["client_token"])

    def stored(self) -> dict[str, list[str]]:
        """Return a digest of every row by table, without what the scheduler does by itself when time passes."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            connection.execute(_ENDED.format(now=int(self.clock.moment.timestamp())))
            lasting = {"tokens": "WHERE hash NOT IN (SELECT hash FROM ended)"}
            return {
                table: sorted(
                    sha256(repr(row).encode()).hexdigest()[:16]
                    for row in connection.execute(f"SELECT * FROM {table} {lasting.get(table, '')}")
                )
                for table in tables
                if table != "turns"
            }


@asynccontextmanager
async def security_world(directory: Path, **changes: Any) -> AsyncIterator[SecurityWorld]:
    """Run the host, mount every installed engine and auth method, and read its description of itself."""
    clock = MovableClock()
    async with host_world(directory, clock=clock, **changes) as running:
        world = SecurityWorld(running, clock, directory / "chancery.db", [])
        for namespace in ("team", "other"):
            await world.made("POST", f"sys/namespaces/{namespace}", {})
        for namespace in ("", "team", "other"):
            headers = {"X-Vault-Namespace": namespace}
            await world.made("POST", "sys/policies/acl/all", {"policy": EVERYTHING}, headers=headers)
            for path, kind in _MOUNTS.items():
                await world.made("POST", path, {"type": kind}, headers=headers)
        document = await world.made("GET", "sys/internal/specs/openapi")
        world.operations = list(operations(document))
        yield world


def _mounts(catalog: Catalog) -> Mapping[str, str]:
    methods: Mapping[str, Any] = getattr(catalog, "auth_methods", {})
    return {f"sys/mounts/{name}": name for name in catalog.engines} | {f"sys/auth/{name}": name for name in methods}


_MOUNTS = _mounts(Catalog.installed())
"""What is enabled in every namespace: path -> type."""


Credential = Callable[[SecurityWorld], Awaitable[str]]
"""Makes a token that must not work."""


async def no_token(_world: SecurityWorld) -> str:
    """Nothing at all."""
    return ""


async def unknown_token(_world: SecurityWorld) -> str:
    """The right shape, but nobody ever made it."""
    return "hvs." + "A" * 32


async def accessor_as_token(world: SecurityWorld) -> str:
    """The accessor of a powerful token."""
    token = await world.token()
    return str((await world.made("GET", "auth/token/lookup-self", token=token))["data"]["accessor"])


async def altered_token(world: SecurityWorld) -> str:
    """A powerful token with its last character changed."""
    token = await world.token()
    return token[:-1] + ("a" if token[-1] != "a" else "b")


async def altered_batch_token(world: SecurityWorld) -> str:
    """A powerful batch token with one character changed in its middle."""
    token = await world.token(type="batch")
    middle = len(token) // 2
    return token[:middle] + ("a" if token[middle] != "a" else "b") + token[middle + 1 :]


async def expired_token(world: SecurityWorld) -> str:
    """A powerful token, one second too late."""
    token = await world.token(ttl="60s")
    world.clock.advance(61)
    return token


async def expired_batch_token(world: SecurityWorld) -> str:
    """A powerful batch token, one second too late."""
    token = await world.token(ttl="60s", type="batch")
    world.clock.advance(61)
    return token


async def revoked_token(world: SecurityWorld) -> str:
    """A powerful token that was revoked after it had been used."""
    token = await world.token()
    await world.made("GET", "auth/token/lookup-self", token=token)
    await world.made("POST", "auth/token/revoke", {"token": token})
    return token


async def used_up_token(world: SecurityWorld) -> str:
    """A powerful token for two requests, after two requests."""
    token = await world.token(num_uses=2)
    for _ in range(2):
        await world.made("GET", "auth/token/lookup-self", token=token)
    return token


async def child_of_revoked_token(world: SecurityWorld) -> str:
    """A powerful grandchild of a revoked token."""
    parent = await world.token()
    child = await world.token(parent=await world.token(parent=parent))
    await world.made("GET", "auth/token/lookup-self", token=child)
    await world.made("POST", "auth/token/revoke", {"token": parent})
    return child


async def batch_child_of_revoked_token(world: SecurityWorld) -> str:
    """A powerful batch token whose parent was revoked."""
    parent = await world.token()
    child = await world.token(parent=parent, type="batch")
    await world.made("GET", "auth/token/lookup-self", token=child)
    await world.made("POST", "auth/token/revoke", {"token": parent})
    return child


async def child_of_expired_token(world: SecurityWorld) -> str:
    """A powerful child that would live longer than its parent did."""
    parent = await world.token(ttl="60s")
    child = await world.token(parent=parent, ttl="3600s")
    await world.made("GET", "auth/token/lookup-self", token=child)
    world.clock.advance(61)
    return child


async def token_of_elsewhere(world: SecurityWorld) -> str:
    """A powerful token bound to a network that the client is not in."""
    role = {"allowed_policies": "all", "token_bound_cidrs": "192.0.2.0/24"}
    await world.made("POST", "auth/token/roles/elsewhere", role)
    body = {"policies": ["all"], "no_default_policy": True}
    return str((await world.made("POST", "auth/token/create/elsewhere", body))["auth"]["client_token"])


async def token_of_deleted_namespace(world: SecurityWorld) -> str:
    """A powerful token of a namespace that is gone."""
    await world.made("POST", "sys/namespaces/gone", {})
    headers = {"X-Vault-Namespace": "gone"}
    await world.made("POST", "sys/policies/acl/all", {"policy": EVERYTHING}, headers=headers)
    token = await world.token(namespace="gone")
    await world.made("GET", "sys/mounts", token=token, headers=headers)
    await world.made("DELETE", "sys/namespaces/gone")
    return token


async def token_without_policies(world: SecurityWorld) -> str:
    """A valid token of a policy that does not exist."""
    return await world.token("missing")


async def token_of_other_namespace(world: SecurityWorld) -> str:
    """A valid and, at home, powerful token."""
    return await world.token(namespace="other")


NOBODY: Mapping[str, Credential] = {
    each.__name__: each
    for each in (
        no_token,
        unknown_token,
        accessor_as_token,
        altered_token,
        altered_batch_token,
        expired_token,
        expired_batch_token,
        revoked_token,
        used_up_token,
        child_of_revoked_token,
        batch_child_of_revoked_token,
        child_of_expired_token,
        token_of_elsewhere,
        token_of_deleted_namespace,
        token_without_policies,
        token_of_other_namespace,
    )
}
"""Credentials with which nobody may do anything, by name."""
