"""Audit through the API of a whole host: what is recorded, what is refused, and what never shows."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from chancery.audit import build
from chancery.exchange import Message
from chancery.kit.request import Operation
from chancery.pipeline import Pipeline
from tests.support.audit_devices import FakeDevice, FakeDeviceType, verified
from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world

PIN = "8273645"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, audit={"directories": [str(tmp_path)]}) as made:
        yield made


async def enable(world: HostWorld, path: Path, name: str = "file", **options: str) -> Any:
    status, answer = await world.call(
        "POST", f"sys/audit/{name}", {"type": "file", "options": {"file_path": str(path), **options}}
    )
    return status if status == 204 else (status, answer["errors"])


def lines_of(path: Path, request_path: str, kind: str = "") -> list[dict[str, Any]]:
    documents = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [
        document
        for document in documents
        if document.get("request", {}).get("path") == request_path and kind in {"", document["type"]}
    ]


async def hashed(world: HostWorld, text: str, device: str = "file") -> str:
    _, answer = await world.call("POST", f"sys/audit-hash/{device}", {"input": text})
    hashed: str = answer["data"]["hash"]
    return hashed


async def issuing(world: HostWorld) -> None:
    """Mount a PKI with a root and a role that allows anything."""
    await world.call("POST", "sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    root = {"common_name": "Root", "key_type": "ec", "ttl": "8760h"}
    assert (await world.call("POST", "pki/root/generate/internal", root))[0] == 200
    role = {"allow_any_name": True, "key_type": "ec", "max_ttl": "24h"}
    assert (await world.call("POST", "pki/roles/leaf", role))[0] == 200


async def test_a_device_is_enabled_listed_and_disabled(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    assert await enable(world, log, mode="0640") == 204
    _, listed = await world.call("GET", "sys/audit")
    device = {
        "type": "file",
        "description": "",
        "options": {"file_path": str(log), "mode": "0640"},
        "local": False,
        "path": "file/",
    }
    assert listed["data"] == {"file/": device}
    assert listed["file/"] == device
    assert await enable(world, log) == (400, ["path already in use"])
    assert (await world.call("DELETE", "sys/audit/file"))[0] == 204
    assert (await world.call("DELETE", "sys/audit/file"))[0] == 204
    assert (await world.call("GET", "sys/audit"))[1]["data"] == {}
    size = log.stat().st_size
    await world.call("GET", "sys/mounts")
    assert log.stat().st_size == size
    assert verified(log).findings == []


async def test_requests_and_answers_are_recorded_in_vaults_shape(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    await issuing(world)
    _, issued = await world.call("POST", "pki/issue/leaf", {"common_name": "a.example.com"})
    request, response = lines_of(log, "pki/issue/leaf")
    token = await hashed(world, ROOT_TOKEN)
    assert list(request) == ["time", "type", "auth", "request", "chain"]
    assert list(response) == ["time", "type", "auth", "request", "response", "chain"]
    assert request["auth"] == response["auth"]
    assert request["request"] == response["request"]
    assert request["auth"]["client_token"] == request["request"]["client_token"] == token
    assert request["auth"]["policies"] == ["root"]
    assert request["auth"]["policy_results"] == {"allowed": True}
    assert request["request"]["operation"] == "update"
    assert request["request"]["mount_type"] == "pki"
    assert request["request"]["mount_point"] == "pki/"
    assert request["request"]["namespace"] == {"id": "root"}
    assert request["request"]["remote_address"] == "127.0.0.1"
    assert request["request"]["data"] == {"common_name": "a.example.com"}
    data = response["response"]["data"]
    assert data["serial_number"] == issued["data"]["serial_number"]
    assert data["certificate"] == issued["data"]["certificate"]
    assert data["private_key"] == await hashed(world, issued["data"]["private_key"])
    assert data["expiration"] == issued["data"]["expiration"]
    assert verified(log).findings == []


async def test_secrets_never_show(world: HostWorld, tmp_path: Path) -> None:
    await enable(world, tmp_path / "plain.log", "plain")
    await enable(world, tmp_path / "raw.log", "raw", log_raw="true", hmac_accessor="false")
    await issuing(world)
    tune = {"audit_non_hmac_response_keys": "private_key,serial_number", "audit_non_hmac_request_keys": "pin"}
    assert (await world.call("POST", "sys/mounts/pki/tune", tune))[0] == 204
    _, issued = await world.call(
        "POST", "pki/issue/leaf", {"common_name": "a", "pin": PIN, "nested": {"pin": int(PIN)}}
    )
    _, created = await world.call("POST", "auth/token/create", {"policies": ["default"], "id": "chosen-by-me"})
    await world.call("GET", "auth/token/lookup-self", token="chosen-by-me")
    await world.call("POST", "auth/token/lookup", {"token": "chosen-by-me"})
    await world.call("POST", f"auth/token/create?token={PIN}", {"password": PIN, "display_name": "shown"})
    for log in (tmp_path / "plain.log", tmp_path / "raw.log"):
        text = log.read_text()
        assert created["auth"]["client_token"] == "chosen-by-me"
        for secret in (issued["data"]["private_key"].splitlines()[1], PIN, ROOT_TOKEN, "chosen-by-me"):
            assert secret not in text
        assert verified(log).findings == []
    assert '"common_name":"Root"' in (tmp_path / "raw.log").read_text()
    assert created["auth"]["accessor"] in (tmp_path / "raw.log").read_text()
    assert created["auth"]["accessor"] not in (tmp_path / "plain.log").read_text()


async def test_refusals_are_recorded_with_who_was_refused(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    _, created = await world.call("POST", "auth/token/create", {"policies": ["default"], "ttl": "1h"})
    token = created["auth"]["client_token"]
    assert (await world.call("GET", "sys/mounts", token=token))[0] == 403
    assert (await world.call("GET", "sys/policies/acl/x", token="wrong"))[0] == 403
    assert (await world.call("GET", "nowhere/x"))[0] == 404
    request, response = lines_of(log, "sys/mounts")
    assert request["error"] == response["error"] == "permission denied"
    assert request["auth"]["policy_results"] == {"allowed": False}
    assert request["auth"]["policies"] == ["default"]
    assert request["auth"]["client_token"] == await hashed(world, token)
    wrong, _ = lines_of(log, "sys/policies/acl/x")
    assert wrong["auth"] == {"token_type": "default"}
    assert wrong["request"]["client_token"] == await hashed(world, "wrong")
    nowhere, _ = lines_of(log, "nowhere/x")
    assert "mount_point" not in nowhere["request"]
    assert "route entry not found" in nowhere["error"]


async def test_lists_wrong_input_and_raw_answers(world: HostWorld, tmp_path: Path) -> None:
    log, short = tmp_path / "audit.log", tmp_path / "short.log"
    await enable(world, log)
    await enable(world, short, "short", elide_list_responses="true")
    await issuing(world)
    await world.call("LIST", "pki/issuers")
    await world.call("GET", "pki/issuers?list=true")
    await world.call("POST", "pki/issue/leaf", {"common_name": "a", "ttl": "soon"})
    async with world.client.get(f"{world.address}/v1/pki/ca/pem") as answer:
        certificate = await answer.text()
    for line in lines_of(log, "pki/issuers/", "request"):
        assert line["request"]["operation"] == "list"
        assert "data" not in line["request"]
    elided = lines_of(short, "pki/issuers/", "response")[0]["response"]["data"]
    assert elided == {"keys": 1, "key_info": 1}
    assert "duration" in lines_of(log, "pki/issue/leaf", "response")[0]["error"]
    raw = lines_of(log, "pki/ca/pem", "response")[0]
    assert raw["response"]["data"]["http_status_code"] == 200
    assert raw["response"]["data"]["http_raw_body"] == await hashed(world, certificate)
    assert raw["auth"] == {"policy_results": {"allowed": True}, "token_type": "default"}


async def test_namespaces_show_and_cannot_audit(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    await world.call("POST", "sys/namespaces/team")
    assert (await world.call("GET", "team/sys/mounts"))[0] == 200
    line = lines_of(log, "sys/mounts", "request")[0]
    assert line["request"]["namespace"]["path"] == "team/"
    body = {"type": "file", "options": {"file_path": str(tmp_path / "theirs.log")}}
    assert (await world.call("POST", "team/sys/audit/file", body))[0] == 400
    assert (await world.call("GET", "team/sys/audit"))[0] == 400
    assert not (tmp_path / "theirs.log").exists()


async def test_probes_are_not_recorded(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    for path in ("sys/health", "sys/seal-status", "sys/leader", "sys/init"):
        await world.call("GET", path)
        assert lines_of(log, path) == []


async def test_headers_are_recorded_when_asked_for(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    base = "sys/config/auditing/request-headers"
    assert (await world.call("POST", f"{base}/X-Ticket", {}))[0] == 204
    assert (await world.call("POST", f"{base}/X-Hidden", {"hmac": True}))[0] == 204
    status, refused = await world.call("POST", f"{base}/X-Vault-Token", {})
    assert (status, "carries secrets" in refused["errors"][0]) == (400, True)
    assert (await world.call("POST", f"{base}/bad header", {}))[0] == 400
    _, listed = await world.call("GET", base)
    assert listed["data"] == {"headers": {"x-hidden": {"hmac": True}, "x-ticket": {"hmac": False}}}
    assert (await world.call("GET", f"{base}/x-TICKET"))[1]["data"] == {"x-ticket": {"hmac": False}}
    await world.call("GET", "sys/mounts", headers={"x-ticket": "T-1", "X-HIDDEN": "h", "X-Other": "o"})
    shown = lines_of(log, "sys/mounts", "request")[0]["request"]["headers"]
    assert shown == {"x-ticket": ["T-1"], "x-hidden": [await hashed(world, "h")]}
    assert (await world.call("DELETE", f"{base}/X-Ticket"))[0] == 204
    assert (await world.call("GET", f"{base}/X-Ticket"))[0] == 400


async def test_devices_come_back_after_unsealing_with_the_same_salt(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    before = await hashed(world, "text")
    assert (await world.call("POST", "sys/seal"))[0] == 204
    await world.host.unseal(world.unseal_key)
    assert await hashed(world, "text") == before
    assert (await world.call("GET", "sys/audit"))[1]["data"].keys() == {"file/"}
    assert len(verified(log).chains) == 1
    assert verified(log).findings == []


async def test_rotation_by_signal(world: HostWorld, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    await world.call("GET", "sys/mounts")
    old = log.rename(tmp_path / "audit.log.1")
    await world.host.reload(world.host.base.settings)
    await world.call("GET", "sys/policies/acl")
    assert verified(old, log).findings == []
    assert lines_of(log, "sys/policies/acl")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"type": "foo"}, 'unknown backend type: "foo"'),
    ({"options": {"file_path": "/x"}}, 'unknown backend type: ""'),
    ({"type": "file"}, "file_path is required"),
    ({"type": "file", "options": {"file_path": "/etc/cron.d/x"}}, "audit.directories"),
    ({"type": "file", "options": {"file_path": "{0}/chancery.db"}}, "something else than audit lines"),
    ({"type": "file", "options": {"file_path": "{0}/none/audit.log"}}, "No such file"),
    ({"type": "file", "options": {"file_path": "{0}/a", "format": "xml"}}, 'unknown format type "xml"'),
    ({"type": "file", "options": {"file_path": "{0}/a", "bogus": "1"}}, "no such option"),
    ({"type": "socket", "options": {"address": "127.0.0.1:22"}}, "audit.addresses"),
]


async def test_what_cannot_be_enabled_is_not(world: HostWorld, tmp_path: Path) -> None:
    database = (tmp_path / "chancery.db").read_bytes()[:4096]
    for body, message in WRONG:
        filled = orjson.loads(orjson.dumps(body).replace(b"{0}", str(tmp_path).encode()))
        status, answer = await world.call("POST", "sys/audit/x", filled)
        assert status == 400
        assert message in " ".join(answer["errors"])
    assert (await world.call("GET", "sys/audit"))[1]["data"] == {}
    assert (tmp_path / "chancery.db").read_bytes()[:4096] == database


async def test_only_sudo_may(world: HostWorld, tmp_path: Path) -> None:
    await world.call(
        "POST", "sys/policies/acl/almost", {"policy": 'path "sys/*" { capabilities = ["create","update","read"] }'}
    )
    _, created = await world.call("POST", "auth/token/create", {"policies": ["almost"]})
    token = created["auth"]["client_token"]
    for method, path in [
        ("POST", "sys/audit/file"),
        ("DELETE", "sys/audit/file"),
        ("GET", "sys/audit"),
        ("POST", "sys/config/auditing/request-headers/x"),
        ("GET", "sys/config/auditing/request-headers"),
    ]:
        assert (await world.call(method, path, {}, token=token))[0] == 403
    assert (await world.call("POST", "sys/audit-hash/none", {"input": "x"}, token=token))[0] == 400


class TestFailingDevices:
    """Devices that can be made to fail."""

    @pytest.fixture
    def devices(self) -> dict[str, FakeDevice]:
        return {"one": FakeDevice(), "two": FakeDevice()}

    @pytest.fixture
    def _installed(self, devices: dict[str, FakeDevice], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        types = {**build.installed_types(), "fake": FakeDeviceType(devices)}
        monkeypatch.setattr(build, "installed_types", lambda: types)
        yield
        for device in devices.values():
            device.gate.set()

    @pytest.fixture
    async def world(self, tmp_path: Path, _installed: None) -> AsyncIterator[HostWorld]:
        async with host_world(tmp_path, audit={"deadline": 1}) as made:
            for name in ("one", "two"):
                body = {"type": "fake", "options": {"which": name}}
                assert (await made.call("POST", f"sys/audit/{name}", body))[0] == 204
            yield made

    async def test_one_of_two_is_enough(
        self, world: HostWorld, devices: dict[str, FakeDevice], caplog: pytest.LogCaptureFixture
    ) -> None:
        devices["one"].trouble = OSError(28, "No space left on device")
        for _ in range(5):
            assert (await world.call("GET", "sys/mounts"))[0] == 200
        tally = world.host.structure.audit.tallies()["one/"]
        assert tally.lost == 10
        url, headers = f"{world.address}/v1/sys/metrics?format=prometheus", {"X-Vault-Token": ROOT_TOKEN}
        async with world.client.get(url, headers=headers) as answer:
            metrics = await answer.text()
        assert 'chancery_audit_lines_total{device="one/",outcome="lost"}' in metrics
        assert 'chancery_audit_device_failing{device="one/"} 1' in metrics
        assert "audit device one/ fails: No space left on device" in caplog.text

    async def test_without_any_the_act_is_not_done(self, world: HostWorld, devices: dict[str, FakeDevice]) -> None:
        for device in devices.values():
            device.trouble = OSError(28, "No space left on device")
        status, answer = await world.call(
            "POST", "sys/policies/acl/new", {"policy": 'path "x" { capabilities = ["read"] }'}
        )
        assert status == 503
        assert "was not served" in answer["errors"][0]
        assert (await world.call("GET", "sys/health"))[0] == 200
        devices["one"].trouble = None
        assert (await world.call("GET", "sys/policies/acl/new"))[0] == 404

    async def test_an_answer_that_nobody_recorded_is_withheld(
        self, world: HostWorld, devices: dict[str, FakeDevice]
    ) -> None:
        class FailsForAnswers(OSError):
            """Raised only for lines of answers."""

        for device in devices.values():
            taken = device.write

            def write(records: Any, taken: Any = taken) -> None:
                if any(b'"type":"response"' in record for record in records):
                    raise FailsForAnswers("the device is gone")
                taken(records)

            device.write = write  # type: ignore[method-assign]  # the fake is made to fail for half of its lines
        status, answer = await world.call("POST", "auth/token/create", {"policies": ["default"]})
        assert status == 503
        assert "withheld" in answer["errors"][0]
        assert "auth" not in answer

    async def test_a_device_that_hangs_delays_one_round_of_requests(
        self, world: HostWorld, devices: dict[str, FakeDevice]
    ) -> None:
        devices["one"].gate.clear()
        assert (await world.call("GET", "sys/mounts"))[0] == 200
        assert "did not answer" in world.host.structure.audit._opened["one/"].live.writer.trouble
        assert (await world.call("GET", "sys/mounts"))[0] == 200
        devices["one"].gate.set()

    async def test_what_is_refused_is_refused_even_unrecorded(
        self, world: HostWorld, devices: dict[str, FakeDevice]
    ) -> None:
        for device in devices.values():
            device.trouble = OSError("gone")
        assert (await world.call("GET", "sys/mounts", token="wrong"))[0] == 503


async def test_what_is_given_up_or_fails_is_recorded_all_the_same(
    world: HostWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.log"
    await enable(world, log)
    for failure in (asyncio.CancelledError(), ZeroDivisionError("secret detail")):

        async def answer(*_: Any, failure: BaseException = failure) -> None:
            raise failure

        monkeypatch.setattr(Pipeline, "_answer", answer)
        with pytest.raises(type(failure)):
            await world.host.serve(Message("an-id", Operation.READ, "sys/mounts", {}, ROOT_TOKEN))
    errors = [line["error"] for line in lines_of(log, "sys/mounts", "response")]
    assert errors == ["given up before it was answered", "internal error"]
    assert world.host.structure.audit.trail._asked == {}


async def test_declared_devices(tmp_path: Path) -> None:
    log = tmp_path / "declared.log"
    declared = [{"type": "file", "path": "always", "options": {"file_path": str(log), "fsync": True}}]
    async with host_world(tmp_path, audit={"devices": declared}) as world:
        await world.call("GET", "sys/mounts")
        assert lines_of(log, "sys/mounts")
        status, answer = await world.call("DELETE", "sys/audit/always")
        assert (status, "configuration file" in answer["errors"][0]) == (400, True)
        assert (await world.call("GET", "sys/audit"))[1]["data"]["always/"]["options"]["fsync"] == "true"
        assert verified(log).findings == []


async def test_declared_devices_that_cannot_be_stop_the_server(tmp_path: Path) -> None:
    from chancery.settings import SettingsError

    declared = [
        {"type": "file", "options": {"file_path": "relative"}},
        {"type": "scroll"},
        {"type": "file", "options": {"file_path": "/tmp/x", "log_raw": "perhaps"}},
    ]
    with pytest.raises(SettingsError) as caught:
        async with host_world(tmp_path, audit={"devices": declared}):
            pass
    for name in (
        "audit.devices.0.options.file_path",
        "audit.devices.1.type",
        "audit.devices.2.options.log_raw",
        "two devices",
    ):
        assert name in str(caught.value)
