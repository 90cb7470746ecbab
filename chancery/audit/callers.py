"""The member `auth` of requests' records: who asks. Rendered once for a token, as long as it stays as it is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from chancery.audit.concealment import Concealment
from chancery.auth.tokens import TokenEntry
from chancery.exchange import Exchange
from chancery.kit.clock import rfc3339
from chancery.kit.errors import ChanceryError, Denied

_MOST = 1024
"""Tokens that are remembered, without their text."""


@dataclass(frozen=True, slots=True)
class Caller:
    """How a device shows a caller: the member `auth`, and what the member `request` repeats of it."""

    auth: bytes
    client_token: str = ""
    accessor: str = ""


@dataclass(frozen=True, slots=True)
class _Remembered:
    entry: TokenEntry
    caller: Caller


class Callers:
    """The callers that one device has seen."""

    def __init__(self, conceal: Concealment) -> None:
        self._conceal = conceal
        self._remembered: dict[bytes, _Remembered] = {}

    def caller(self, exchange: Exchange, error: ChanceryError | None) -> Caller:
        """Return how the device shows who asks; `error` is why they were refused."""
        entry = exchange.entry
        if entry is None:
            return self._stranger(exchange.message.token, error)
        if isinstance(error, Denied):
            return self._holder(entry, exchange.message.token, allowed=False)
        known = self._remembered.get(entry.token_hash)
        if known is not None and known.entry is entry:
            return known.caller
        caller = self._holder(entry, exchange.message.token, allowed=True)
        if len(self._remembered) >= _MOST:
            self._remembered.clear()
        self._remembered[entry.token_hash] = _Remembered(entry, caller)
        return caller

    def _stranger(self, token: str, error: ChanceryError | None) -> Caller:
        """Show a caller who needed no token, or whose token is none."""
        hidden = self._conceal.hidden(token) if token else ""
        if error is not None:
            return Caller(b'{"token_type":"default"}', hidden)
        shown = {"client_token": hidden} if hidden else {}
        return Caller(orjson.dumps({**shown, "policy_results": {"allowed": True}, "token_type": "default"}), hidden)

    def _holder(self, entry: TokenEntry, token: str, *, allowed: bool) -> Caller:
        hidden = self._conceal.hidden(token)
        accessor = self._conceal.accessor(entry.accessor) if entry.accessor else ""
        document: dict[str, Any] = {"client_token": hidden}
        if accessor:
            document["accessor"] = accessor
        document["display_name"] = entry.display_name
        document["policies"] = document["token_policies"] = entry.policies
        if entry.meta:
            document["metadata"] = dict(entry.meta)
        if entry.entity_id:
            document["entity_id"] = entry.entity_id
        document["policy_results"] = {"allowed": allowed}
        document["token_type"] = entry.type.value
        if entry.ttl:
            document["token_ttl"] = entry.ttl
        document["token_issue_time"] = rfc3339(datetime.fromtimestamp(entry.creation_time, UTC))
        return Caller(orjson.dumps(document), hidden, accessor)
