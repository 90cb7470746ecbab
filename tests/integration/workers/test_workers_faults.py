"""Faults under load, with two workers: whatever was acknowledged is there afterwards, and the server is whole again."""

import os
import resource
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.server_client import Answer, ApiClient
from tests.support.server_process import ConfiguredServer
from tests.support.workers_clients import client_of_each, worker_pids

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CLIENTS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ConfiguredServer]:
    with ConfiguredServer(tmp_path, settings={"workers": 2}) as server:
        with server.client() as client:
            server.register_key(client, "fault", mechanism="0x1041", curve="P256")
            client.write("sys/mounts/pki", type="pki")
            client.write("pki/root/generate/kms", managed_key_name="fault", common_name="Fault Root", ttl="700h")
            client.write("pki/roles/fault", allow_any_name=True, key_type="ec", key_bits=256, ttl="24h")
        with client_of_each(server, 2):
            yield server


class Load:
    """Clients that sign until told to stop, each on a new connection after every loss."""

    def __init__(self, server: ConfiguredServer) -> None:
        self._server = server
        self._csr = _signing_request()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: list[str] = []
        self.refused: list[Answer] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sign while the context lasts."""
        threads = [threading.Thread(target=self._sign) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def wait_for(self, *, more: int = 0, refusals: int = 0) -> None:
        """Wait until as many more were acknowledged, or refused."""
        signed, failed = len(self.acknowledged) + more, len(self.refused) + refusals
        self._server.running().wait_until(
            lambda: len(self.acknowledged) >= signed and len(self.refused) >= failed, what="working on"
        )

    def _sign(self) -> None:
        with self._server.client() as client:
            while not self._stop.is_set():
                try:
                    answer = client.request("POST", "pki/sign/fault", {"csr": self._csr})
                except (OSError, HTTPException):
                    continue
                with self._lock:
                    if answer.status == 200:
                        self.acknowledged.append(answer.data["serial_number"])
                    else:
                        self.refused.append(answer)


def _missing(server: ConfiguredServer, acknowledged: list[str]) -> list[str]:
    """Return what the server does not have, though it said so."""
    with server.client() as client:
        return [serial for serial in acknowledged if client.request("GET", f"pki/cert/{serial}").status != 200]


def _assert_whole(server: ConfiguredServer) -> None:
    server.stop()
    with closing(sqlite3.connect(server.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_nothing_acknowledged_is_lost_when_workers_are_killed(server: ConfiguredServer) -> None:
    load = Load(server)
    with load.running():
        for round_ in range(6):
            load.wait_for(more=15)
            os.kill(worker_pids(server)[round_ % 2], signal.SIGKILL)
            load.wait_for(more=15)
            with client_of_each(server, 2):
                pass
    assert len(set(load.acknowledged)) == len(load.acknowledged)
    assert not _missing(server, load.acknowledged)
    assert not [answer for answer in load.refused if answer.status != 503]
    _assert_whole(server)


def test_a_full_disk_refuses_writes_and_nothing_else_until_there_is_room(server: ConfiguredServer) -> None:
    load = Load(server)
    with load.running():
        load.wait_for(more=20)
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in worker_pids(server)}
        for pid, (_, hard) in limits.items():  # no file may grow: what a full disk says to whoever writes
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
        load.wait_for(refusals=20)
        with server.client() as client:
            assert client.read("sys/mounts").status == 200
            assert client.read("pki/roles/fault").status == 200
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        load.wait_for(more=50)
    assert {answer.status for answer in load.refused} == {503}
    assert all("database" in answer.errors[0] for answer in load.refused)
    assert set(limits) == set(worker_pids(server))
    assert not _missing(server, load.acknowledged)
    _assert_whole(server)


def test_a_worker_that_hangs_does_not_stay_unsealed(server: ConfiguredServer) -> None:
    """Sealing waits for every worker; one that does not answer is killed, and its replacement is sealed."""
    eldest, younger = worker_pids(server)
    with client_of_each(server, 2) as clients:
        os.kill(younger, signal.SIGSTOP)
        answers: list[int] = []
        threads = [threading.Thread(target=lambda client=client: answers.append(_seal(client))) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 204 in answers
    server.running().wait_until(
        lambda: younger not in worker_pids(server) and len(worker_pids(server)) == 2, what="rid of the worker that hung"
    )
    assert eldest in worker_pids(server)
    for _ in range(10):
        with server.client() as client:
            assert client.request("GET", "sys/health").status == 503
    server.make_ready()
    with client_of_each(server, 2):
        pass


def _seal(client: ApiClient) -> int:
    """Seal over a connection whose worker may be killed meanwhile."""
    try:
        return client.write("sys/seal").status
    except (OSError, HTTPException):
        return 0


def _signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=fault.example.com")
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
