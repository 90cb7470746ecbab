"""Vault's envelope, parsed once: what a read, a write or a login answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chancery.cli.failures import CallFailed
from chancery.cli.golang import Json
from chancery.cli.json_text import NotJson, decode, sorted_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """A token that was issued or renewed. `lease_duration` in seconds; 0 never ends."""

    client_token: str = field(default="", repr=False)
    accessor: str = ""
    policies: tuple[str, ...] | None = None
    token_policies: tuple[str, ...] | None = None
    identity_policies: tuple[str, ...] | None = None
    metadata: Mapping[str, Json] | None = None
    orphan: bool = False
    entity_id: str = ""
    lease_duration: int = 0
    renewable: bool = False
    mfa_requirement: Json = None

    def document(self) -> dict[str, Json]:
        """Return it as JSON, in the order in which it is printed."""
        return {
            "client_token": self.client_token,
            "accessor": self.accessor,
            "policies": _list_or_none(self.policies),
            "token_policies": _list_or_none(self.token_policies),
            "identity_policies": _list_or_none(self.identity_policies),
            "metadata": None if self.metadata is None else sorted_keys(dict(self.metadata)),
            "orphan": self.orphan,
            "entity_id": self.entity_id,
            "lease_duration": self.lease_duration,
            "renewable": self.renewable,
            "mfa_requirement": self.mfa_requirement,
        }

    def fields(self) -> dict[str, Json]:
        """Return what `-field` can name."""
        return {
            "token": self.client_token,
            "token_accessor": self.accessor,
            "token_duration": self.lease_duration,
            "token_renewable": self.renewable,
            "token_policies": _list_or_none(self.token_policies),
            "identity_policies": _list_or_none(self.identity_policies),
            "policies": _list_or_none(self.policies),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapInfo:
    """A wrapping token, and what it wraps. `ttl` in seconds; `creation_time` as RFC 3339."""

    token: str = field(default="", repr=False)
    accessor: str = ""
    ttl: int = 0
    creation_time: str = ""
    creation_path: str = ""
    wrapped_accessor: str = ""

    def document(self) -> dict[str, Json]:
        """Return it as JSON, in the order in which it is printed."""
        return {
            "token": self.token,
            "accessor": self.accessor,
            "ttl": self.ttl,
            "creation_time": self.creation_time,
            "creation_path": self.creation_path,
            "wrapped_accessor": self.wrapped_accessor,
        }

    def fields(self) -> dict[str, Json]:
        """Return what `-field` can name."""
        return {
            "wrapping_token": self.token,
            "wrapping_accessor": self.accessor,
            "wrapping_token_ttl": self.ttl,
            "wrapping_token_creation_time": self.creation_time,
            "wrapping_token_creation_path": self.creation_path,
            "wrapped_accessor": self.wrapped_accessor,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One answer in Vault's envelope. Named as Vault names it, whatever it carries."""

    request_id: str = ""
    lease_id: str = ""
    lease_duration: int = 0
    renewable: bool = False
    data: dict[str, Json] | None = field(default=None, repr=False)
    warnings: tuple[str, ...] | None = None
    auth: Auth | None = None
    wrap_info: WrapInfo | None = None

    def document(self) -> dict[str, Json]:
        """Return it as JSON, in the order in which it is printed; keys within `data` sorted."""
        document: dict[str, Json] = {
            "request_id": self.request_id,
            "lease_id": self.lease_id,
            "lease_duration": self.lease_duration,
            "renewable": self.renewable,
            "data": sorted_keys(self.data),
            "warnings": _list_or_none(self.warnings),
        }
        if self.auth is not None:
            document["auth"] = self.auth.document()
        if self.wrap_info is not None:
            document["wrap_info"] = self.wrap_info.document()
        return document

    def field(self, name: str) -> Json:
        """Return what `-field=NAME` means here; None when there is no such thing."""
        data = self.data or {}
        if self.auth is not None:
            return self.auth.fields().get(name, data.get(name))
        if self.wrap_info is not None:
            return self.wrap_info.fields().get(name, data.get(name))
        if name == "data":
            return data.get("data", self.data)
        envelope: dict[str, Json] = {
            "request_id": self.request_id,
            "lease_id": self.lease_id,
            "lease_duration": self.lease_duration,
            "refresh_interval": self.lease_duration,
            "renewable": self.renewable,
        }
        return envelope.get(name, data.get(name))


def parse_secret(document: dict[str, Json]) -> Secret | None:
    """Read the envelope. An object without any of its fields, as `sys/health` answers, is data as a whole.

    None when there is nothing in it but errors. Raises CallFailed when a field has the wrong shape.
    """
    auth, wrap_info = document.get("auth"), document.get("wrap_info")
    secret = Secret(
        request_id=_text(document, "request_id"),
        lease_id=_text(document, "lease_id"),
        lease_duration=_integer(document, "lease_duration"),
        renewable=document.get("renewable") is True,
        data=_object(document, "data"),
        warnings=_texts(document, "warnings"),
        auth=_parse_auth(auth) if isinstance(auth, dict) else None,
        wrap_info=_parse_wrap_info(wrap_info) if isinstance(wrap_info, dict) else None,
    )
    if secret != Secret():
        return secret
    return Secret(data=document) if document.keys() - {"errors"} else None


def _parse_auth(document: Mapping[str, Json]) -> Auth:
    return Auth(
        client_token=_text(document, "client_token"),
        accessor=_text(document, "accessor"),
        policies=_texts(document, "policies"),
        token_policies=_texts(document, "token_policies"),
        identity_policies=_texts(document, "identity_policies"),
        metadata=_object(document, "metadata"),
        orphan=document.get("orphan") is True,
        entity_id=_text(document, "entity_id"),
        lease_duration=_integer(document, "lease_duration"),
        renewable=document.get("renewable") is True,
        mfa_requirement=document.get("mfa_requirement"),
    )


def _parse_wrap_info(document: Mapping[str, Json]) -> WrapInfo:
    return WrapInfo(
        token=_text(document, "token"),
        accessor=_text(document, "accessor"),
        ttl=_integer(document, "ttl"),
        creation_time=_text(document, "creation_time"),
        creation_path=_text(document, "creation_path"),
        wrapped_accessor=_text(document, "wrapped_accessor"),
    )


def error_messages(body: bytes) -> tuple[str, ...] | None:
    """Return the messages of an error answer, or None when it is not in Vault's shape."""
    try:
        document = decode(body)
    except NotJson:
        return None
    errors = document.get("errors") if isinstance(document, dict) else None
    return tuple(str(error) for error in errors) if isinstance(errors, list) else None


def _list_or_none(items: Sequence[str] | None) -> Json:
    return None if items is None else list(items)


def _malformed(name: str, expected: str) -> CallFailed:
    return CallFailed(f"the answer is not in Vault's shape: {name} is not {expected}")


def _text(document: Mapping[str, Json], name: str) -> str:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise _malformed(name, "a string")
    return value or ""


def _integer(document: Mapping[str, Json], name: str) -> int:
    value = document.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise _malformed(name, "a whole number")
    return value or 0


def _object(document: Mapping[str, Json], name: str) -> dict[str, Json] | None:
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise _malformed(name, "an object")
    return value


def _texts(document: Mapping[str, Json], name: str) -> tuple[str, ...] | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _malformed(name, "a list of strings")
    return tuple(str(item) for item in value)
