"""The servers that are compared, each brought to the same state: a P-256 root CA and one role, certificates stored.

Ours keeps the CA key in SoftHSM and rows in SQLite (WAL, synchronous=FULL). The peer is OpenBao with raft storage and
a software key. Neither has an audit device, leases for certificates, or TLS.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.support.server_client import ApiClient
from tests.support.server_openbao import OpenBaoServer
from tests.support.server_process import ConfiguredServer

ROLE = "example-dot-com"

ROLE_PARAMETERS = {
    "allowed_domains": "example.com",
    "allow_subdomains": True,
    "max_ttl": "72h",
    "key_type": "ec",
    "key_bits": 256,
    "no_store": False,
    "generate_lease": False,
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A running server whose mount `pki` can sign. `pid` is the root of its process tree."""

    name: str
    address: str
    token: str
    pid: int
    authority: x509.Certificate

    def client(self) -> ApiClient:
        """Return a new client with the root token."""
        return ApiClient(self.address, self.token)


@contextmanager
def ours(directory: Path, *, name: str = "ours", settings: Mapping[str, Any] | None = None) -> Iterator[Contender]:
    """Run Chancery from a configuration file; the CA key is generated inside SoftHSM. `settings` are its own."""
    with ConfiguredServer(directory, settings=settings) as server, server.client() as client:
        server.register_key(client, "bench", mechanism="0x1041", curve="P256")
        client.write("sys/mounts/pki", type="pki", config={"max_lease_ttl": "87600h"})
        root = client.write(
            "pki/root/generate/kms", managed_key_name="bench", common_name="Bench Root", ttl="8760h"
        ).data
        client.write(f"pki/roles/{ROLE}", **ROLE_PARAMETERS)
        yield Contender(name, server.address, server.token, server.pid, _certificate(root["certificate"]))


@contextmanager
def peer(directory: Path) -> Iterator[Contender]:
    """Run OpenBao on raft storage; the CA key is one of its software keys."""
    with OpenBaoServer(directory) as server, server.client() as client:
        client.write("sys/mounts/pki", type="pki", config={"max_lease_ttl": "87600h"})
        root = client.write(
            "pki/root/generate/internal", key_type="ec", key_bits=256, common_name="Bench Root", ttl="8760h"
        ).data
        client.write(f"pki/roles/{ROLE}", **ROLE_PARAMETERS)
        yield Contender("peer", server.address, server.token, server.pid, _certificate(root["certificate"]))


def open_all(stack: ExitStack, names: Sequence[str], directory: Path) -> list[Contender]:
    """Start the named contenders, each in a directory of its own on the same file system."""
    makers = {"ours": ours, "peer": peer}
    opened = []
    for name in names:
        home = directory / name
        home.mkdir()
        opened.append(stack.enter_context(makers[name](home)))
    return opened


def _certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())
