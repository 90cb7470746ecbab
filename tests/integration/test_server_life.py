"""The life of a server process: refused settings, restarts, reloads, orderly ends."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server_child import Child
from tests.support.server_client import ApiClient, Refused
from tests.support.server_process import CHANCERY, ConfiguredServer, DevServer

pytestmark = pytest.mark.slow


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[ConfiguredServer]:
    with ConfiguredServer(tmp_path) as server:
        yield server


def _mounts(client: ApiClient) -> set[str]:
    return set(client.read("sys/mounts").data)


def test_wrong_settings_are_refused_all_at_once(tmp_path: Path) -> None:
    configuration = tmp_path / "chancery.yaml"
    configuration.write_text(
        "listeners: [{address: nowhere}]\nstorage: {url: 'oracle://x'}\nworker: 1\nlog: {level: chatty}\n"
    )
    server = Child([CHANCERY, "server", f"--config={configuration}"], log=tmp_path / "log")
    assert server.wait() == 1
    for name in ("listeners", "storage.url", "worker", "log.level"):
        assert name in server.output()
    assert "Traceback" not in server.output()


def test_a_port_in_use_is_named(configured: ConfiguredServer, tmp_path: Path) -> None:
    second = tmp_path / "second.yaml"
    second.write_text(json.dumps(configured.settings | {"storage": {"url": f"sqlite:///{tmp_path}/second.db"}}))
    server = Child([CHANCERY, "server", f"--config={second}"], log=tmp_path / "log")
    assert server.wait() == 1
    assert configured.address.removeprefix("http://") in server.output()
    assert "Traceback" not in server.output()


def test_data_outlives_an_orderly_end_and_the_server_comes_back_sealed(configured: ConfiguredServer) -> None:
    with configured.client() as client:
        client.write("sys/mounts/pki", type="pki")
    assert configured.running().terminate() == 0
    configured.listen()
    with configured.client() as client:
        assert client.request("GET", "sys/mounts").status == 503
        configured.make_ready()
        assert "pki/" in _mounts(client)


def test_idle_connections_do_not_delay_the_end(configured: ConfiguredServer) -> None:
    with configured.client() as idle:
        idle.read("sys/health")
        configured.running().send(signal.SIGTERM)
        assert configured.running().wait(deadline=15) == 0  # half of limits.shutdown_timeout


def test_sealing_forgets_everything_until_the_key_comes_again(configured: ConfiguredServer) -> None:
    with configured.client() as client:
        client.write("sys/mounts/pki", type="pki")
        client.write("sys/seal")
        assert client.request("GET", "pki/roles/any").status == 503
        assert client.request("GET", "sys/seal-status").body["sealed"] is True
        configured.make_ready()
        assert client.request("GET", "pki/roles/any").status == 404


def test_a_hangup_brings_new_kms_libraries(configured: ConfiguredServer) -> None:
    key = {"token_label": configured.hsm.label, "pin": configured.hsm.pin, "key_label": "k", "mechanism": "0x1041"}
    with configured.client() as client:
        with pytest.raises(Refused, match="library"):
            client.write("sys/managed-keys/pkcs11/k", library="spare", **key)
        configured.settings["kms_libraries"].append(configured.settings["kms_libraries"][0] | {"name": "spare"})
        configured.command()
        configured.running().send(signal.SIGHUP)
        configured.running().wait_until(lambda: "reloaded" in configured.running().output(), what="reloaded")
        client.write("sys/managed-keys/pkcs11/k", library="spare", **key)


def test_bad_settings_at_a_hangup_change_nothing(configured: ConfiguredServer) -> None:
    configured.settings["nonsense"] = 1
    configured.command()
    configured.running().send(signal.SIGHUP)
    configured.running().wait_until(lambda: "nonsense" in configured.running().output(), what="complaining")
    with configured.client() as client:
        assert client.read("sys/health").status == 200


def test_a_development_server_keeps_its_data_and_its_token(tmp_path: Path) -> None:
    with DevServer(tmp_path) as server:
        with server.client() as client:
            client.write("sys/mounts/pki", type="pki")
        server.kill()
        server.start()
        with server.client() as client:
            assert "pki/" in _mounts(client)
        assert server.running().terminate() == 0
