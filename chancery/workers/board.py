"""Counters in memory that all workers of a node inherit: how each knows, without asking, that others made changes.

A worker counts up its own number after a change is durable and before its answer leaves; every worker compares all
numbers before it serves a request. So a change that was answered is in force everywhere on the node, for the price of
comparing a few bytes, and a worker that hangs delays nobody. Numbers have one writer each: none can be lost.
"""

import asyncio
import mmap
import struct
from collections.abc import Awaitable, Callable

_NUMBER = struct.Struct("Q")


class Board:
    """The page, made before the first fork."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._page = mmap.mmap(-1, max(workers * _NUMBER.size, mmap.PAGESIZE))

    def changes(self, index: int) -> "Changes":
        """Return the board as worker `index` uses it."""
        return Changes(self._page, self.workers, index)


class Changes:
    """What this worker told and what it has heard. Used on the event loop only."""

    def __init__(self, page: mmap.mmap, workers: int, index: int) -> None:
        self._page = page
        self._size = workers * _NUMBER.size
        self._own = index * _NUMBER.size
        self._seen = page[: self._size]
        self._following: asyncio.Task[None] | None = None

    @property
    def are_pending(self) -> bool:
        """Tell whether another worker changed something that this one has not followed."""
        return self._page[: self._size] != self._seen

    def announce(self) -> None:
        """Tell the others that something changed. Called after the commit and before the answer."""
        number = _NUMBER.pack((_NUMBER.unpack_from(self._page, self._own)[0] + 1) & 0xFFFFFFFFFFFFFFFF)
        end = self._own + _NUMBER.size
        self._page[self._own : end] = number
        self._seen = self._seen[: self._own] + number + self._seen[end:]

    async def follow(self, catch_up: Callable[[], Awaitable[None]]) -> None:
        """Run `catch_up` until nothing is pending; concurrent callers share it. Raises what it raises."""
        if self._following is None:
            self._following = asyncio.ensure_future(self._follow(catch_up))
            self._following.add_done_callback(self._followed)
        await asyncio.shield(self._following)

    async def _follow(self, catch_up: Callable[[], Awaitable[None]]) -> None:
        while (now := self._page[: self._size]) != self._seen:
            await catch_up()
            self._seen = now

    def _followed(self, task: "asyncio.Task[None]") -> None:
        self._following = None
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have
