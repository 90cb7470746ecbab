"""Response wrapping: an answer waits, sealed, behind a token that can be used once and for nothing else.

The token and its answer are made in one transaction and taken in one, so an answer is handed out at most once: of two
who unwrap at the same time one is told that the token is not valid, and so is the rightful owner of a token that
somebody else has unwrapped before.
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from chancery.auth import rows
from chancery.auth.store import TokenStore
from chancery.auth.tokens import NewToken, TokenEntry
from chancery.cubbyhole import Cubbyholes, find
from chancery.exchange import Exchange
from chancery.http.envelope import render
from chancery.kit.errors import BadInput
from chancery.kit.request import Operation, RawReply, Reply, WrapInfo
from chancery.kit.storage import Database
from chancery.policy.defaults import RESPONSE_WRAPPING

_PATH = "response"
_JSON = "application/json"
_UNUSED = 1


class NotAWrappingToken(BadInput):
    """There is no such wrapping token, or not any more."""

    def __init__(self) -> None:
        super().__init__("wrapping token is not valid or does not exist")


class WrappingService:
    """`Wrapping` of the pipeline, and what `sys/wrapping` does with wrapping tokens."""

    def __init__(self, tokens: TokenStore, cubbyholes: Cubbyholes, database: Database) -> None:
        self._tokens = tokens
        self._cubbyholes = cubbyholes
        self._database = database

    async def wrap(self, answer: Reply | RawReply, exchange: Exchange) -> WrapInfo:
        """Keep an answer, durably, and return what the client gets instead."""
        path = f"{exchange.path}/" if exchange.request.operation is Operation.LIST else exchange.path
        new = _wrapping_token(path, exchange.wrap_ttl, exchange.namespace.id)
        mount_type = exchange.mount.type if exchange.mount is not None else ""
        held = _held(*render(answer, exchange.request.id, mount_type))
        accessor = answer.auth.accessor if isinstance(answer, Reply) and answer.auth is not None else ""
        return await self._keep(new, held, accessor)

    async def find(self, token: str, namespace_id: str, now: datetime, *, spent: bool = False) -> TokenEntry:
        """Return the entry of a wrapping token of a namespace. Raises NotAWrappingToken.

        `spent` finds also the token whose only use is the request being served.
        """
        entry = await self._tokens.lookup(token, now, spent=spent) if token else None
        if entry is None or entry.policies != (RESPONSE_WRAPPING,) or entry.namespace != namespace_id:
            raise NotAWrappingToken
        return entry

    async def unwrap(self, token: str, callers: str, namespace_id: str, now: datetime) -> RawReply:
        """Hand out the answer behind a token, once. Raises NotAWrappingToken.

        `callers` is the token that the request came with: the wrapping token itself has spent its use on it.
        """
        entry, uses = await self._expected(token, callers, namespace_id, now)

        def work(connection: Connection) -> bytes | None:
            sealed = find(connection, entry.token_hash, entry.namespace, _PATH)
            return sealed if rows.take(connection, entry.token_hash, uses) else None

        sealed = await self._database.write(work)
        if sealed is None:
            raise NotAWrappingToken
        return _answer(self._cubbyholes.opened(sealed, entry.token_hash, entry.namespace, _PATH))

    async def rewrap(self, token: str, callers: str, namespace_id: str, now: datetime) -> WrapInfo:
        """Move an unused answer behind a new token with the life that the old one had. Raises NotAWrappingToken."""
        entry, uses = await self._expected(token, callers, namespace_id, now)
        held = await self._cubbyholes.get(entry.token_hash, entry.namespace, _PATH)
        if held is None:
            raise NotAWrappingToken
        new = _wrapping_token(entry.path, entry.creation_ttl, entry.namespace)
        return await self._keep(new, held, "", instead_of=(entry.token_hash, uses))

    async def _expected(self, token: str, callers: str, namespace_id: str, now: datetime) -> tuple[TokenEntry, int]:
        """Return the entry, and where its uses must stand for it to be taken."""
        is_own = hmac.compare_digest(token.encode(), callers.encode())
        entry = await self.find(token, namespace_id, now, spent=is_own)
        return entry, rows.SPENT if is_own else _UNUSED

    async def _keep(
        self, new: NewToken, held: Mapping[str, Any], accessor: str, instead_of: tuple[bytes, int] | None = None
    ) -> WrapInfo:
        def belongings(entry: TokenEntry) -> Any:
            store = self._cubbyholes.storing(entry.token_hash, entry.namespace, _PATH, held)

            def work(connection: Connection) -> None:
                if instead_of is not None and not rows.take(connection, *instead_of):
                    raise NotAWrappingToken
                store(connection)

            return work

        created = await self._tokens.create_with(new, belongings)
        return WrapInfo(
            token=created.token,
            accessor=created.entry.accessor,
            ttl=new.ttl,
            creation_time=created.entry.issued_at,
            creation_path=new.path,
            wrapped_accessor=accessor,
        )


def _wrapping_token(path: str, ttl: int, namespace_id: str) -> NewToken:
    return NewToken(
        policies=(RESPONSE_WRAPPING,),
        path=path,
        ttl=ttl,
        explicit_max_ttl=ttl,
        num_uses=_UNUSED,
        renewable=False,
        namespace=namespace_id,
    )


def _held(status: int, body: bytes, content_type: str) -> dict[str, Any]:
    """Return an answer as it waits in the cubbyhole. JSON looks as Vault shows it to who reads the cubbyhole."""
    if content_type == _JSON:
        return {"response": body.decode()} | ({"status": status} if status != 200 else {})
    return {"response": base64.b64encode(body).decode(), "status": status, "content_type": content_type}


def _answer(held: dict[str, Any]) -> RawReply:
    content_type = held.get("content_type", _JSON)
    text: str = held["response"]
    body = text.encode() if content_type == _JSON else base64.b64decode(text)
    return RawReply(body, content_type, held.get("status", 200))
