"""Requests whose state lives in one process, served by the eldest worker wherever they arrive.

Shares that are entered one by one, and the other ceremonies with a nonce, have their progress in memory. Whatever
begins with these paths is carried to the eldest as it came and answered as the eldest says.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from multidict import CIMultiDict

from chancery.exchange import Message
from chancery.http.envelope import render
from chancery.http.errors import failure
from chancery.kit.errors import Unavailable
from chancery.kit.request import Operation, RawReply
from chancery.pipeline import Served
from chancery.telemetry.visits import CURRENT
from chancery.workers.link import SiblingGone, Topic
from chancery.workers.siblings import Siblings

CEREMONIES = frozenset(
    {
        "init",
        "unseal",
        "seal",
        "seal-status",
        "rekey",
        "rekey-recovery-key",
        "rotate",
        "generate-root",
        "generate-root-token",
        "generate-recovery-token",
    }
)
"""First segments below `sys/`."""

_SYSTEM = "sys/"
_TEXTS = ("request_id", "path", "token", "namespace", "remote_address")

Serve = Callable[[Message], Awaitable[Served]]


class Forwarding:
    """Serves what this worker may serve, and has the rest served."""

    def __init__(self, serve: Serve, siblings: Siblings, deadline: float) -> None:
        self._serve = serve
        self._siblings = siblings
        self._deadline = deadline

    async def serve(self, message: Message) -> Served:
        """Serve a request here or by the eldest."""
        path = message.path
        if not path.startswith(_SYSTEM) or path.split("/", 2)[1] not in CEREMONIES or self._siblings.is_eldest:
            return await self._serve(message)
        visit = CURRENT.get()
        if visit is not None:
            visit.mount_type, visit.route = "system", path.split("/", 2)[1]
        try:
            answer = await self._siblings.ask_eldest(Topic.SERVE, encoded(message), self._deadline)
        except (SiblingGone, TimeoutError):
            raise Unavailable(
                "the worker that leads in this ended or did not answer; try again", retry_after=1
            ) from None
        return Served(reply_of(answer), "system")

    async def answer(self, body: bytes) -> bytes:
        """Serve a request that another worker received."""
        message = decoded(body)
        headers: dict[str, str] = {}
        try:
            served = await self._serve(message)
            status, content, content_type = render(served.answer, message.request_id, served.mount_type)
            if isinstance(served.answer, RawReply):
                headers.update(served.answer.headers)
        except Exception as error:  # noqa: BLE001 - as at the edge: whatever happens, the client gets an answer
            failed = failure(error, message.request_id)
            status, content, content_type = failed.status, failed.body, "application/json"
            headers.update(failed.headers)
        return orjson.dumps([status, content_type, headers]) + b"\n" + content


def encoded(message: Message) -> bytes:
    """Write a message for another worker of the same release. No ceremony asks for the client's certificate."""
    document: dict[str, Any] = {name: getattr(message, name) for name in _TEXTS}
    document |= {
        "operation": message.operation.value,
        "fields": dict(message.fields),
        "headers": list(message.headers.items()),
        "client_chain": [each.hex() for each in message.client_chain],
    }
    return orjson.dumps(document)


def decoded(body: bytes) -> Message:
    """Read what `encoded` wrote."""
    document = orjson.loads(body)
    return Message(
        **{name: document[name] for name in _TEXTS},
        operation=Operation(document["operation"]),
        fields=document["fields"],
        headers=CIMultiDict(document["headers"]),
        client_chain=tuple(map(bytes.fromhex, document["client_chain"])),
    )


def reply_of(answer: bytes) -> RawReply:
    """Read what `Forwarding.answer` wrote."""
    head, _, content = answer.partition(b"\n")
    status, content_type, headers = orjson.loads(head)
    return RawReply(content, content_type, status, headers)
