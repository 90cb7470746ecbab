"""Real servers on a real PostgreSQL: what one changes binds the other, and the database may crash or fall silent."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPException
from typing import Any, NamedTuple

import pytest

from chancery.coherence import BOUND
from tests.support.server_client import Refused, health
from tests.support.server_process import ConfiguredServer
from tests.support.storage_postgres import PostgresServer, postgres_server

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MAX_STALENESS = 2
CRASHES = 4


class Site(NamedTuple):
    """Two nodes with a software CA at `pki/`, and what they keep everything in."""

    here: ConfiguredServer
    there: ConfiguredServer
    database: PostgresServer
    url: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    with postgres_server() as database, ExitStack() as stack:
        name = database.fresh_database()
        storage = {"url": database.url(name), "max_staleness": MAX_STALENESS}
        nodes = [ConfiguredServer(directory / node, settings={"storage": storage}) for node in ("here", "there")]
        here, there = nodes
        stack.enter_context(here)
        there.join(here)
        stack.enter_context(there)
        with here.client() as client:
            client.write("sys/mounts/pki", type="pki")
            client.write("pki/root/generate/internal", common_name="Root", key_type="ec", ttl="24h")
            client.write("pki/roles/web", allowed_domains="example.com", allow_subdomains=True, key_type="ec", ttl="1h")
        yield Site(here, there, database, name)


def seconds_until(condition: Callable[[], bool], limit: float = 30.0) -> float:
    """Return how long it took until something held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit, "it did not happen"
        time.sleep(0.005)
    return time.monotonic() - began


def test_changes_are_in_force_on_the_other_node_within_the_bound(site: Site) -> None:
    with site.here.client() as here, site.there.client() as there, site.there.client() as reader:
        here.write("sys/mounts/followed", type="pki")
        here.write("followed/roles/web", allowed_domains="example.com", key_type="ec")
        seconds_until(lambda: there.request("GET", "followed/roles/web").status == 200)

        def changed(change: Callable[[], Any], shows: Callable[[], bool]) -> float:
            change()
            return seconds_until(shows)

        here.write("sys/policies/acl/reader", policy='path "followed/roles/*" { capabilities = ["read"] }')
        token = here.write("auth/token/create", policies=["reader"]).body["auth"]["client_token"]
        reader.token = token

        def status() -> int:
            return reader.request("GET", "followed/roles/web").status

        delays = {
            "policy": changed(
                lambda: here.write(
                    "sys/policies/acl/reader", policy='path "followed/roles/*" { capabilities = ["deny"] }'
                ),
                lambda: status() == 403,
            ),
            "policy back": changed(
                lambda: here.write(
                    "sys/policies/acl/reader", policy='path "followed/roles/*" { capabilities = ["read"] }'
                ),
                lambda: status() == 200,
            ),
            "role": changed(
                lambda: here.write("followed/roles/web", allowed_domains="example.org", key_type="ec"),
                lambda: reader.request("GET", "followed/roles/web").data["allowed_domains"] == ["example.org"],
            ),
            "token": changed(lambda: here.write("auth/token/revoke", token=token), lambda: status() == 403),
            "mount": changed(
                lambda: here.request("DELETE", "sys/mounts/followed"),
                lambda: there.request("GET", "followed/roles/web").status == 404,
            ),
        }
    _log.info("followed after %s", {what: f"{delay:.3f} s" for what, delay in delays.items()})
    assert max(delays.values()) < BOUND, delays


def test_nothing_is_lost_or_doubled_when_the_database_crashes(site: Site) -> None:
    load = Load([site.here, site.there])
    load.begin()
    for _ in range(CRASHES):
        load.wait_for_more(40)
        site.database.kill()
        site.database.start()
    load.wait_for_more(40)  # by itself, on nodes that were not touched
    load.end()
    stored = site.database.sql("SELECT encode(serial, 'hex') FROM ca_certificates WHERE role = 'web'", site.url).split()
    assert len(stored) == len(set(stored))
    lost = {serial.replace(":", "").lstrip("0") for serial in load.acknowledged} - {one.lstrip("0") for one in stored}
    assert not lost
    assert len(stored) <= load.attempts
    assert load.refusals <= {503}


def test_a_node_whose_database_falls_silent_says_so(site: Site) -> None:
    with site.there.client() as there:
        assert there.request("GET", "auth/token/lookup-self").status == 200
        site.database.pause()
        began = time.monotonic()
        seconds_until(lambda: there.request("GET", "auth/token/lookup-self").status == 503)
        assert MAX_STALENESS - 1 < time.monotonic() - began < MAX_STALENESS + 1
        assert health(site.there.address) == 503
        site.database.resume()
        seconds_until(lambda: there.request("GET", "auth/token/lookup-self").status == 200)


class Load:
    """Clients that have certificates issued by several nodes, again and again, whatever happens."""

    def __init__(self, nodes: list[ConfiguredServer], clients: int = 4) -> None:
        self._changed = threading.Condition()
        self._ending = False
        self.acknowledged: list[str] = []
        self.attempts = 0
        self.refusals: set[int] = set()
        self._threads = [
            threading.Thread(target=self._run, args=(node,), daemon=True) for node in nodes for _ in range(clients)
        ]

    def begin(self) -> None:
        """Start every client."""
        for thread in self._threads:
            thread.start()

    def wait_for_more(self, number: int) -> None:
        """Return once so many more certificates were acknowledged."""
        with self._changed:
            wanted = len(self.acknowledged) + number
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= wanted, timeout=60), (
                "service did not return"
            )

    def end(self) -> None:
        """Let every client finish."""
        self._ending = True
        for thread in self._threads:
            thread.join(60)

    def _run(self, node: ConfiguredServer) -> None:
        with node.client() as client:
            while not self._ending:
                with self._changed:
                    self.attempts += 1
                try:
                    serial = client.write("pki/issue/web", common_name="a.example.com").data["serial_number"]
                except Refused as refused:
                    self.refusals.add(refused.answer.status)
                    time.sleep(0.02)
                    continue
                except (OSError, HTTPException):
                    self.refusals.add(0)  # a node may refuse while its database is away, but not hang up
                    return
                with self._changed:
                    self.acknowledged.append(serial)
                    self._changed.notify_all()
