"""Logs on standard error, as text for people or one JSON object a line for machines.

Whatever is logged while a request is served carries the request's identifier, the one that its answer has too.
"""

import logging
import sys
from datetime import UTC, datetime

import orjson

from chancery.telemetry.visits import CURRENT

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_worker: int | None = None


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and what applies of worker, request_id and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        entry: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _worker is not None:
            entry["worker"] = _worker
        if request_id := _request_id():
            entry["request_id"] = request_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry).decode()


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; in brackets the worker and the request, where they apply."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        where = [] if _worker is None else [f"worker {_worker}"]
        if request_id := _request_id():
            where.append(f"request {request_id}")
        record.where = f" [{', '.join(where)}]" if where else ""
        return super().format(record)


def configure(level: str, style: str) -> None:
    """Set up logging anew; safe to call again when settings change."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if style == "json"
        else TextFormatter("%(asctime)s %(levelname)-7s %(name)s:%(where)s %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for noisy in ("aiohttp.access", "asyncio", "alembic", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, _LEVELS[level]))


def identify(worker: int) -> None:
    """Say in every line from now on which worker this process is."""
    global _worker  # noqa: PLW0603 - logging is the process's, and so is this
    _worker = worker


def _request_id() -> str:
    visit = CURRENT.get()
    return visit.request_id if visit is not None and not visit.is_over else ""
