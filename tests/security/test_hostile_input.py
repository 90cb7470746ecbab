"""Values that break careless servers, in every parameter of every operation: refused or taken, but never a 5xx."""

import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.support.security_operations import ApiOperation
from tests.support.security_world import MERGE_PATCH, SecurityWorld, security_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

VALUES: Mapping[str, Any] = {
    "a number beyond 64 bits": 10**19,
    "a number beyond 64 bits as text": "9" * 30,
    "a negative number": -(2**63),
    "a fraction": 1.5e300,
    "a NUL": "a\0b",
    "octets that are no text": "\N{REPLACEMENT CHARACTER}\u202e\u0000\uffff",
    "a wildcard": "*",
    "a path": "../../../../etc/passwd",
    "line breaks": "a\r\nX-Injected: yes\r\n\r\n",
    "a long text": "x" * 70_000,
    "a long list": ["x"] * 5_000,
    "lists within lists": [[[[[[[[]]]]]]]],
    "maps within maps": {"a": {"b": {"c": {"d": None}}}},
    "nothing": None,
    "a truth": True,
}
_ONE_BY_ONE = {"a number beyond 64 bits", "a negative number", "a fraction", "a NUL", "line breaks", "nothing"}
_NOT_SENT = {"POST auth/token/revoke-self": "ends the test's own token", "POST sys/seal": "ends the server"}
_REAL = {"name": "web", "role": "web", "issuer_ref": "default", "key_ref": "default", "exported": "internal"}
"""What captures are filled with, so that bodies get past the look-up of what they are for."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecurityWorld]:
    async with security_world(tmp_path_factory.mktemp("hostile")) as running:
        await running.made("POST", "pki/root/generate/internal", {"common_name": "root", "key_type": "ec"})
        await running.made("POST", "pki/roles/web", {"allow_any_name": True, "key_type": "ec"})
        yield running


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("kind", VALUES)
async def test_no_value_of_any_parameter_is_an_internal_error(
    world: SecurityWorld, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    failed: dict[str, Any] = {}
    for operation in world.operations:
        if operation.method in {"POST", "PATCH"} and str(operation) not in _NOT_SENT:
            for body in _bodies(operation, kind):
                status, answer = await _send(world, operation, body)
                if status >= 500:
                    failed[f"{operation} {[*body]}"] = answer
    assert failed == {}, caplog.text
    assert (await world.call("GET", "auth/token/lookup-self"))[0] == 200


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
async def test_deep_json_is_refused(world: SecurityWorld, opening: str) -> None:
    body = opening * 100_000
    for path in ("sys/policies/acl/p", "sys/wrapping/lookup", "pki/sign/web"):
        async with world.running.client.post(
            f"{world.running.address}/v1/{path}", data=body, headers={"Content-Type": "application/json"}
        ) as answer:
            assert answer.status == 400


@pytest.mark.parametrize(
    "text", ["{" * 50_000, "[" * 50_000, 'a "b" {' * 20_000, '{"path":' * 50_000, "path " * 50_000, '"' + "\\" * 50_000]
)
async def test_deep_policies_are_refused(world: SecurityWorld, text: str) -> None:
    status, answer = await world.call("POST", "sys/policies/acl/deep", {"policy": text})
    assert status == 400, answer


@pytest.mark.parametrize("pattern", ["*a" * 30, "a*" * 30, "*" * 60 + "b", "*-*-*-*-*-*-*-*-*-*-*-*-*-*-*"])
async def test_patterns_do_not_take_time_to_fail(world: SecurityWorld, pattern: str) -> None:
    """A glob that backtracks would hold up everybody else."""
    role = {"allowed_domains": f"{pattern}.example.com", "allow_glob_domains": True, "key_type": "ec"}
    assert (await world.call("POST", "pki/roles/globs", role))[0] in {200, 400}
    begun = time.process_time()
    name = "a-" * 30 + "a"
    status, _ = await world.call("POST", "pki/issue/globs", {"common_name": f"{name}.example.org"})
    assert status == 400
    assert time.process_time() - begun < 1.0


def _bodies(operation: ApiOperation, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the value in every parameter at once, and the telling ones in each alone: one wrong field hides others."""
    yield dict.fromkeys(operation.properties, VALUES[kind])
    if kind in _ONE_BY_ONE:
        yield from ({name: VALUES[kind]} for name in operation.properties)


async def _send(world: SecurityWorld, operation: ApiOperation, body: dict[str, Any]) -> tuple[int, Any]:
    path = operation.template
    for name, value in _REAL.items():
        path = path.replace("{" + name + "}", value)
    headers = MERGE_PATCH if operation.method == "PATCH" else {}
    return await world.call(operation.method, replace(operation, template=path).path, body, headers=headers)
