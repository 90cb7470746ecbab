"""Exchanges to record: a token's holder asking a mount for something."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chancery.auth.tokens import TokenEntry, TokenType
from chancery.exchange import Exchange, Message
from chancery.kit.engine import Mount, MountConfig
from chancery.kit.request import Operation, Request
from chancery.namespaces.model import ROOT
from tests.support.audit_devices import NOON

TOKEN = "the-token-itself"

ENTRY = TokenEntry(
    token_hash=b"hash",
    accessor="the-accessor",
    policies=("default", "issuing"),
    display_name="approle-web",
    meta={"role_name": "web"},
    path="auth/approle/login",
    creation_time=1_772_000_000,
    creation_ttl=3600,
    ttl=3600,
    explicit_max_ttl=0,
    period=0,
    expires_at=None,
    num_uses=0,
    renewable=True,
    type=TokenType.SERVICE,
    parent=None,
    role="",
    entity_id="entity-1",
    bound_cidrs=(),
    namespace="root",
)

PKI = Mount(uuid="u", accessor="pki_1234", path="pki/", type="pki")


def exchange(
    operation: Operation = Operation.UPDATE,
    path: str = "pki/sign/web",
    fields: Mapping[str, Any] | None = None,
    *,
    token: str = TOKEN,
    entry: TokenEntry | None = ENTRY,
    mount: Mount | None = PKI,
    wrap_ttl: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Exchange:
    """Return an exchange in the root namespace."""
    message = Message("id-1", operation, path, fields or {}, token, "", "192.0.2.7", headers or {})
    request = Request("id-1", operation, path.removeprefix("pki/"), "pki/", fields or {}, NOON)
    return Exchange(message, request, ROOT, path, mount, entry, wrap_ttl)


def tuned(**config: tuple[str, ...]) -> Mount:
    """Return the mount with other tuning."""
    return replace(PKI, config=MountConfig(**config))  # type: ignore[arg-type]  # only tuples are tuned here
