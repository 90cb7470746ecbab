"""The life of one server process: closed, sealed, serving, and every way between them.

closed -> (open) -> sealed -> (unseal) -> serving -> (seal) -> sealed -> (close) -> closed. What it stands on is
`foundation`, what serves requests is `structure`.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from chancery.exchange import Message
from chancery.foundation import Foundation
from chancery.kit.attempts import Attempts
from chancery.kit.clock import Clock
from chancery.kit.errors import NotInitialized, Sealed
from chancery.kit.sealing import Barrier
from chancery.pipeline import Served
from chancery.plugins import Catalog
from chancery.seal.auto_unseal import AutoUnseal
from chancery.seal.service import SealStatus
from chancery.settings import Settings
from chancery.structure import Structure
from chancery.telemetry.service import Telemetry
from chancery.workers.siblings import Siblings

_log = logging.getLogger(__name__)


class Host:
    """One server process without its sockets."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        clock: Clock,
        *,
        siblings: Siblings | None = None,
        attempts: Attempts | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """The keywords are given when this process is one of several workers."""
        self.base = Foundation(settings, catalog, clock, siblings=siblings, attempts=attempts, telemetry=telemetry)
        self.telemetry = self.base.telemetry
        self.coherence = self.base.coherence
        self.structure = Structure(self.base, self)
        self._bootstrap = self.structure.bootstrap()
        self._siblings = siblings
        self._seal = self.base.seal
        self._seal.on_lost = self._lose_seal
        self._auto_unseal = AutoUnseal(self._seal, self._unseal_by_keeper, self._is_eldest)
        self._losing: asyncio.Task[None] | None = None
        self._transition = asyncio.Lock()
        self._serving = False

    async def open(self) -> None:
        """Open the database, bring its schema up to date and read the seal's configuration. Ends sealed."""
        await self.base.open()

    async def close(self) -> None:
        """Seal, then close the database once everything accepted is durable."""
        await self._auto_unseal.stop()
        if self._losing is not None:
            await asyncio.wait([self._losing])
        async with self._transition:
            await self._stop_serving()
            self._seal.seal()
        await self.base.close()

    async def serve(self, message: Message) -> Served:
        """Answer one request. Raises the errors of `chancery.kit.errors`."""
        if self._serving:
            if self.coherence.is_stale:
                raise self.coherence.refusal()
            if self._siblings is not None and self._siblings.changes.are_pending:
                await self._siblings.changes.follow(self._follow_siblings)
            return await self.structure.pipeline.serve(message)
        return await self._serve_sealed(message)

    async def reload(self, settings: Settings) -> None:
        """Take over what SIGHUP may change: the PKCS#11 libraries, and audit files that were rotated."""
        await self.base.reload(settings)
        await self.structure.reload()
        self._auto_unseal.hurry()

    def status(self) -> SealStatus:
        """Return the state of the seal; sealed until everything behind it is open."""
        status = self._seal.status()
        if self._serving or status.sealed:
            return status
        return replace(status, sealed=True, cluster_name="", cluster_id="")

    async def initialize(self, shares: int, threshold: int, *, root_token: str = "") -> tuple[list[bytes], str]:
        """Create the barrier and the first root token. Returns the unseal shares and the token; ends sealed."""
        drafted: list[str] = []

        def root(barrier: Barrier) -> Callable[[Connection], None]:
            created, work = self.base.tokens.first_root(barrier, token_id=root_token)
            drafted.append(created.token)
            return work

        pieces = await self._seal.initialize(shares, threshold, root)
        if self._siblings is not None:
            await self._siblings.initialized()
        self._auto_unseal.start()
        return pieces, drafted[-1]

    async def unseal(self, share: bytes, *, migrate: bool = False) -> SealStatus:
        """Take one share; opens mounts and extensions once there are enough."""
        status = await self._seal.unseal(share, migrate=migrate)
        if not status.sealed:
            await self._serve_unsealed()
        return self.status()

    def unseal_when_possible(self) -> None:
        """Begin to ask the keeper of the root key, if there is one; `status` tells what comes of it."""
        self._auto_unseal.start()

    async def reset_unseal(self) -> SealStatus:
        """Forget the shares given so far."""
        self._seal.reset()
        return self._seal.status()

    async def seal(self) -> None:
        """Stop serving and forget every key, in every worker."""
        await self.seal_here()
        if self._siblings is not None:
            await self._siblings.sealed()

    async def seal_here(self) -> None:
        """Stop serving and forget every key, in this process alone."""
        async with self._transition:
            await self._stop_serving()
            self.base.forget()
            _log.info("sealed")

    def root_key(self) -> bytes:
        """Return the root key for a sibling; nothing while sealed."""
        return self._seal.root_key() if self._serving else b""

    async def adopt(self, root_key: bytes) -> None:
        """Unseal with the root key of a sibling. Raises Corrupted when it does not fit."""
        async with self._transition:
            if self._seal.status().sealed:
                await self._seal.adopt(root_key)
                await self._start_serving()

    async def learn_initialized(self) -> None:
        """Read how the server is sealed: a sibling initialized it."""
        await self._seal.load()

    async def ensure_root_token(self, token: str) -> str:
        """Return `token` if it is valid, else create a root token with that text (any text when empty)."""
        if token and await self.base.tokens.lookup(token, self.base.clock.now()) is not None:
            return token
        return (await self.base.tokens.create_root(token_id=token)).token

    async def _unseal_by_keeper(self) -> None:
        await self._seal.unseal_by_keeper()
        await self._serve_unsealed()

    async def _serve_unsealed(self) -> None:
        """Open everything behind a seal that is open, here and in the workers beside this one."""
        async with self._transition:
            if self._serving or self._seal.barrier.is_sealed:
                return
            await self._start_serving()
        if self._siblings is not None:
            await self._siblings.unsealed(self._seal.root_key())

    def _lose_seal(self) -> None:
        """Stop serving after the seal closed by itself; the keeper, if there is one, opens it again."""

        async def lose() -> None:
            await self.seal_here()
            self._auto_unseal.start()

        self._losing = asyncio.get_running_loop().create_task(lose())

    def _is_eldest(self) -> bool:
        return self._siblings is None or self._siblings.is_eldest

    async def _follow_siblings(self) -> None:
        await self.coherence.follow()

    async def _serve_sealed(self, message: Message) -> Served:
        prefix, _, below = message.path.partition("/")
        match = self._bootstrap.match(below) if prefix == "sys" else None
        if match is None or not match.route.unauthenticated:
            raise Sealed if self._seal.status().initialized else NotInitialized
        return await self.structure.pipeline.serve_sealed(message, match)

    async def _start_serving(self) -> None:
        try:
            await self.coherence.catch_up()
            await self.structure.start()
        except BaseException:
            await self._stop_serving()
            self.base.forget()
            raise
        self.coherence.start()
        self._serving = True
        _log.info("unsealed")

    async def _stop_serving(self) -> None:
        self._serving = False
        await self.coherence.stop()
        await self.structure.stop()
