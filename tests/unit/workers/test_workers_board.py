"""The board: what one worker announces, every other follows before it serves."""

import asyncio
import os

import pytest

from chancery.workers.board import Board


async def test_a_change_is_pending_for_the_others_until_they_followed() -> None:
    board = Board(3)
    first, second, third = (board.changes(index) for index in range(3))
    first.announce()
    assert not first.are_pending
    assert second.are_pending
    assert third.are_pending
    looks: list[int] = []

    async def look() -> None:
        looks.append(1)

    await second.follow(look)
    assert not second.are_pending
    assert third.are_pending
    await second.follow(look)
    assert len(looks) == 1


async def test_what_is_announced_during_a_look_is_looked_for_again() -> None:
    board = Board(2)
    first, second = board.changes(0), board.changes(1)
    looks: list[int] = []

    async def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            first.announce()

    first.announce()
    await second.follow(look)
    assert len(looks) == 2
    assert not second.are_pending


async def test_concurrent_requests_share_a_look_and_none_is_served_before_it_ended() -> None:
    board = Board(2)
    first, second = board.changes(0), board.changes(1)
    begun, release, looks = asyncio.Event(), asyncio.Event(), 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        begun.set()
        await release.wait()

    first.announce()
    waiting = [asyncio.ensure_future(second.follow(look)) for _ in range(5)]
    await begun.wait()
    assert not any(task.done() for task in waiting)
    release.set()
    await asyncio.gather(*waiting)
    assert looks == 1


async def test_a_look_that_fails_leaves_the_change_pending() -> None:
    board = Board(2)
    first, second = board.changes(0), board.changes(1)

    async def fail() -> None:
        raise OSError("away")

    first.announce()
    with pytest.raises(OSError, match="away"):
        await second.follow(fail)
    assert second.are_pending


def test_announcements_cross_processes_and_none_is_lost() -> None:
    board = Board(2)
    ours = board.changes(0)
    child = os.fork()
    if child == 0:
        theirs = board.changes(1)
        for _ in range(1000):
            theirs.announce()
        os._exit(0)
    for _ in range(1000):
        ours.announce()
    assert os.waitpid(child, 0)[1] == 0
    assert ours.are_pending
    assert board.changes(0)._seen == (1000).to_bytes(8, "little") * 2
