"""Links between workers: questions, answers, failures, and who may hold the other end."""

import asyncio
import os
import socket

import pytest

from chancery.kit.errors import ChanceryError, Unavailable
from chancery.workers.link import Answering, Link, SiblingGone, Topic, pair


async def _nothing(_topic: Topic, _body: bytes) -> bytes:
    return b""


async def _linked(answering: Answering, gone: list[str] | None = None) -> tuple[Link, Link]:
    ours, theirs = pair()
    told = gone if gone is not None else []
    return await asyncio.gather(
        Link.over(ours, os.getpid(), _nothing, lambda: told.append("ours")),
        Link.over(theirs, os.getpid(), answering, lambda: told.append("theirs")),
    )


async def test_answers_find_their_questions_in_any_order_and_any_size() -> None:
    large = asyncio.Event()

    async def answering(topic: Topic, body: bytes) -> bytes:
        if len(body) < 10:
            await large.wait()
        else:
            large.set()
        return topic.to_bytes(1, "big") + body

    ours, theirs = await _linked(answering)
    big = os.urandom(3_000_000)
    small, whole = await asyncio.gather(ours.ask(Topic.SERVE, b"small", 5), ours.ask(Topic.UNSEAL, big, 5))
    assert small == b"\x05small"
    assert whole == b"\x03" + big
    ours.close()
    theirs.close()


async def test_failures_carry_their_words() -> None:
    async def refuse(_topic: Topic, _body: bytes) -> bytes:
        raise ChanceryError("not today")

    ours, theirs = await _linked(refuse)
    with pytest.raises(Unavailable, match="not today"):
        await ours.ask(Topic.SEAL, b"", 5)
    ours.close()
    theirs.close()


async def test_a_sibling_that_ends_fails_what_it_was_asked() -> None:
    async def hang(_topic: Topic, _body: bytes) -> bytes:
        theirs.close()
        await asyncio.Event().wait()
        return b""

    gone: list[str] = []
    ours, theirs = await _linked(hang, gone)
    with pytest.raises(SiblingGone):
        await ours.ask(Topic.SEAL, b"", 5)
    with pytest.raises(SiblingGone):
        await ours.ask(Topic.SEAL, b"", 5)
    assert sorted(gone) == ["ours", "theirs"]
    for task in theirs._working:
        task.cancel()


async def test_silence_is_a_timeout() -> None:
    async def hang(_topic: Topic, _body: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    ours, theirs = await _linked(hang)
    with pytest.raises(TimeoutError):
        await ours.ask(Topic.SEAL, b"", 0.01)
    for task in theirs._working:
        task.cancel()
    ours.close()
    theirs.close()


async def test_another_process_at_the_other_end_is_refused() -> None:
    ours, theirs = pair()
    theirs.send(b"\x01")
    with pytest.raises(SiblingGone, match="another process"):
        await Link.over(ours, os.getpid() + 1, _nothing, lambda: None)
    theirs.close()


async def test_an_end_that_nobody_holds_is_gone() -> None:
    ours, theirs = pair()
    theirs.close()
    with pytest.raises(SiblingGone):
        await Link.over(ours, os.getpid(), _nothing, lambda: None)
    assert isinstance(ours, socket.socket)
