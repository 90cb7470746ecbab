"""The tutorial on managed keys, from an empty directory to a verified certificate, typed into two command lines."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.demo.terminal import Terminal
from scripts.demo.tutorial import HsmToken, Tutorial
from tests.support.server_process import ConfiguredServer

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ConfiguredServer]:
    server = ConfiguredServer(tmp_path / "server")
    try:
        server.listen()
        yield server
    finally:
        server.sweep()


@pytest.mark.parametrize(("program", "prefix"), [("chancery", "CHANCERY"), ("bao", "BAO")])
def test_every_command_of_the_tutorial(server: ConfiguredServer, tmp_path: Path, program: str, prefix: str) -> None:
    variables = {f"{prefix}_ADDR": server.address, **server.hsm.library.environment}
    path = [Path(sys.executable).parent]
    stranger = Terminal(tmp_path, variables, path)

    began = stranger.run([program, "operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"])
    assert began.status == 0, began.output
    secrets = json.loads(began.output)
    opened = stranger.run([program, "operator", "unseal", secrets["unseal_keys_b64"][0]])
    assert opened.status == 0, opened.output

    operator = Terminal(tmp_path, {**variables, f"{prefix}_TOKEN": secrets["root_token"]}, path)
    token = HsmToken(str(server.hsm.library.library), server.hsm.label, server.hsm.pin)
    Tutorial(operator, server.address, token, program).walk()
