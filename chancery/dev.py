"""`chancery server --dev`: a server for development that initializes and unseals itself.

Everything it keeps, the unseal key and the root token included, lies in one private directory: with `--dev-data` it
survives, otherwise it is removed at the end. Never for production.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chancery import logs
from chancery.host import Host
from chancery.kit.engine import DevAdditions
from chancery.outgoing_rules import PlainHttp
from chancery.plugins import dev_setups
from chancery.server import Hooks, run_until_stopped
from chancery.settings import (
    MAX_WORKERS,
    Audit,
    KmsLibrarySettings,
    Listener,
    OutgoingSettings,
    Settings,
    SettingsError,
    Storage,
)

_SECRETS = "dev-secrets.json"


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the command line says."""

    root_token_id: str = ""
    """Text of the root token; random when empty."""
    listen_address: str = "127.0.0.1:8200"
    data: Path | None = None
    """Where to keep everything; a temporary directory when None."""
    log_level: str = "warning"
    workers: int = 1


def run_dev(options: DevOptions) -> int:
    """Run a development server until it is told to stop. Returns the exit code."""
    with ExitStack() as stack:
        directory = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chancery-dev-")))
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            additions = [setup(directory) for setup in dev_setups().values()]
            settings = _settings(options, directory, additions)
        except (SettingsError, OSError) as error:
            print(f"chancery: {error}", file=sys.stderr)  # noqa: T201 - the developer at the terminal must see it
            return 1
        logs.configure(options.log_level, "text")
        dev = _DevServer(options, directory, [line for addition in additions for line in addition.banner])
        return run_until_stopped(settings, None, Hooks(dev.announce, dev.prepare))


def _settings(options: DevOptions, directory: Path, additions: Sequence[DevAdditions]) -> Settings:
    try:
        listener = Listener(address=options.listen_address, tls_disable=True)
    except ValueError:
        raise SettingsError([f"--dev-listen-address: expected HOST:PORT, got {options.listen_address!r}"]) from None
    if not 1 <= options.workers <= MAX_WORKERS:
        raise SettingsError([f"--dev-workers: expected 1 to {MAX_WORKERS}, got {options.workers}"])
    return Settings(
        listeners=[listener],
        workers=options.workers,
        outgoing=OutgoingSettings(allow=["127.0.0.0/8", "::1"], plain_http=PlainHttp.LOOPBACK),
        storage=Storage(url=f"sqlite:///{directory.absolute() / 'chancery.db'}"),
        audit=Audit(directories=[directory.absolute()]),
        kms_libraries=[
            KmsLibrarySettings(
                type="pkcs11",
                name=library.name,
                library=library.library,
                environment=dict(library.environment),
                max_parallel=library.max_parallel,
            )
            for addition in additions
            for library in addition.kms_libraries
        ],
    )


class _DevServer:
    """Initializes or unseals the host before it listens, and tells the developer how to use it."""

    def __init__(self, options: DevOptions, directory: Path, banner: Sequence[str]) -> None:
        self._options = options
        self._directory = directory
        self._banner = banner
        self._unseal_key = b""
        self._root_token = ""

    async def prepare(self, host: Host) -> None:
        """Bring the host into service."""
        file = self._directory / _SECRETS
        if host.status().initialized:
            if not file.is_file():
                raise SettingsError([f"{file} is missing: this data directory was not made by a development server"])
            known = json.loads(file.read_text())
            self._unseal_key, remembered = bytes.fromhex(known["unseal_key"]), known["root_token"]
        else:
            shares, remembered = await host.initialize(1, 1, root_token=self._options.root_token_id)
            self._unseal_key = shares[0]
        await host.unseal(self._unseal_key)
        self._root_token = await host.ensure_root_token(self._options.root_token_id or remembered)
        secrets = {"unseal_key": self._unseal_key.hex(), "root_token": self._root_token}
        await asyncio.to_thread(_write_privately, file, json.dumps(secrets))

    def announce(self, _host: Host, urls: Sequence[str]) -> None:
        """Print the banner."""
        url, token = urls[0], self._root_token
        kept = str(self._directory) if self._options.data else "nowhere: it is removed when the server stops"
        lines = [
            "==> Chancery development server. Everything needed to break it is printed here: not for production.",
            "",
            f"    API:        {url}",
            f"    Unseal key: {self._unseal_key.hex()}",
            f"    Root token: {token}",
            f"    Data:       {kept}",
            *(f"    {line}" for line in self._banner),
            "",
            f"    $ export VAULT_ADDR={url} VAULT_TOKEN={token}",
            "",
        ]
        print("\n".join(lines), flush=True)  # noqa: T201 - the banner is this command's output


def _write_privately(file: Path, text: str) -> None:
    temporary = file.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
