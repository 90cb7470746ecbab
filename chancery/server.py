"""The server process: settings in, sockets out; SIGHUP reloads, SIGTERM and SIGINT drain."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import uvloop

from chancery import logs
from chancery.host import Host
from chancery.http.server import HttpServer, Serve
from chancery.kit.clock import SystemClock
from chancery.kit.errors import ChanceryError
from chancery.plugins import Catalog
from chancery.settings import Listener, Settings, SettingsError, load

_log = logging.getLogger(__name__)

Reread = Callable[[], Settings]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a kind of server does besides serving."""

    announce: Callable[[Host, Sequence[str]], None]
    """Called with the URLs as soon as the sockets listen, before the first request is read."""
    prepare: Callable[[Host], Awaitable[None]] | None = None
    """Called with the open host before the sockets listen."""
    stopping: Callable[[], None] | None = None
    """Called when the server was told to stop, before it waits for running requests."""


class ServerProcess:
    """One running server: a host behind its listeners."""

    def __init__(
        self,
        settings: Settings,
        host: Host,
        reread: Reread | None = None,
        *,
        serve: Serve | None = None,
        sockets: Mapping[str, socket] | None = None,
    ) -> None:
        """`serve` stands before the host, and `sockets` are bound already, when this process is one of several."""
        self._settings = settings
        self._reread = reread
        self._sockets = sockets or {}
        self.host = host
        self.http = HttpServer(serve or self.host.serve, settings.limits, host.telemetry.visits)
        self._stop = asyncio.Event()

    async def run(self, hooks: Hooks) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        self._handle_signals()
        try:
            await self.host.open()
            if hooks.prepare is not None:
                await hooks.prepare(self.host)
            self.host.unseal_when_possible()
            urls = [_url(listener, await self._listen(listener)) for listener in self._settings.listeners]
            hooks.announce(self.host, urls)
            _settle_memory()
            await self._stop.wait()
        finally:
            _log.info("stopping")
            if hooks.stopping is not None:
                hooks.stopping()
            await self.http.close()
            await self.host.close()

    def stop(self) -> None:
        """Have `run` end."""
        self._stop.set()

    async def reload(self) -> None:
        """Follow the configuration file: kms_libraries, TLS files, log level. Bad settings change nothing."""
        if self._reread is None:
            return
        try:
            settings = self._reread()
            self.http.reload_tls(settings.listeners)
        except SettingsError as error:
            _log.error("configuration not reloaded:\n%s", error)
            return
        logs.configure(settings.log.level, settings.log.format)
        await self.host.reload(settings)
        _log.info("configuration reloaded")

    async def _listen(self, listener: Listener) -> int:
        return await self.http.listen(listener, self._sockets.get(listener.address))

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        reloads: set[asyncio.Task[None]] = set()

        def begin_reload() -> None:
            task = loop.create_task(self.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, begin_reload)


def run_config(path: Path) -> int:
    """Run a server from its configuration file until it is told to stop. Returns the exit code."""
    try:
        settings = load(path)
    except SettingsError as error:
        print(f"chancery: the configuration cannot be used:\n{error}", file=sys.stderr)  # noqa: T201 - before logging
        return 1
    logs.configure(settings.log.level, settings.log.format)
    return run_until_stopped(settings, lambda: load(path), Hooks(_announce))


def _announce(host: Host, urls: Sequence[str]) -> None:
    status = host.status()
    state = "sealed" if status.initialized else "not initialized: run `chancery operator init`"
    _log.info("listening on %s; %s", ", ".join(urls), state)


def run_until_stopped(settings: Settings, reread: Reread | None, hooks: Hooks) -> int:
    """Run a server until it is told to stop. Returns 0 after a clean stop, 1 when it could not start."""
    if settings.workers > 1:
        from chancery.workers.start import run_workers

        return run_workers(settings, reread, hooks)

    async def main() -> None:
        await ServerProcess(settings, Host(settings, catalog, SystemClock()), reread).run(hooks)

    catalog = Catalog.installed()

    try:
        uvloop.run(main())
    except (SettingsError, ChanceryError) as error:
        print(f"chancery: {error}", file=sys.stderr)  # noqa: T201 - the operator at the terminal must see it
        return 1
    return 0


def _settle_memory() -> None:
    """Take what start-up made out of the garbage collector's sight: looking through it took 6 % of the CPU.

    Requests make few cycles, so young objects may also gather longer than Python's default of 700.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _url(listener: Listener, port: int) -> str:
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{'http' if listener.tls_disable else 'https'}://{host}:{port}"
