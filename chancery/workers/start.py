"""Starts a server of several workers: everything that they inherit is made here, before the first fork."""

import sys

from chancery.plugins import Catalog
from chancery.server import Hooks, Reread
from chancery.settings import Settings, SettingsError
from chancery.telemetry.cells import Cells
from chancery.workers.attempts import SharedAttempts
from chancery.workers.board import Board
from chancery.workers.sockets import bind
from chancery.workers.supervisor import Supervisor
from chancery.workers.worker import Plan


def run_workers(settings: Settings, reread: Reread | None, hooks: Hooks) -> int:
    """Run a server until it is told to stop. Returns 0 after a clean stop, 1 when it could not start."""
    try:
        sockets = bind(settings.listeners, settings.workers)
    except SettingsError as error:
        print(f"chancery: {error}", file=sys.stderr)  # noqa: T201 - the operator at the terminal must see it
        return 1
    plan = Plan(
        settings,
        reread,
        hooks,
        Catalog.installed(),
        Board(settings.workers),
        SharedAttempts(),
        Cells(settings.workers),
        sockets,
    )
    return Supervisor(plan).run()
