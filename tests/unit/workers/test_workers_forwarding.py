"""Requests that the eldest serves: what is carried there, and that the answer comes back whole."""

import asyncio
import os

from multidict import CIMultiDict

from chancery.exchange import Message
from chancery.kit.errors import BadInput, RateLimited
from chancery.kit.request import Operation, RawReply, Reply
from chancery.pipeline import Served
from chancery.workers.board import Board
from chancery.workers.forwarding import Forwarding, Serve, decoded, encoded
from chancery.workers.link import Topic, pair
from chancery.workers.siblings import Identity, Siblings

MESSAGE = Message(
    request_id="r-1",
    operation=Operation.UPDATE,
    path="sys/unseal",
    fields={"key": "abc", "deep": {"list": [1, None, True]}},
    token="s.secret",
    namespace="team/",
    remote_address="10.0.0.1",
    headers=CIMultiDict([("X-Vault-Wrap-TTL", "60"), ("x-two", "a"), ("X-Two", "b")]),
)


def test_messages_travel_whole() -> None:
    arrived = decoded(encoded(MESSAGE))
    assert arrived._replace(headers={}) == MESSAGE._replace(headers={})
    assert arrived.headers["x-vault-wrap-ttl"] == "60"
    assert [*arrived.headers.items()] == [*MESSAGE.headers.items()]


async def _two(serve_eldest: Serve, serve_younger: Serve) -> tuple[Forwarding, Forwarding]:
    """Return the forwarding of two workers that are linked."""
    board = Board(2)
    identities = [Identity(0, 1, os.getpid()), Identity(1, 2, os.getpid())]
    siblings = [Siblings(identity, board.changes(identity.index), lambda _: None) for identity in identities]
    eldest, younger = (
        Forwarding(serve, each, 5.0) for serve, each in zip((serve_eldest, serve_younger), siblings, strict=True)
    )

    async def answer(topic: Topic, body: bytes) -> bytes:
        assert topic is Topic.SERVE
        return await eldest.answer(body)

    for each in siblings:
        each.answer_with(answer)
    ends = pair()
    await asyncio.gather(siblings[0].join(identities[1], ends[0]), siblings[1].join(identities[0], ends[1]))
    return eldest, younger


async def _refuse_all(message: Message) -> Served:
    raise AssertionError(f"{message.path} was served by the wrong worker")


async def test_ceremonies_are_served_by_the_eldest_and_the_rest_where_it_arrives() -> None:
    served: list[str] = []

    async def eldest_serves(message: Message) -> Served:
        served.append(f"eldest {message.path}")
        return Served(Reply({"sealed": True}, bare=True), "system")

    async def younger_serves(message: Message) -> Served:
        served.append(f"younger {message.path}")
        return Served(None, "")

    eldest, younger = await _two(eldest_serves, younger_serves)
    answer = (await younger.serve(MESSAGE)).answer
    assert isinstance(answer, RawReply)
    assert (answer.status, answer.content_type, answer.body) == (200, "application/json", b'{"sealed":true}')
    await eldest.serve(MESSAGE)
    for path in ("sys/mounts", "pki/sign/unseal", "sys/sealed", "sys"):
        await younger.serve(MESSAGE._replace(path=path))
    assert served[:2] == ["eldest sys/unseal"] * 2
    assert served[2:] == ["younger sys/mounts", "younger pki/sign/unseal", "younger sys/sealed", "younger sys"]
    eldest._siblings.close()


async def test_errors_and_headers_come_back_as_the_eldest_says_them() -> None:
    errors: list[Exception] = [BadInput("invalid key"), RateLimited("slow down", retry_after=7)]

    async def fail(_message: Message) -> Served:
        raise errors.pop(0)

    eldest, younger = await _two(fail, _refuse_all)
    bad, limited = [(await younger.serve(MESSAGE)).answer for _ in range(2)]
    assert isinstance(bad, RawReply)
    assert isinstance(limited, RawReply)
    assert (bad.status, bad.body) == (400, b'{"errors":["invalid key"]}')
    assert (limited.status, limited.headers["Retry-After"]) == (429, "7")
    eldest._siblings.close()
