"""Two workers behind one address: unsealed, sealed, reloaded and stopped together, replaced one by one."""

import os
import signal
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.server_child import is_running, process_tree
from tests.support.server_client import ApiClient
from tests.support.server_process import ConfiguredServer, DevServer
from tests.support.workers_clients import client_of_each, worker_of, worker_pids

pytestmark = pytest.mark.slow

READER = 'path "sys/mounts" {{ capabilities = ["{}"] }}'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ConfiguredServer]:
    with ConfiguredServer(tmp_path, settings={"workers": 2}) as server:
        with client_of_each(server, 2):  # the second worker starts when the first one serves
            pass
        yield server


def _statuses(server: ConfiguredServer, path: str, connections: int = 20) -> set[int]:
    """Return what as many new connections, which fall to all workers, are answered."""
    statuses = set()
    for _ in range(connections):
        with server.client() as client:
            statuses.add(client.request("GET", path).status)
    return statuses


def _await_replacement(server: ConfiguredServer, dead: int) -> None:
    server.running().wait_until(
        lambda: dead not in worker_pids(server) and len(worker_pids(server)) == 2, what="with a replacement"
    )


def _await_count(server: ConfiguredServer, answered: list[int], wanted: int) -> None:
    server.running().wait_until(lambda: answered[0] > wanted, what="answering on")


def test_unsealing_and_sealing_concern_every_worker_at_once(server: ConfiguredServer) -> None:
    assert _statuses(server, "sys/health") == {200}
    with server.client() as client:
        client.write("sys/seal")
    assert _statuses(server, "sys/health") == {503}
    server.make_ready()
    assert _statuses(server, "sys/health") == {200}


def test_shares_come_together_wherever_they_arrive(tmp_path: Path) -> None:
    server = ConfiguredServer(tmp_path, settings={"workers": 2})
    try:
        server.listen()
        with server.client() as client:
            keys = client.write("sys/init", secret_shares=5, secret_threshold=4).body["keys"]
        assert _statuses(server, "sys/health") == {503}
        for progress, key in enumerate(keys[:4], start=1):
            for _ in range(5):
                with server.client() as client:
                    assert client.read("sys/seal-status").body["progress"] == progress - 1
            with server.client() as client:
                client.write("sys/unseal", key=key)
        assert _statuses(server, "sys/health") == {200}
    finally:
        server.sweep()


def test_a_change_is_in_force_everywhere_when_it_is_answered(server: ConfiguredServer) -> None:
    with client_of_each(server, 2) as (one, other):
        one.write("sys/policies/acl/reader", policy=READER.format("read"))
        token = one.write("auth/token/create", policies=["reader"], no_default_policy=True).body["auth"]["client_token"]
        with ApiClient(server.address, token) as reader:
            while worker_of_reader(reader) == worker_of(one):
                reader.close()
            for number in range(50):
                one.write("sys/policies/acl/reader", policy=READER.format("read" if number % 2 else "deny"))
                assert reader.request("GET", "sys/mounts").status == (200 if number % 2 else 403)
        for number in range(20):
            one.write(f"sys/mounts/pki-{number}", type="pki")
            assert other.request("POST", f"pki-{number}/roles/r", {"allow_any_name": True}).status < 300
            other.delete(f"sys/mounts/pki-{number}")
            assert one.request("GET", f"pki-{number}/roles/r").status == 404
        for _ in range(20):
            token = one.write("auth/token/create", policies=["root"]).body["auth"]["client_token"]
            other.write("auth/token/lookup", token=token)
            one.write("auth/token/revoke", token=token)
            assert other.request("POST", "auth/token/lookup", {"token": token}).status == 403


def worker_of_reader(client: ApiClient) -> str:
    """Return the worker of a client that may read mounts and nothing else."""
    return str(client.read("sys/mounts").body["request_id"])[:23]


def test_a_worker_that_dies_is_replaced_unsealed_and_the_others_connections_live_on(server: ConfiguredServer) -> None:
    with client_of_each(server, 2) as clients:
        victim, survivor = worker_pids(server)
        os.kill(victim, signal.SIGKILL)
        lost = 0
        for client in clients:
            try:
                client.read("auth/token/lookup-self")
            except (OSError, HTTPException):
                lost += 1
        assert lost == 1
        server.running().wait_until(lambda: len(worker_pids(server)) == 2, what="with two workers")
        assert _statuses(server, "sys/mounts") == {200}
    with client_of_each(server, 2):
        assert survivor in worker_pids(server)
        assert victim not in worker_pids(server)


def test_the_last_worker_unseals_its_replacements_one_after_the_other(server: ConfiguredServer) -> None:
    for _ in range(3):
        for pid in worker_pids(server):
            os.kill(pid, signal.SIGKILL)
            _await_replacement(server, pid)
            with client_of_each(server, 2):
                assert _statuses(server, "sys/mounts", 10) == {200}


