"""server: run the server itself. The only command that imports it, and only when it is called."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chancery.cli.command import Arity, local_command
from chancery.cli.environment import Environment
from chancery.cli.failures import UsageFailed
from chancery.cli.flags import BOOLEAN, INTEGER, STRING, Flag

_DEV_FLAGS = [
    Flag("dev-root-token-id", STRING, "Text of the root token; otherwise random. CHANCERY_DEV_ROOT_TOKEN_ID."),
    Flag("dev-listen-address", STRING, "HOST:PORT. CHANCERY_DEV_LISTEN_ADDRESS; default 127.0.0.1:8200."),
    Flag("dev-workers", INTEGER, "Processes that serve. Default 1."),
    Flag("dev-data", STRING, "Directory to keep everything in; otherwise it is gone when the server stops."),
]


@local_command(
    "server",
    arity=Arity(),
    flags=[
        Flag("config", STRING, "Configuration file, in YAML.", default=""),
        Flag(
            "dev", BOOLEAN, "Run a server for development: initialised, unsealed, never for production.", default=False
        ),
        *_DEV_FLAGS,
        Flag("log-level", STRING, "With -dev: debug, info, warning or error. CHANCERY_LOG_LEVEL; default warning."),
    ],
)
def server_command(arguments: Sequence[str], *, config: str, dev: bool, **values: Any) -> int:  # noqa: ARG001
    """Run a server until SIGTERM or Ctrl-C; SIGHUP makes it read its configuration again.

    Either -config=FILE, or -dev for a server that needs no configuration and forgets everything when it stops.
    """
    dev_only = {flag.spelling: values[flag.name or ""] for flag in _DEV_FLAGS}
    misplaced = [f"-{name}" for name, value in dev_only.items() if value is not None]
    if dev and config:
        raise UsageFailed("-dev and -config exclude each other: a development server has its own configuration")
    if dev:
        return _run_dev(**values)
    if not config:
        raise UsageFailed("Must specify a configuration file with -config, or -dev for a development server")
    if misplaced:
        raise UsageFailed(f"{', '.join(misplaced)}: only with -dev")
    if values["log_level"] is not None:
        raise UsageFailed("-log-level: only with -dev; with -config it is set in the file")
    from chancery.server import run_config

    return run_config(Path(config))


def _run_dev(
    *,
    dev_root_token_id: str | None,
    dev_listen_address: str | None,
    dev_workers: int | None,
    dev_data: str | None,
    log_level: str | None,
) -> int:
    from chancery.dev import DevOptions, run_dev

    environment = Environment(os.environ)
    plain = DevOptions()
    return run_dev(
        DevOptions(
            root_token_id=dev_root_token_id or environment.text("DEV_ROOT_TOKEN_ID"),
            listen_address=dev_listen_address or environment.text("DEV_LISTEN_ADDRESS", plain.listen_address),
            data=Path(dev_data) if dev_data else None,
            workers=plain.workers if dev_workers is None else dev_workers,
            log_level=(log_level or environment.text("LOG_LEVEL", plain.log_level)).lower(),
        )
    )
