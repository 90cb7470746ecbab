"""sys/metrics and sys/in-flight-req through a whole host."""

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.host_world import HostWorld, host_world


async def _text(world: HostWorld, token: str = "root-for-tests") -> dict[tuple[str, ...], float]:
    async with world.client.get(
        f"{world.address}/v1/sys/metrics?format=prometheus", headers={"X-Vault-Token": token}
    ) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        families = text_string_to_metric_families(await answer.text())
        return {
            (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "le")): sample.value
            for family in families
            for sample in family.samples
        }


async def test_requests_are_counted_by_route_and_status_and_never_by_path(tmp_path: Path) -> None:
    async with host_world(tmp_path) as world:
        for name in ("one", "two"):
            assert (await world.call("GET", f"sys/policies/acl/{name}"))[0] == 404
        await world.call("GET", "made/up/by/a/client")
        await world.call("GET", "sys/health")
        counted = await _text(world)
    name = "chancery_request_duration_seconds_count"
    assert counted[name, "404", "GET", "system", "policies/acl/{name...}"] == 2
    assert counted[name, "200", "GET", "system", "health"] == 1
    assert counted[name, "404", "GET", "none", "none"] == 1
    assert not any("made" in part for key in counted for part in key)


async def test_metrics_need_a_token_that_may_read_them(tmp_path: Path) -> None:
    async with host_world(tmp_path) as world:
        for path in ("sys/metrics", "sys/in-flight-req"):
            assert (await world.call("GET", path, token=""))[0] == 403
        token = (await world.call("POST", "auth/token/create", {"policies": ["default"]}))[1]["auth"]["client_token"]
        assert (await world.call("GET", "sys/metrics", token=token))[0] == 403


async def test_open_metrics_are_read_without_a_token_and_while_sealed(tmp_path: Path) -> None:
    async with host_world(tmp_path, telemetry={"unauthenticated_metrics_access": True}) as world:
        assert (await world.call("GET", "sys/metrics", token=""))[0] == 200
        await world.call("PUT", "sys/seal")
        status, document = await world.call("GET", "sys/metrics", token="")
        assert status == 200
        assert set(document) == {"Timestamp", "Gauges", "Points", "Counters", "Samples"}
        assert (await world.call("GET", "sys/in-flight-req", token=""))[0] == 503


async def test_a_client_that_accepts_text_gets_text(tmp_path: Path) -> None:
    async with (
        host_world(tmp_path) as world,
        world.client.get(
            f"{world.address}/v1/sys/metrics",
            headers={"X-Vault-Token": "root-for-tests", "Accept": "application/openmetrics-text;version=1.0.0,*/*"},
        ) as answer,
    ):
        assert answer.content_type == "text/plain"


async def test_requests_in_flight_show_themselves(tmp_path: Path) -> None:
    async with host_world(tmp_path) as world:
        answers = await asyncio.gather(*(world.call("GET", "sys/in-flight-req?secret=x") for _ in range(3)))
        for status, found in answers:
            assert status == 200
            assert found
            for request in found.values():
                assert request["request_path"] == "/v1/sys/in-flight-req"
                assert request["request_method"] == "GET"
                assert request["client_remote_address"] == "127.0.0.1"
