"""A "network HSM": a token behind `p11-kit server`, which can be killed, frozen and started again."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from tests.support.hsm_token import SoftToken

_CLIENTS = (
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib64/pkcs11/p11-kit-client.so",
)


class P11KitServer:
    """Serves one token on a Unix socket. `token` is the token as seen through the socket."""

    def __init__(self, behind: SoftToken, directory: Path) -> None:
        client = next((Path(path) for path in _CLIENTS if Path(path).is_file()), None)
        program = shutil.which("p11-kit")
        if client is None or program is None:
            pytest.fail("p11-kit is not installed: apt-get install p11-kit p11-kit-modules")
        self._program, self._behind = program, behind
        self._socket = directory / "p11-kit.sock"
        library = replace(
            behind.library,
            name="network",
            library=client,
            environment={"P11_KIT_SERVER_ADDRESS": f"unix:path={self._socket}"},
        )
        self.token = replace(behind, library=library)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start serving; returns when connections are accepted."""
        self._socket.unlink(missing_ok=True)
        command = [self._program, "server", "-f", "-n", str(self._socket)]
        self._process = subprocess.Popen(
            [*command, "--provider", str(self._behind.library.library), f"pkcs11:token={self._behind.label}"],
            env=self._behind.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while not self._socket.exists():
            assert time.monotonic() < deadline, "p11-kit server did not start"
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send a signal to the server and to the children that serve connections."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """End it: the HSM is away."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
