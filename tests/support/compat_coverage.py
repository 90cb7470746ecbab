"""How much of Vault's published API this server describes as its own: operations, parameters, response fields.

`python -m tests.support.compat_coverage` writes what is not served to `tests/vectors/not_served.json`; it refuses to
let that list grow.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.security_world import security_world

VECTORS = Path(__file__).parents[1] / "vectors"
NOT_SERVED = VECTORS / "not_served.json"
_CAPTURE = re.compile(r"\{(?!\w*_mount_path)[^}]*\}")
_METHODS = {"get": "GET", "post": "POST", "patch": "PATCH", "delete": "DELETE"}
_LATER = re.compile(r"/\{(transit|keymgmt)_mount_path\}/")
"""Engines that are not built yet."""
_OF_TYPE = re.compile(r"^/sys/managed-keys/\w+")
"""Vault describes the keys of all providers as one path, this server each provider's with its own parameters."""
_GROUPS = (
    ("/sys/managed-keys", "managed-keys"),
    ("/sys/", "sys"),
    ("/auth/token/", "token"),
    ("/auth/{approle_mount_path}/", "approle"),
    ("/auth/{userpass_mount_path}/", "userpass"),
    ("/auth/{cert_mount_path}/", "cert"),
    ("/auth/{jwt_mount_path}/", "jwt"),
    ("/auth/{kubernetes_mount_path}/", "kubernetes"),
    ("/{pki_mount_path}/", "pki"),
    ("/cubbyhole/", "cubbyhole"),
)

Missing = dict[str, dict[str, list[str]]]
"""By group and kind (`operations`, `parameters`, `responses`): what is not served, sorted."""


@dataclass(frozen=True, slots=True)
class Described:
    """One operation as a description has it."""

    path: str
    """As the description spells it, without a trailing slash."""
    method: str
    """As Vault's clients send it: a listing is LIST."""
    parameters: frozenset[str]
    responses: frozenset[str]
    unauthenticated: bool = False
    sudo: bool = False
    is_raw: bool = False
    """The answer is no JSON, whatever fields are published for it."""

    @property
    def key(self) -> str:
        """Return what two descriptions of one operation share: names of captures differ, but those of mounts."""
        return f"{self.method} {_CAPTURE.sub('{}', self.path)}"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What Vault publishes beside what is served."""

    published: tuple[Described, ...]
    served: Mapping[str, Described] = field(repr=False)

    def missing(self) -> Missing:
        """Return what is published and not served."""
        found: dict[str, dict[str, set[str]]] = {}
        for each in self.published:
            ours = self.served.get(each.key)
            group = found.setdefault(_group(each.path), {"operations": set(), "parameters": set(), "responses": set()})
            if ours is None:
                group["operations"].add(str(each))
                continue
            group["parameters"] |= {f"{each}: {name}" for name in each.parameters - ours.parameters}
            if not ours.is_raw:
                group["responses"] |= {f"{each}: {name}" for name in each.responses - ours.responses}
        return {group: {kind: sorted(names) for kind, names in kinds.items()} for group, kinds in sorted(found.items())}

    def flags(self) -> Iterator[tuple[Described, Described]]:
        """Yield the operations whose need of a token or of sudo differs: as published, as served."""
        for each in self.published:
            ours = self.served.get(each.key)
            if ours is not None and (ours.unauthenticated, ours.sudo) != (each.unauthenticated, each.sudo):
                yield each, ours


async def compare(directory: Path) -> Comparison:
    """Ask a server with everything mounted for its description, and lay it beside Vault's."""
    async with security_world(directory) as world:
        document = await world.made("GET", "sys/internal/specs/openapi?generic_mount_paths=true")
    served: dict[str, Described] = {}
    for each in _served(document):
        known = served.get(each.key)
        served[each.key] = each if known is None else replace(each, parameters=each.parameters | known.parameters)
    return Comparison(tuple(_published()), served)


def known_missing() -> Missing:
    """Return the checked-in list."""
    missing: Missing = json.loads(NOT_SERVED.read_text())
    return missing


def grown(missing: Missing, known: Missing) -> set[str]:
    """Return what was served and is missing now. Parts of an operation that was missing as a whole are no news."""
    absent = {operation for kinds in known.values() for operation in kinds["operations"]}
    return {entry for entry in flat(missing) - flat(known) if entry.split(": ")[1] not in absent}


def flat(missing: Missing) -> set[str]:
    """Return every entry of a list, with its group and kind."""
    return {f"{group} {kind}: {name}" for group, kinds in missing.items() for kind in kinds for name in kinds[kind]}


def _published() -> Iterator[Described]:
    for each in json.loads((VECTORS / "operations.json").read_text())["operations"]:
        if not _LATER.match(each["path"]):
            lists = "list" in each["query_parameters"] and each["path"].endswith("/")
            yield Described(
                each["path"].rstrip("/"),
                "LIST" if lists else each["method"],
                frozenset(each["body"]) | (frozenset(each["query_parameters"]) - {"list"}),
                frozenset(name for fields in each["responses"].values() for name in fields),
                each["unauthenticated"],
                each["sudo"],
            )


def _served(document: Mapping[str, Any]) -> Iterator[Described]:
    for path, item in document["paths"].items():
        for key, method in _METHODS.items():
            if key in item:
                operation = item[key]
                parameters = {each["name"]: each for each in operation.get("parameters", ())}
                listing = parameters.pop("list", None)
                named = frozenset(parameters) | frozenset(_schema(operation.get("requestBody", {})))
                fields = frozenset(_schema(operation["responses"]["200"]))
                is_raw = "*/*" in operation["responses"]["200"].get("content", {})
                flags = item["x-vault-unauthenticated"], item["x-vault-sudo"], is_raw
                spelled = _OF_TYPE.sub("/sys/managed-keys/{type}", path.rstrip("/"))
                if listing is None or not listing["required"]:
                    yield Described(spelled, method, named, fields, *flags)
                if listing is not None:
                    yield Described(spelled, "LIST", named, fields | {"keys"}, *flags)


def _schema(container: Mapping[str, Any]) -> Iterable[str]:
    for media in container.get("content", {}).values():
        yield from media["schema"].get("properties", {})


def _group(path: str) -> str:
    return next((name for beginning, name in _GROUPS if f"{path}/".startswith(beginning)), "other")


def _write() -> int:
    with tempfile.TemporaryDirectory() as directory:
        missing = asyncio.run(compare(Path(directory))).missing()
    lost = grown(missing, known_missing()) if NOT_SERVED.exists() else set()
    if lost:
        sys.stderr.write("\n  ".join(["no longer served:", *sorted(lost)]) + "\n")
        return 1
    NOT_SERVED.write_text(json.dumps(missing, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_write())
