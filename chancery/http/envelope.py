"""Vault's response envelope."""

from dataclasses import asdict
from typing import Any

import orjson

from chancery.kit.clock import rfc3339
from chancery.kit.request import Auth, RawReply, Reply, WrapInfo


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
        lease_id=reply.lease_id,
        renewable=reply.renewable,
        lease_duration=reply.lease_duration,
        data=reply.data,
        wrap_info=_wrap_info(reply.wrap_info),
        warnings=list(reply.warnings) or None,
        auth=_auth(reply.auth),
        mount_type=mount_type,
    )
    return document


def _wrap_info(info: WrapInfo | None) -> dict[str, Any] | None:
    if info is None:
        return None
    document: dict[str, Any] = {
        "token": info.token,
        "accessor": info.accessor,
        "ttl": info.ttl,
        "creation_time": rfc3339(info.creation_time),
        "creation_path": info.creation_path,
    }
    return document | ({"wrapped_accessor": info.wrapped_accessor} if info.wrapped_accessor else {})


def _auth(auth: Auth | None) -> dict[str, Any] | None:
    if auth is None:
        return None
    document = asdict(auth)
    document["policies"] = list(auth.policies)
    document["token_policies"] = list(auth.token_policies)
    if auth.identity_policies is None:
        del document["identity_policies"]
    document["metadata"] = dict(auth.metadata) if auth.metadata is not None else None
    document["mfa_requirement"] = None
    return document
