"""Secrets are planted everywhere they belong; then everything is read, and none of them is anywhere.

Not in an answer, not in an error, not in the log, not in the database's files.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.host_world import ROOT_TOKEN
from tests.support.security_operations import ApiOperation
from tests.support.security_world import MERGE_PATCH, SecurityWorld, security_world

SECRET_FIELDS = frozenset(
    {
        "client_secret",
        "client_token",
        "jwt",
        "key",
        "oidc_client_secret",
        "otp",
        "password",
        "password_hash",
        "pem_bundle",
        "pin",
        "secret_id",
        "secret_key",
        "token",
        "token_reviewer_jwt",
    }
)
"""Parameters whose value no error may repeat."""

SECRETS_FOR_READING = {"sys/wrapping/unwrap", "sys/decode-token"}
"""Operations whose purpose is to hand a secret to whoever holds another."""


@dataclass(slots=True)
class Planted:
    """A world with secrets in it, and the secrets by what they are."""

    world: SecurityWorld
    secrets: dict[str, str]
    reader: str
    """A token that may read everything, and that is not itself one of the secrets."""

    def found_in(self, text: bytes) -> list[str]:
        """Return what is given away by a text."""
        return [name for name, secret in self.secrets.items() if secret.encode() in text]


@pytest.fixture
async def planted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Planted]:
    caplog.set_level(logging.DEBUG)
    module = tmp_path / "never-loaded.so"
    await asyncio.to_thread(module.touch)
    library = {"type": "pkcs11", "name": "hsm", "library": str(module)}
    async with security_world(tmp_path, kms_libraries=[library]) as world:
        found = {"root token": ROOT_TOKEN, "unseal key": world.running.unseal_key.hex()}
        found |= await _of_host(world) | await _of_methods(world) | await _of_engines(world)
        yield Planted(world, found, await world.token())


async def _of_host(world: SecurityWorld) -> dict[str, str]:
    named = f"chosen-{secrets.token_hex(12)}"
    other = await world.token()
    kept, wrapped = _random(), _random()
    await world.made("POST", "auth/token/create", {"id": named, "policies": ["all"]})
    await world.made("POST", "cubbyhole/mine", {"value": kept}, token=other)
    wrap = await world.made("POST", "sys/wrapping/wrap", {"value": wrapped}, headers={"X-Vault-Wrap-TTL": "600"})
    batch = await world.token(type="batch")
    return {
        "token with a chosen text": named,
        "token": other,
        "batch token": batch,
        "in somebody's cubbyhole": kept,
        "wrapped": wrapped,
        "wrapping token": wrap["wrap_info"]["token"],
    }


async def _of_methods(world: SecurityWorld) -> dict[str, str]:
    password, reviewer = _random(), _random()
    await world.made("POST", "auth/userpass/users/ada", {"password": password, "token_policies": ["all"]})
    login = await world.made("POST", "auth/userpass/login/ada", {"password": password}, token="")
    await world.made("POST", "auth/approle/role/ci", {"token_policies": ["all"]})
    secret_id = (await world.made("POST", "auth/approle/role/ci/secret-id", {}))["data"]["secret_id"]
    kubernetes = {"kubernetes_host": "https://kubernetes.invalid", "token_reviewer_jwt": reviewer}
    await world.call("POST", "auth/kubernetes/config", kubernetes)
    return {
        "password": password,
        "token of a login": login["auth"]["client_token"],
        "secret id": secret_id,
        "token reviewer's token": reviewer,
    }


async def _of_engines(world: SecurityWorld) -> dict[str, str]:
    pin = _random()
    key = {"library": "hsm", "token_label": "t", "pin": pin, "key_label": "k", "mechanism": "0x1041", "curve": "P256"}
    await world.made("POST", "sys/managed-keys/pkcs11/hsm-key", key)
    root = {"common_name": "root", "key_type": "ec", "key_name": "exported"}
    made = await world.made("POST", "pki/root/generate/exported", root)
    await world.made("POST", "pki/roles/web", {"allow_any_name": True, "key_type": "ec", "generate_lease": True})
    issued = await world.made("POST", "pki/issue/web", {"common_name": "www.example.com"})
    return {
        "PIN": pin,
        "exported CA key": _body_of(made["data"]["private_key"]),
        "key of a certificate": _body_of(issued["data"]["private_key"]),
    }


async def test_reading_everything_gives_no_secret_away(
    planted: Planted, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    read, given_away = 0, {}
    async for path, answer in _everything(planted):
        read += 1
        if found := planted.found_in(answer):
            given_away[path] = found
    assert given_away == {}
    assert read > 100, "the crawler finds its way"
    assert planted.found_in(caplog.text.encode()) == []
    assert planted.found_in(await asyncio.to_thread(_stored, tmp_path)) == []


async def test_errors_do_not_repeat_secrets(planted: Planted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    secret = _random()
    repeated: dict[str, Any] = {}
    for operation in planted.world.operations:
        for body in _bodies(operation, secret):
            headers = MERGE_PATCH if operation.method == "PATCH" else {}
            status, answer = await planted.world.call(
                operation.method, operation.path, body, token=planted.reader, headers=headers
            )
            if status >= 400 and secret in repr(answer):
                repeated[str(operation)] = answer
    assert repeated == {}
    assert secret not in caplog.text


def _bodies(operation: ApiOperation, secret: str) -> Iterator[dict[str, Any]]:
    fields = [name for name in operation.properties if name in SECRET_FIELDS]
    if fields and operation.template not in SECRETS_FOR_READING:
        yield dict.fromkeys(fields, secret)
        yield {name: [{secret: secret}] for name in fields}
        yield {name: {secret: [secret]} for name in fields}


async def _everything(planted: Planted) -> AsyncIterator[tuple[str, bytes]]:
    """Read and list every path that the description has, and whatever a list tells of."""
    reading = [each for each in planted.world.operations if each.method in {"GET", "LIST"}]
    waiting = [(each.method, each.path) for each in reading]
    seen = set(waiting)
    while waiting:
        method, path = waiting.pop()
        body = await _read(planted, method, path)
        yield f"{method} {path}", body
        for name in _names(body) if method == "LIST" else ():
            if path == "auth/token/accessors":
                _, shown = await planted.world.call("POST", "auth/token/lookup-accessor", {"accessor": name})
                yield f"accessor {name}", orjson.dumps(shown)
            found = {(verb, deeper) for deeper in _deeper(reading, path, name) for verb in ("GET", "LIST")} - seen
            seen |= found
            waiting.extend(found)


async def _read(planted: Planted, method: str, path: str) -> bytes:
    running = planted.world.running
    url, headers = f"{running.address}/v1/{path}", {"X-Vault-Token": planted.reader}
    async with running.client.request(method, url, headers=headers) as answer:
        return await answer.read()


def _deeper(reading: Iterable[ApiOperation], listed: str, name: str) -> Iterator[str]:
    """Yield the paths that lead on from a name in a list; `issuers` tells of `issuer/{issuer_ref}` as well."""
    for template in {each.template for each in reading}:
        before, _, after = template.partition("{")
        if after and before.rstrip("/") in {listed, listed.removesuffix("s")}:
            yield before + name.rstrip("/") + after.partition("}")[2].replace("{", "").replace("}", "")


def _names(body: bytes) -> list[str]:
    data = orjson.loads(body).get("data") if body.startswith(b"{") else None
    return list(data.get("keys", ())) if isinstance(data, dict) else []


def _stored(directory: Path) -> bytes:
    """Return the octets of the database's files."""
    return b"".join(file.read_bytes() for file in directory.glob("chancery.db*"))


def _random() -> str:
    return f"planted-{secrets.token_hex(12)}"


def _body_of(pem: str) -> str:
    """Return the middle line of a PEM text: its first bytes are the same for every key."""
    lines = pem.strip().splitlines()
    return lines[len(lines) // 2]
