"""One worker: the whole server, on the sockets that it inherited, in step with its siblings."""

import asyncio
import logging
import socket
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from chancery.host import Host
from chancery.kit.attempts import Attempts
from chancery.kit.clock import SystemClock
from chancery.kit.errors import ChanceryError
from chancery.plugins import Catalog
from chancery.server import Hooks, Reread, ServerProcess
from chancery.settings import Settings, SettingsError
from chancery.telemetry.cells import Cells
from chancery.telemetry.service import Telemetry
from chancery.workers.board import Board
from chancery.workers.control import Control, Notice
from chancery.workers.forwarding import Forwarding
from chancery.workers.link import Topic
from chancery.workers.siblings import Identity, Siblings
from chancery.workers.sockets import Sockets, close

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What all workers have in common; made before the first fork."""

    settings: Settings
    reread: Reread | None
    hooks: Hooks
    catalog: Catalog
    board: Board
    attempts: Attempts
    cells: Cells
    sockets: Sequence[Sockets]
    """By the index of the worker."""


@dataclass(frozen=True, slots=True)
class Berth:
    """What one worker is given when it starts."""

    own: Identity
    control: socket.socket
    peers: Sequence[tuple[Identity, socket.socket]]
    """The siblings that live already, with this worker's ends of the links to them."""


def work(plan: Plan, berth: Berth) -> int:
    """Serve until told to stop. Returns the exit code of the process."""
    try:
        uvloop.run(Worker(plan, berth).run())
    except (SettingsError, ChanceryError) as error:
        print(f"chancery: {error}", file=sys.stderr)  # noqa: T201 - the operator at the terminal must see it
        return 1
    return 0


class Worker:
    """The worker within its event loop."""

    def __init__(self, plan: Plan, berth: Berth) -> None:
        self._plan, self._berth = plan, berth
        self._tasks: set[asyncio.Task[None]] = set()
        self._urls: Sequence[str] = ()

    async def run(self) -> None:
        """Join the siblings, then serve."""
        plan, berth = self._plan, self._berth
        self._control = Control(berth.control, self._noticed, self._abandoned)
        self._siblings = Siblings(berth.own, plan.board.changes(berth.own.index), self._hung)
        self._siblings.answer_with(self._answer)
        self._telemetry = Telemetry(plan.cells, self._siblings)
        self._host = Host(
            plan.settings,
            plan.catalog,
            SystemClock(),
            siblings=self._siblings,
            attempts=plan.attempts,
            telemetry=self._telemetry,
        )
        self._forwarding = Forwarding(self._host.serve, self._siblings, plan.settings.limits.max_request_duration)
        self._process = ServerProcess(
            plan.settings,
            self._host,
            plan.reread,
            serve=self._forwarding.serve,
            sockets=plan.sockets[berth.own.index],
        )
        try:
            await self._process.run(Hooks(self._ready, self._prepare, self._stopping))
        finally:
            self._siblings.close()
            self._control.close()

    async def _prepare(self, host: Host) -> None:
        """Take over the present state from the siblings; the eldest has nobody to ask and prepares the host itself."""
        for identity, end in self._berth.peers:
            await self._siblings.join(identity, end)
        root_key = await self._siblings.root_key()
        if root_key:
            await host.adopt(root_key)
        elif self._siblings.is_eldest and self._plan.hooks.prepare is not None:
            await self._plan.hooks.prepare(host)

    def _stopping(self) -> None:
        close(self._plan.sockets)

    def _ready(self, _host: Host, urls: Sequence[str]) -> None:
        self._urls = urls
        self._control.send(Notice("ready"))

    def _noticed(self, notice: Notice, passed: socket.socket | None) -> None:
        match notice.event:
            case "joined" if passed is not None:
                identity = Identity(notice.index, notice.generation, notice.pid)
                self._in_background(self._siblings.join(identity, passed))
            case "announce":
                self._plan.hooks.announce(self._host, self._urls)
            case "left":
                self._in_background(self._stand_in(notice.index))
            case "ready":
                for bound in self._plan.sockets[notice.index].values():
                    self._process.http.release(bound)

    async def _stand_in(self, index: int) -> None:
        """Accept on the sockets of a worker that ended, until its replacement does."""
        if self._siblings.is_eldest and index != self._berth.own.index:
            for listener in self._plan.settings.listeners:
                await self._process.http.listen(listener, self._plan.sockets[index][listener.address])

    async def _answer(self, topic: Topic, body: bytes) -> bytes:
        host = self._host
        match topic:
            case Topic.ROOT_KEY:
                return host.root_key()
            case Topic.INITIALIZED:
                await host.learn_initialized()
            case Topic.UNSEAL:
                await host.adopt(body)
            case Topic.SEAL:
                await host.seal_here()
            case Topic.SERVE:
                return await self._forwarding.answer(body)
            case Topic.IN_FLIGHT | Topic.SAMPLE:
                return self._telemetry.answer(topic)
        return b""

    def _hung(self, other: Identity) -> None:
        self._control.send(Notice("hung", other.index, other.generation))

    def _abandoned(self) -> None:
        """Stop: without its supervisor a worker would be a server that nobody can stop or replace."""
        self._process.stop()

    def _in_background(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
