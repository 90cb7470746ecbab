"""The law that nothing acknowledged is lost: the server is killed again and again while it signs.

CHANCERY_KILL_ROUNDS sets the rounds. When a round kills is chosen by how many certificates were acknowledged, so that
the moment falls anywhere in the work, on a slow machine too.
"""

import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.server_child import is_running, process_tree
from tests.support.server_process import ConfiguredServer

ROUNDS = int(os.environ.get("CHANCERY_KILL_ROUNDS", "20"))
CLIENTS = 4
MOST_PER_ROUND = 60

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 10 * ROUNDS)]


class Load:
    """Clients that sign until the server dies, and what was acknowledged to them."""

    def __init__(self, server: ConfiguredServer, request: str) -> None:
        self._server = server
        self._request = request
        self._changed = threading.Condition()
        self._serials: list[str] = []
        self._complaints: list[str] = []
        self._killed = False
        self._threads = [threading.Thread(target=self._sign_until_killed) for _ in range(CLIENTS)]

    def run_until(self, acknowledged: int) -> list[str]:
        """Kill the server once that many certificates were acknowledged; return the serial numbers of all."""
        for thread in self._threads:
            thread.start()
        with self._changed:
            enough = self._changed.wait_for(
                lambda: len(self._serials) >= acknowledged or bool(self._complaints), timeout=30
            )
            self._killed = True
        self._server.kill()
        for thread in self._threads:
            thread.join()
        assert enough, "the server stopped answering"
        assert not self._complaints
        return self._serials

    def _sign_until_killed(self) -> None:
        with self._server.client() as client:
            while True:
                try:
                    answer = client.request("POST", "pki/sign/kill", {"csr": self._request})
                except (OSError, HTTPException, ValueError) as error:
                    self._lost(error)
                    return
                with self._changed:
                    if answer.status != 200:
                        self._complaints.append(f"{answer.status} {answer.body}")
                    else:
                        self._serials.append(answer.data["serial_number"])
                    self._changed.notify()
                if answer.status != 200:
                    return

    def _lost(self, error: Exception) -> None:
        """A connection may break only because the server was killed."""
        with self._changed:
            if not self._killed:
                self._complaints.append(f"the connection broke before the kill: {error!r}")
                self._changed.notify()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ConfiguredServer]:
    with ConfiguredServer(tmp_path) as server:
        with server.client() as client:
            server.register_key(client, "kill", mechanism="0x1041", curve="P256")
            client.write("sys/mounts/pki", type="pki")
            client.write("pki/root/generate/kms", managed_key_name="kill", common_name="Kill Root", ttl="700h")
            client.write("pki/roles/kill", allow_any_name=True, key_type="ec", key_bits=256, ttl="24h")
        server.stop()
        yield server


def test_nothing_acknowledged_is_lost(server: ConfiguredServer) -> None:
    request = _signing_request()
    acknowledged: list[str] = []
    for _ in range(ROUNDS):
        server.start()
        processes = list(process_tree(server.pid))
        acknowledged += Load(server, request).run_until(random.randint(0, MOST_PER_ROUND))
        _assert_gone(processes)

    server.start()
    assert len(set(acknowledged)) == len(acknowledged)
    assert _missing(server, acknowledged) == []
    server.stop()
    with closing(sqlite3.connect(server.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    _log.info("%d kills, %d acknowledged certificates, none missing", ROUNDS, len(acknowledged))


def _missing(server: ConfiguredServer, serials: list[str]) -> list[str]:
    with server.client() as client:
        return [serial for serial in serials if client.request("GET", f"pki/cert/{serial}").status != 200]


def _assert_gone(processes: list[int]) -> None:
    """Signers must notice that their server died: one left behind would hold the token."""
    give_up = time.monotonic() + 10
    while any(map(is_running, processes)):
        assert time.monotonic() < give_up, f"still running: {list(filter(is_running, processes))}"
        os.sched_yield()


def _signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=kill.example.com")
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
