"""Every operation that a server describes in its own OpenAPI document, and how to send one without meaning it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_METHODS = {"get": "GET", "post": "POST", "patch": "PATCH", "delete": "DELETE"}
_CAPTURE = re.compile(r"\{(\w+)\}")
_NOBODY = "nobody-0"
"""Stands for whatever a path names; nothing in any test is called so."""


@dataclass(frozen=True, slots=True)
class ApiOperation:
    """One method of one path. `template` is relative to the API: `pki/roles/{name}`."""

    method: str
    template: str
    unauthenticated: bool
    sudo: bool
    properties: tuple[str, ...] = ()
    """Names that the body may carry."""

    @property
    def path(self) -> str:
        """Return a concrete path."""
        return _CAPTURE.sub(_NOBODY, self.template).rstrip("/")

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def operations(document: Mapping[str, Any]) -> Iterator[ApiOperation]:
    """Yield every operation of a document; reading and listing a path are two."""
    for path, item in document["paths"].items():
        for key, described in item.items():
            if key in _METHODS:
                for method in _spoken(key, described):
                    yield ApiOperation(
                        method,
                        path.removeprefix("/"),
                        item["x-vault-unauthenticated"],
                        item["x-vault-sudo"],
                        tuple(_properties(described)),
                    )


def _spoken(key: str, described: Mapping[str, Any]) -> Iterator[str]:
    """Yield GET, LIST or both for what the document calls `get`: its parameter `list` tells."""
    listing = next((each for each in described.get("parameters", ()) if each["name"] == "list"), None)
    if listing is None or not listing["required"]:
        yield _METHODS[key]
    if listing is not None:
        yield "LIST"


def _properties(described: Mapping[str, Any]) -> Iterator[str]:
    body = described.get("requestBody", {}).get("content", {})
    for media in body.values():
        yield from media["schema"].get("properties", {})
