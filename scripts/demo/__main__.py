"""Starts a development server, walks the tutorial, and keeps serving until Ctrl-C. DEMO_EXIT=1: ends after the walk."""

import os
import re
import signal
import socket
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from managed_keys.providers.pkcs11.softhsm import find_module
from scripts.demo.terminal import Terminal
from scripts.demo.tutorial import HsmToken, Tutorial, Unexpected
from tests.support.server_child import ServerFailed
from tests.support.server_process import DevServer

_USUAL_PORT = 8200


def main() -> int:
    """Return 0 when every step did what it should."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="chancery-demo-") as directory:
        try:
            return _run(Path(directory))
        except ServerFailed as error:
            print(f"the server failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0


def _run(directory: Path) -> int:
    with DevServer(directory, port=_USUAL_PORT if _is_free(_USUAL_PORT) else 0) as server:
        terminal = _terminal(server)
        terminal.say(f"chancery server --dev is serving on {server.address}; its data lies in {server.data}")
        terminal.say("")
        terminal.open()
        try:
            Tutorial(terminal, server.address, _token(server)).walk()
        except Unexpected as error:
            terminal.say(f"\nThis step did not do what it should: {error}. The server says:", "bold red")
            terminal.say(server.running().output()[-4000:])
            return 1
        terminal.say("\nEvery step did what it should.", "bold green")
        if os.environ.get("DEMO_EXIT") == "1":
            server.stop()
            return 0
        _serve(server, terminal)
    return 0


def _terminal(server: DevServer) -> Terminal:
    """Open a terminal in which `chancery` and `bao` are found and SoftHSM's tools see the server's token."""
    work = server.directory / "work"
    work.mkdir()
    variables = {
        "CHANCERY_ADDR": server.address,
        "CHANCERY_TOKEN": server.token,
        "SOFTHSM2_CONF": str(_softhsm_configuration(server)),
    }
    return Terminal(work, variables, [Path(sys.executable).parent])


def _serve(server: DevServer, terminal: Terminal) -> None:
    terminal.say(f"\nThe API is at {server.address}/v1/ and the root token is {server.token}.")
    terminal.say(
        "chancery, vault, bao, curl and every client library work with it; the exports above are all they need."
    )
    terminal.say("Ctrl-C ends the server and removes its data.")
    try:
        server.running().wait(deadline=None)
    except KeyboardInterrupt:
        server.stop()


def _softhsm_configuration(server: DevServer) -> Path:
    """Return the configuration of the token that the server made."""
    found = next(server.data.rglob("softhsm2.conf"), None)
    if found is None:
        raise ServerFailed(f"it made no SoftHSM token:\n{server.running().output()}")
    return found


def _token(server: DevServer) -> HsmToken:
    """Read the PIN from the banner, as a developer would."""
    found = re.search(r"\bPIN\b[^\S\n]*[:=]?[^\S\n]*(\S+)", server.running().output(), flags=re.IGNORECASE)
    if found is None:
        raise ServerFailed(f"its banner shows no PIN:\n{server.running().output()}")
    return HsmToken(str(find_module()), server.TOKEN_LABEL, found[1])


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    sys.exit(main())
