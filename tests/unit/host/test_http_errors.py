"""The table from errors to statuses, and what a client sees of the unexpected."""

import logging
from typing import Any

import orjson
import pytest

from chancery.http.errors import failure
from chancery.kit import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadInput.of("ttl", "wrong"), 400),
        (errors.Denied(), 403),
        (errors.NotFound(), 404),
        (errors.UnsupportedOperation(), 405),
        (errors.Conflict("moved"), 409),
        (errors.PayloadTooLarge("large"), 413),
        (errors.RateLimited("slow down", retry_after=7), 429),
        (errors.Sealed(), 503),
        (errors.NotInitialized(), 503),
        (errors.Unavailable("hsm away", retry_after=3), 503),
        (errors.BackendRefused("no"), 500),
        (errors.Corrupted("bad"), 500),
    ],
)
def test_statuses(error: errors.ChanceryError, status: int) -> None:
    rendered = failure(error, "id")
    assert rendered.status == status
    assert orjson.loads(rendered.body)["errors"] == ([error.message] if error.message else [])


def test_waiting_times_travel() -> None:
    assert failure(errors.RateLimited("x", retry_after=7), "id").headers["Retry-After"] == "7"
    assert failure(errors.Unavailable("x", retry_after=3), "id").headers["Retry-After"] == "3"


def test_every_problem_has_its_own_line() -> None:
    problems = [errors.Problem("a", "wrong"), errors.Problem("b", "missing")]
    assert orjson.loads(failure(errors.BadInput(problems=problems), "id").body) == {
        "errors": ["a: wrong", "b: missing"]
    }


def test_the_unexpected_shows_only_an_identifier(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        rendered = failure(ZeroDivisionError("secret detail"), "req-1")
    assert rendered.status == 500
    assert b"secret detail" not in rendered.body
    assert b"req-1" in rendered.body
    assert "ZeroDivisionError" in caplog.text


def test_every_error_of_the_kit_has_a_status() -> None:
    kinds: list[Any] = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ChanceryError)
    ]
    for kind in kinds:
        if kind is not errors.ChanceryError:
            error = kind("x", retry_after=1) if kind in (errors.RateLimited, errors.Unavailable) else kind("x")
            assert failure(error, "id").status != 500 or kind in (errors.BackendRefused, errors.Corrupted)
