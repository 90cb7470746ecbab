"""Unsealing without people: asks the keeper until it answers, patiently, and says meanwhile why nothing happens."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from chancery.kit.errors import ChanceryError
from chancery.seal.service import SealService

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0

_log = logging.getLogger(__name__)


class AutoUnseal:
    """One for the process. Runs from `start` until the server is unsealed, by whichever way, or `stop`.

    `unseal` has the keeper open the seal, and the server go on from there. `may_try` is false while another process
    does it for this one.
    """

    def __init__(
        self, seal: SealService, unseal: Callable[[], Awaitable[object]], may_try: Callable[[], bool] = lambda: True
    ) -> None:
        self._seal = seal
        self._unseal = unseal
        self._may_try = may_try
        self._hurry = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask, if the installation has a keeper, and unless that is under way."""
        if self._seal.opens_by_itself and (self._running is None or self._running.done()):
            self._running = asyncio.get_running_loop().create_task(self._run())

    def hurry(self) -> None:
        """Ask now: the settings were read anew."""
        self._hurry.set()

    async def stop(self) -> None:
        """Ask no more."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _run(self) -> None:
        delay, said = FIRST_DELAY, ""
        while self._seal.barrier.is_sealed:
            if self._may_try():
                problem = await self._try()
                self._seal.tell(problem)
                if not problem:
                    return
                if problem != said:
                    _log.warning("the seal does not open, trying again until it does: %s", problem)
                said = problem
            self._hurry.clear()
            try:
                async with asyncio.timeout(delay):
                    await self._hurry.wait()
                delay = FIRST_DELAY
            except TimeoutError:
                delay = min(2 * delay, LONGEST_DELAY)

    async def _try(self) -> str:
        """Return why it did not work; nothing when it did."""
        try:
            await self._unseal()
        except ChanceryError as error:
            return error.message or type(error).__name__
        except Exception:  # noqa: BLE001  # a server that stops trying would stay sealed until somebody looks
            _log.exception("unexpected error while unsealing")
            return "unexpected error; the server's log tells"
        return ""
