"""Log lines: what every one carries, and which belong to a request."""

import json
import logging
from collections.abc import Iterator

import pytest

from chancery import logs
from chancery.kit.metrics import Unmetered
from chancery.telemetry.visits import CURRENT, Visits

Capture = pytest.CaptureFixture[str]


class Incoming:
    """The head of a request."""

    method, raw_path, remote = "GET", "/v1/sys/health?token=s.secret", "10.0.0.1"


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Iterator[Capture]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    monkeypatch.setattr(logs, "_worker", None)
    token = CURRENT.set(None)
    yield capsys
    CURRENT.reset(token)
    root.handlers[:] = before
    root.setLevel(level)


def test_json_lines_carry_worker_request_and_exception(output: Capture) -> None:
    logs.configure("info", "json")
    logs.identify(3)
    visits = Visits(Unmetered())
    visit = visits.begin("r-1", Incoming())
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("chancery.x").exception("failed %s", "here")
    visits.end(visit, 500)
    logging.getLogger("chancery.x").info("later")
    first, second = map(json.loads, output.readouterr().err.splitlines())
    assert (first["message"], first["worker"], first["request_id"], first["level"]) == (
        "failed here",
        3,
        "r-1",
        "error",
    )
    assert "ValueError: wrong" in first["exception"]
    assert "request_id" not in second


def test_text_lines_name_the_request_while_it_is_served_and_never_its_parameters(output: Capture) -> None:
    logs.configure("info", "text")
    visits = Visits(Unmetered())
    logging.getLogger("chancery.x").info("before")
    visit = visits.begin("r-2", Incoming())
    logging.getLogger("chancery.x").info("during")
    assert visit.describe()["request_path"] == "/v1/sys/health"
    visits.end(visit, 200)
    text = output.readouterr().err
    before, during = text.splitlines()
    assert before.endswith("chancery.x: before")
    assert during.endswith("chancery.x: [request r-2] during")
    assert "secret" not in text


def test_levels_apply(output: Capture) -> None:
    logs.configure("warning", "text")
    logging.getLogger("chancery.x").info("quiet")
    assert output.readouterr().err == ""
