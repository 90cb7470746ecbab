"""The one table from errors to HTTP statuses, and what an error looks like on the wire."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from chancery.kit import errors

_log = logging.getLogger(__name__)


class UnsupportedMediaType(errors.ChanceryError):
    """The body is not of the type that the method demands (415)."""


_STATUS: tuple[tuple[type[errors.ChanceryError], int], ...] = (
    (errors.BadInput, 400),
    (errors.Denied, 403),
    (errors.NotFound, 404),
    (errors.UnsupportedOperation, 405),
    (errors.Conflict, 409),
    (errors.PayloadTooLarge, 413),
    (UnsupportedMediaType, 415),
    (errors.RateLimited, 429),
    (errors.Sealed, 503),
    (errors.Unavailable, 503),
    (errors.BackendRefused, 500),
    (errors.Corrupted, 500),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as bytes: status, JSON body and extra headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def failure(error: Exception, request_id: str) -> Failure:
    """Render an error. What is not ours is logged with its traceback, and the client gets only an id to quote."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return _known(error, status)
    _log.error("request %s failed", request_id, exc_info=error)
    return Failure(500, _body([f"internal error, see the server's log for request {request_id}"]))


def _known(error: errors.ChanceryError, status: int) -> Failure:
    messages = [str(problem) for problem in error.problems] if isinstance(error, errors.BadInput) else []
    if error.message and len(messages) < 2:
        messages = [error.message]
    headers = {}
    if isinstance(error, errors.RateLimited | errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    if status >= 500 and not isinstance(error, errors.Sealed):
        _log.warning("answered %d: %s", status, error.message)
    return Failure(status, _body(messages), headers)


def _body(messages: list[str]) -> bytes:
    return orjson.dumps({"errors": messages})