def test_requests_go_on_while_workers_are_killed(server: ConfiguredServer) -> None:
    stop, answered, refused = threading.Event(), [0], list[int]()

    def ask() -> None:
        with server.client() as client:
            while not stop.is_set():
                try:
                    status = client.request("GET", "sys/mounts").status
                except (OSError, HTTPException):
                    continue  # it was the worker that died; the next connection finds another
                answered[0] += 1
                if status != 200:
                    refused.append(status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            wanted = answered[0] + 100
            os.kill(worker_pids(server)[0], signal.SIGKILL)
            _await_count(server, answered, wanted)
            with client_of_each(server, 2):
                pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not refused


def test_a_hangup_reaches_every_worker(server: ConfiguredServer) -> None:
    key = {"token_label": server.hsm.label, "pin": server.hsm.pin, "key_label": "k", "mechanism": "0x1041"}
    server.settings["kms_libraries"].append(server.settings["kms_libraries"][0] | {"name": "spare"})
    server.command()
    server.running().send(signal.SIGHUP)
    server.running().wait_until(
        lambda: server.running().output().count("configuration reloaded") == 2, what="reloaded by both"
    )
    with client_of_each(server, 2) as clients:
        for number, client in enumerate(clients):
            client.write(f"sys/managed-keys/pkcs11/k{number}", library="spare", **key)


def test_an_orderly_end_ends_all_of_them_with_success(server: ConfiguredServer) -> None:
    processes = list(process_tree(server.pid))
    assert server.running().terminate() == 0
    assert not [pid for pid in processes if is_running(pid)]
    server.start()
    assert _statuses(server, "sys/mounts") == {200}


def test_workers_do_not_outlive_their_supervisor(server: ConfiguredServer) -> None:
    processes = list(process_tree(server.pid))
    server.kill()
    gone = threading.Event()
    for _ in range(1000):
        if not any(map(is_running, processes)):
            gone.set()
            break
        gone.wait(0.01)
    assert gone.is_set()
    server.start()


def test_metrics_and_requests_in_flight_are_those_of_all_workers(server: ConfiguredServer) -> None:
    with client_of_each(server, 2) as clients:
        for client in clients:
            for _ in range(10):
                client.request("GET", "sys/policies/acl/absent")
        for client in clients:
            samples = client.read("sys/metrics").body["Samples"]
            (absent,) = (sample for sample in samples if sample["Labels"].get("route") == "policies/acl/{name...}")
            assert absent["Count"] == 20


def test_a_development_server_may_have_workers_too(tmp_path: Path) -> None:
    class Several(DevServer):
        def command(self) -> list[str]:
            return [*super().command(), "--dev-workers=2"]

    with Several(tmp_path) as server, client_of_each(server, 2) as clients:
        for client in clients:
            assert client.read("sys/mounts").status == 200
        assert server.running().output().count("Root token:") == 1
        os.kill(worker_pids(server)[0], signal.SIGKILL)


def test_a_server_that_cannot_start_says_why_once(tmp_path: Path) -> None:
    server = ConfiguredServer(tmp_path, settings={"workers": 3})
    server.database.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    child = None
    try:
        from tests.support.server_child import Child

        child = Child(server.command(), log=server.log)
        assert child.wait() == 1
        assert child.output().count("chancery: ") == 1
        assert "Traceback" not in child.output()
    finally:
        if child is not None:
            child.sweep()


def test_a_wrong_pin_is_tried_once_by_all_workers_together_and_once_more_each_time_it_is_written(
    server: ConfiguredServer,
) -> None:
    with client_of_each(server, 2) as clients:

        def write(pin: str) -> None:
            clients[0].write(
                "sys/managed-keys/pkcs11/k",
                library=server.hsm.library.name,
                token_label=server.hsm.label,
                pin=pin,
                key_label="k",
                mechanism="0x1041",
                curve="P256",
                allow_generate_key=True,
            )

        for attempts in (1, 2):
            write("0000")
            for client in [*clients, *clients]:
                answer = client.request("POST", "sys/managed-keys/pkcs11/k/test/sign")
                assert "CKR_PIN_INCORRECT" in answer.errors[0]
            counters = clients[1].read("sys/metrics").body["Counters"]
            assert [each["Count"] for each in counters if each["Labels"].get("code") == "CKR_PIN_INCORRECT"] == [
                attempts
            ]
        write(server.hsm.pin)
        for client in clients:
            client.write("sys/managed-keys/pkcs11/k/test/sign")


def test_what_one_worker_seals_under_a_new_key_every_other_opens_at_once(server: ConfiguredServer) -> None:
    with client_of_each(server, 2) as clients:
        for number in range(20):
            one, other = clients if number % 2 else clients[::-1]
            one.write("sys/rotate")
            one.write(f"sys/policies/acl/rotated-{number}", policy=READER.format("read"))
            assert other.read(f"sys/policies/acl/rotated-{number}").status == 200
