"""The OpenAPI document: what generated clients and testers rely on beyond the paths being there."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_world import HostWorld, host_world

_METHODS = ("get", "post", "patch", "delete")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path) as running:
        for path in ("one", "two"):
            assert (await running.call("POST", f"sys/mounts/{path}", {"type": "pki"}))[0] == 204
        yield running


async def _document(world: HostWorld, query: str = "") -> Any:
    status, document = await world.call("GET", f"sys/internal/specs/openapi{query}")
    assert status == 200
    return document


def _operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        yield from ((path, method, item[method]) for method in _METHODS if method in item)


@pytest.mark.parametrize("query", ["", "?generic_mount_paths=true"])
async def test_operation_ids_are_unique_and_captures_declared(world: HostWorld, query: str) -> None:
    document = await _document(world, query)
    ids = Counter(operation["operationId"] for _, _, operation in _operations(document))
    assert [name for name, count in ids.items() if count > 1] == []
    for path, item in document["paths"].items():
        declared = [each["name"] for each in item.get("parameters", ())]
        assert [f"{{{name}}}" for name in declared] == [part for part in path.split("/") if part.startswith("{")]


async def test_every_reference_leads_to_a_failure_described_once(world: HostWorld) -> None:
    document = await _document(world)
    described = document["components"]["responses"]
    for path, method, operation in _operations(document):
        responses = operation["responses"]
        assert {"200", "204", "400", "403", "404", "503"} <= responses.keys(), (path, method)
        for response in responses.values():
            if "$ref" in response:
                assert response["$ref"].rpartition("/")[2] in described


async def test_patches_are_merge_patches_and_say_so(world: HostWorld) -> None:
    patches = [operation for _, method, operation in _operations(await _document(world)) if method == "patch"]
    assert patches
    assert {tuple(each["requestBody"]["content"]) for each in patches} == {("application/merge-patch+json",)}
    assert all("415" in each["responses"] for each in patches)


async def test_a_path_that_is_read_and_listed_keeps_the_parameters_of_both(world: HostWorld) -> None:
    reading = (await _document(world))["paths"]["/one/certs"]["get"]
    assert "list" in {each["name"] for each in reading["parameters"]}


async def test_answers_that_are_not_json_are_called_binary(world: HostWorld) -> None:
    paths = (await _document(world))["paths"]
    assert list(paths["/one/ca"]["get"]["responses"]["200"]["content"]) == ["*/*"]
    assert list(paths["/one/cert/{serial}"]["get"]["responses"]["200"]["content"]) == ["application/json"]


async def test_open_paths_ask_for_no_token_and_all_others_do(world: HostWorld) -> None:
    document = await _document(world)
    for path, _, operation in _operations(document):
        is_open = document["paths"][path]["x-vault-unauthenticated"]
        assert ("security" in operation) is not is_open


async def test_in_a_generic_document_two_mounts_of_a_type_are_one(world: HostWorld) -> None:
    paths = (await _document(world, "?generic_mount_paths=true"))["paths"]
    assert "/{pki_mount_path}/roles/{name}" in paths
    assert not [path for path in paths if path.startswith(("/one", "/two"))]


@pytest.mark.parametrize("code", [100, 199, 600, -1])
async def test_health_refuses_codes_that_are_no_final_status(world: HostWorld, code: int) -> None:
    """An informational status would leave the client waiting for the real one."""
    assert (await world.call("GET", f"sys/health?activecode={code}"))[0] == 400
