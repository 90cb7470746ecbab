"""A real `chancery server` in a process of its own, with SQLite and SoftHSM in a directory.

Two ways to run the same server: `DevServer` (`--dev`, unsealed by itself) and `ConfiguredServer` (`--config`, with
`sys/init` and one unseal key). Both keep their data over `stop`, `kill` and `start`.
"""

import json
import secrets
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.hsm_token import make_token
from tests.support.server_child import Child, ServerFailed, free_port
from tests.support.server_client import ApiClient, Refused, health

CHANCERY = str(Path(sys.executable).with_name("chancery"))
"""The console script of the environment that runs the tests."""


class ChanceryServer(ABC):
    """A server that can be started, stopped, killed and started again on its data. Use as a context manager."""

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        self.directory = directory
        self.address = f"http://127.0.0.1:{port or free_port()}"
        self.token = ""
        self.child: Child | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line, having written whatever it refers to."""

    @abstractmethod
    def make_ready(self) -> None:
        """Bring a listening server to the point where it serves requests, and set `token`."""

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        return self.running().pid

    @property
    def log(self) -> Path:
        """Return the file with the output of every run."""
        return self.directory / "server.log"

    def running(self) -> Child:
        """Return the process. Raises RuntimeError before the first start."""
        if self.child is None:
            raise RuntimeError("the server was not started")
        return self.child

    def listen(self) -> Child:
        """Start the process and return once it answers, be it that it is sealed."""
        self.child = Child(self.command(), log=self.log)
        self.child.wait_until(lambda: health(self.address) != 0, what="listening")
        return self.child

    def start(self) -> None:
        """Start and return once requests are served."""
        child = self.listen()
        try:
            self.make_ready()
        except Refused as error:
            raise ServerFailed(f"{error}\n{child.output()[-4000:]}") from error
        child.wait_until(lambda: health(self.address) == 200, what="active")

    def stop(self) -> None:
        """End the server in an orderly way."""
        self.running().terminate()

    def kill(self) -> None:
        """End the server with SIGKILL; its signer processes must notice by themselves."""
        self.running().kill()

    def client(self) -> ApiClient:
        """Return a new client with the root token."""
        return ApiClient(self.address, self.token)

    def sweep(self) -> None:
        """End whatever is left of the server. Never fails."""
        if self.child is not None:
            self.child.sweep()

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


class DevServer(ChanceryServer):
    """`chancery server --dev`: initialised, unsealed, with a SoftHSM token labelled `chancery-dev`."""

    TOKEN_LABEL = "chancery-dev"

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        super().__init__(directory, port=port)
        self.token = f"dev-{secrets.token_urlsafe(18)}"
        self.data = directory / "data"

    def command(self) -> list[str]:
        """Return the command line of a development server."""
        return [
            CHANCERY,
            "server",
            "--dev",
            f"--dev-root-token-id={self.token}",
            f"--dev-listen-address={self.address.removeprefix('http://')}",
            f"--dev-data={self.data}",
        ]

    def make_ready(self) -> None:
        """Wait: a development server unseals itself and makes its own root token."""
        with self.client() as client:
            self.running().wait_until(
                lambda: client.request("GET", "auth/token/lookup-self").status == 200, what="ready for its root token"
            )


class ConfiguredServer(ChanceryServer):
    """`chancery server --config`: plain HTTP on loopback, SQLite, one unseal key, kms_library `softhsm`."""

    def __init__(self, directory: Path, *, port: int = 0, settings: Mapping[str, Any] | None = None) -> None:
        """Prepare token and configuration; `settings` replaces top-level settings."""
        super().__init__(directory, port=port)
        self.hsm = make_token(directory / "softhsm", label="chancery")
        self.database = directory / "chancery.db"
        self.configuration = directory / "chancery.yaml"
        self.settings = self._defaults() | dict(settings or {})
        self._unseal_key = ""

    def command(self) -> list[str]:
        """Return the command line, having written the configuration."""
        self.configuration.write_text(json.dumps(self.settings, indent=2))
        return [CHANCERY, "server", f"--config={self.configuration}"]

    def make_ready(self) -> None:
        """Initialise the first time, then unseal."""
        with self.client() as client:
            if not self._unseal_key:
                answer = client.write("sys/init", secret_shares=1, secret_threshold=1)
                self._unseal_key = answer.body["keys_base64"][0]
                self.token = answer.body["root_token"]
            client.write("sys/unseal", key=self._unseal_key)

    def join(self, other: "ConfiguredServer") -> None:
        """Become a node beside a server that has initialised the same storage. Call before `start`."""
        self._unseal_key, self.token = other._unseal_key, other.token

    def register_key(self, client: ApiClient, name: str, **parameters: Any) -> None:
        """Register a managed key in this server's token, free for any mount, generated on first use."""
        client.write(
            f"sys/managed-keys/pkcs11/{name}",
            library=self.hsm.library.name,
            token_label=self.hsm.label,
            pin=self.hsm.pin,
            key_label=name,
            allow_generate_key=True,
            allow_store_key=True,
            any_mount=True,
            **parameters,
        )

    def _defaults(self) -> dict[str, Any]:
        return {
            "listeners": [{"address": self.address.removeprefix("http://"), "tls_disable": True}],
            "storage": {"url": f"sqlite:///{self.database}"},
            "seal": {"type": "shamir"},
            "kms_libraries": [
                {
                    "type": "pkcs11",
                    "name": self.hsm.library.name,
                    "library": str(self.hsm.library.library),
                    "environment": dict(self.hsm.library.environment),
                }
            ],
        }
