"""Reading the extensions of certificates and requests. Raises nothing but ValueError."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from ca.x509 import der, oids
from ca.x509.der_reader import MALFORMED, all_of, boolean, children, dotted, integer, only
from ca.x509.extensions import Extension
from ca.x509.general_names import SubjectAlternativeNames, parse_general_names
from ca.x509.spec import NO_ALTERNATIVE_NAMES
from ca.x509.usages import KeyUsage, read_key_usage_bits

MAX_EXTENSIONS: Final = 64
_CACHED: Final = 512
"""Longer ones, in octets, are read each time, so that strangers cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class ParsedExtensions:
    """What the extensions say; `all` has every one of them as it came.

    `has_basic_constraints` distinguishes "not a CA" from silence. `unsupported_names` are the kinds of alternative name
    that SubjectAlternativeNames cannot hold.
    """

    all: tuple[Extension, ...] = ()
    sans: SubjectAlternativeNames = NO_ALTERNATIVE_NAMES
    unsupported_names: tuple[str, ...] = ()
    key_usages: frozenset[KeyUsage] = frozenset()
    ext_key_usages: tuple[str, ...] = ()
    has_basic_constraints: bool = False
    is_ca: bool = False
    path_length: int | None = None
    subject_key_identifier: bytes | None = None
    authority_key_identifier: bytes | None = None

    @classmethod
    def parse(cls, extensions: bytes) -> "ParsedExtensions":
        """Read the contents of an Extensions SEQUENCE. Raises ValueError that names the extension at fault."""
        return _parsed(extensions) if len(extensions) <= _CACHED else cls._parse(extensions)

    @classmethod
    def _parse(cls, extensions: bytes) -> Self:
        found = _read_all(extensions)
        fields: dict[str, Any] = {}
        for one in found:
            if read := _READERS.get(one.oid):
                try:
                    fields |= read(one.value)
                except ValueError as error:
                    raise ValueError(f"extension {one.oid}: {error}") from None
        return cls(all=found, **fields)


@lru_cache(maxsize=4096)
def _parsed(extensions: bytes) -> ParsedExtensions:
    """Read extensions that may well come again: renewals ask for the same names under another key."""
    return ParsedExtensions._parse(extensions)  # noqa: SLF001 - of this module


def _read_all(extensions: bytes) -> tuple[Extension, ...]:
    found = tuple(map(_read, all_of(extensions, der.SEQUENCE)))
    if len(found) > MAX_EXTENSIONS:
        raise ValueError(f"there are more than {MAX_EXTENSIONS} extensions")
    if len({one.oid for one in found}) != len(found):
        raise ValueError("an extension is given twice")
    return found


def _read(content: bytes) -> Extension:
    match children(content):
        case [(der.OBJECT_IDENTIFIER, oid), (der.OCTET_STRING, value)]:
            return Extension(dotted(oid), False, value)
        case [(der.OBJECT_IDENTIFIER, oid), (der.BOOLEAN, critical), (der.OCTET_STRING, value)]:
            return Extension(dotted(oid), boolean(critical), value)
        case _:
            raise ValueError(f"{MALFORMED}: not an extension")


def _alternative_names(value: bytes) -> dict[str, Any]:
    sans, unsupported = parse_general_names(value)
    return {"sans": sans, "unsupported_names": unsupported}


def _key_usage(value: bytes) -> dict[str, Any]:
    return {"key_usages": read_key_usage_bits(only(value, der.BIT_STRING))}


def _ext_key_usage(value: bytes) -> dict[str, Any]:
    usages = all_of(only(value, der.SEQUENCE), der.OBJECT_IDENTIFIER)
    return {"ext_key_usages": tuple(map(dotted, usages))}


def _basic_constraints(value: bytes) -> dict[str, Any]:
    is_ca, path_length = False, None
    match children(only(value, der.SEQUENCE)):
        case []:
            pass
        case [(der.BOOLEAN, flag)]:
            is_ca = boolean(flag)
        case [(der.BOOLEAN, flag), (der.INTEGER, length)]:
            is_ca, path_length = boolean(flag), integer(length)
        case _:
            raise ValueError(f"{MALFORMED}: not basic constraints")
    if path_length is not None and not 0 <= path_length < 1 << 31:
        raise ValueError("path length is out of range")
    return {"has_basic_constraints": True, "is_ca": is_ca, "path_length": path_length}


def _subject_key_identifier(value: bytes) -> dict[str, Any]:
    return {"subject_key_identifier": only(value, der.OCTET_STRING)}


def _authority_key_identifier(value: bytes) -> dict[str, Any]:
    match children(only(value, der.SEQUENCE)):
        case [(der.IMPLICIT_0, identifier), *_]:
            return {"authority_key_identifier": identifier}
        case _:
            return {}


_READERS: Final[dict[str, Callable[[bytes], dict[str, Any]]]] = {
    oids.SUBJECT_ALT_NAME: _alternative_names,
    oids.KEY_USAGE: _key_usage,
    oids.EXT_KEY_USAGE: _ext_key_usage,
    oids.BASIC_CONSTRAINTS: _basic_constraints,
    oids.SUBJECT_KEY_IDENTIFIER: _subject_key_identifier,
    oids.AUTHORITY_KEY_IDENTIFIER: _authority_key_identifier,
}
