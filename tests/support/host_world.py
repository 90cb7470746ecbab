"""A whole host in the test's own process, behind a real socket, with SQLite in a directory."""

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from chancery.host import Host
from chancery.http.server import HttpServer
from chancery.kit.clock import Clock, SystemClock
from chancery.plugins import Catalog
from chancery.settings import Listener, Settings, parse
from chancery.storage.schema import HOST
from tests.support.auth_world import prepare_database

ROOT_TOKEN = "root-for-tests"

_CATALOG = Catalog.installed()


@dataclass(slots=True)
class HostWorld:
    """An unsealed server and a client that has not chosen a token."""

    host: Host
    address: str
    client: aiohttp.ClientSession
    unseal_key: bytes

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str = ROOT_TOKEN, **options: Any
    ) -> tuple[int, Any]:
        """Send one request below `/v1/`; return status and decoded body."""
        headers = {"X-Vault-Token": token} | options.pop("headers", {})
        async with self.client.request(
            method, f"{self.address}/v1/{path}", json=body, headers=headers, **options
        ) as answer:
            text = await answer.read()
            return answer.status, await answer.json() if text else None


def settings_for(directory: Path, **changes: Any) -> Settings:
    """Return settings for a server that keeps everything in a directory."""
    document = {
        "listeners": [{"address": "127.0.0.1:0", "tls_disable": True}],
        "storage": {"url": f"sqlite:///{directory / 'chancery.db'}"},
    }
    return parse(document | changes, "test")


@asynccontextmanager
async def host_world(
    directory: Path, *, clock: Clock | None = None, joins: "HostWorld | None" = None, **changes: Any
) -> AsyncIterator[HostWorld]:
    """Run an initialized, unsealed host with the root token `ROOT_TOKEN`.

    `joins`: a host that has initialized the same storage already; this one becomes a second node beside it.
    """
    settings = await asyncio.to_thread(settings_for, directory, **changes)
    await _lay_out(directory, settings)
    host = await asyncio.to_thread(Host, settings, _CATALOG, clock or SystemClock())
    http = HttpServer(host.serve, settings.limits, host.telemetry.visits)
    await host.open()
    try:
        if joins is None:
            (unseal_key,), _ = await host.initialize(1, 1, root_token=ROOT_TOKEN)
        else:
            unseal_key = joins.unseal_key
        await host.unseal(unseal_key)
        port = await http.listen(Listener(address="127.0.0.1:0", tls_disable=True))
        async with aiohttp.ClientSession() as client:
            yield HostWorld(host, f"http://127.0.0.1:{port}", client, unseal_key)
    finally:
        await http.close()
        await host.close()


_templates: list[Path] = []


async def _lay_out(directory: Path, settings: Settings) -> None:
    """Begin a SQLite database of the directory's with tables made once a process: migrating takes a while."""
    target = directory / "chancery.db"
    if settings.storage.url != f"sqlite:///{target}" or target.exists():
        return
    if not _templates:
        made = Path(tempfile.mkdtemp(prefix="chancery-template-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        await prepare_database(made / "empty.db", [HOST, *_CATALOG.schemas()])
        _templates.append(made / "empty.db")
    await asyncio.to_thread(shutil.copy, _templates[0], target)
