"""Certificate policies (RFC 5280 4.2.1.4), in the two forms that Vault's `policy_identifiers` takes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ca.x509 import der
from ca.x509.general_names import encode_ia5

_MAX_NOTICE: Final = 200
_FIELDS: Final = {"oid", "cps", "notice"}


@dataclass(frozen=True, slots=True)
class CertificatePolicy:
    """A policy with the addresses of its practice statements and its notices to users."""

    oid: str
    cps: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        der.oid(self.oid)
        for uri in self.cps:
            encode_ia5("cps", uri)
        for notice in self.notices:
            if not 1 <= len(notice) <= _MAX_NOTICE:
                raise ValueError(f"notice must be 1 to {_MAX_NOTICE} characters long")

    @property
    def qualified(self) -> bool:
        """Whether it says more than its identifier."""
        return bool(self.cps or self.notices)


def parse_policies(value: str | Iterable[str]) -> tuple[CertificatePolicy, ...]:
    """Read `policy_identifiers`: identifiers (a list, or text with commas), or JSON.

    JSON is a list of `{"oid": "1.3...", "cps": "https://...", "notice": "..."}`, as one text or one text for each
    object. Empty entries are ignored. Raises ValueError.
    """
    if isinstance(value, str):
        value = [value] if value.lstrip().startswith(("[", "{")) else value.split(",")
    return tuple(policy for entry in map(str.strip, value) if entry for policy in _entry(entry))


def _entry(text: str) -> Iterable[CertificatePolicy]:
    if not text.startswith(("[", "{")):
        return (CertificatePolicy(text),)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("policy_identifiers is not valid JSON") from None
    return map(_from_json, parsed if isinstance(parsed, list) else [parsed])


def _from_json(value: Any) -> CertificatePolicy:
    if isinstance(value, str):
        return CertificatePolicy(value)
    if not isinstance(value, dict) or not _FIELDS.issuperset(value):
        raise ValueError('a policy is an object with "oid", and optionally "cps" and "notice"')
    return CertificatePolicy(
        _text(value, "oid"), *(((_text(value, field),) if value.get(field) else ()) for field in ("cps", "notice"))
    )


def _text(value: dict[str, Any], field: str) -> str:
    text = value.get(field)
    if not isinstance(text, str):
        raise ValueError(f'a policy\'s "{field}" must be text')
    return text
