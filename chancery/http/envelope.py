"""Vault's response envelope."""

from dataclasses import asdict
from typing import Any

import orjson

from chancery.kit.request import Auth, RawReply, Reply


def render(answer: Reply | RawReply | None, request_id: str, mount_type: str) -> tuple[int, bytes, str]:
    """Return status, body and content type of an answer. Nothing to say is 204 without a body."""
    if answer is None:
        return 204, b"", ""
    if isinstance(answer, RawReply):
        status = 204 if answer.status == 200 and not answer.body else answer.status
        return status, answer.body, answer.content_type
    return answer.status, orjson.dumps(_document(answer, request_id, mount_type)), "application/json"


def _document(reply: Reply, request_id: str, mount_type: str) -> dict[str, Any]:
    if reply.bare:
        return dict(reply.data or {})
    document: dict[str, Any] = {**reply.data} if reply.flat and reply.data else {}
    document.update(
        request_id=request_id,
        lease_id="",
        renewable=False,
        lease_duration=0,
        data=reply.data,
        wrap_info=None,
        warnings=list(reply.warnings) or None,
        auth=_auth(reply.auth),
        mount_type=mount_type,
    )
    return document


def _auth(auth: Auth | None) -> dict[str, Any] | None:
    if auth is None:
        return None
    document = asdict(auth)
    document["policies"] = list(auth.policies)
    document["token_policies"] = list(auth.token_policies)
    document["identity_policies"] = list(auth.identity_policies) if auth.identity_policies is not None else None
    document["metadata"] = dict(auth.metadata) if auth.metadata is not None else None
    document["mfa_requirement"] = None
    return document
