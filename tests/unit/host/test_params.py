"""Vault's lenient wire types."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, Duration, KeyValue, LaxBool, LaxInt, Params, Text, parse_duration


class Example(Params):
    """One field of each kind."""

    ttl: Duration = Field(0)
    flag: LaxBool = Field(False)
    count: LaxInt = Field(0)
    names: CommaList = Field([])
    pairs: KeyValue = Field({})
    word: Text = Field("")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("24h", 86400),
        ("90d", 7776000),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("300ms", 0),
        (3600, 3600),
        ("3600", 3600),
        (12.9, 12),
        ("", 0),
        (None, 0),
        ("-5m", -300),
        ("0", 0),
    ],
)
def test_durations(value: object, seconds: int) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value", ["x", "5 h", "h", "5hh", "1h 2m", True, [], {}, "9" * 30, "1e3", "٣h", "--5s", float("inf"), float("nan")]
)
def test_durations_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_an_error(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_duration(text), int)


@pytest.mark.parametrize(
    ("field", "value", "parsed"),
    [
        ("flag", "true", True),
        ("flag", "False", False),
        ("flag", "", False),
        ("flag", 1, True),
        ("count", "0x10", 16),
        ("count", "42", 42),
        ("count", "", 0),
        ("names", "a, b,,c", ["a", "b", "c"]),
        ("names", ["a", "b"], ["a", "b"]),
        ("names", "", []),
        ("names", [1, " x "], ["1", "x"]),
        ("pairs", {"a": 1}, {"a": "1"}),
        ("pairs", ["a=b=c", "d="], {"a": "b=c", "d": ""}),
        ("pairs", "a=b", {"a": "b"}),
        ("word", 5, "5"),
        ("word", True, "true"),
        ("word", None, ""),
    ],
)
def test_lenient_forms(field: str, value: Any, parsed: Any) -> None:
    assert getattr(Example.parse({field: value}), field) == parsed


def test_every_wrong_field_is_named_and_no_value_repeated() -> None:
    with pytest.raises(BadInput) as caught:
        Example.parse({"ttl": "hunter2", "flag": "hunter2", "count": "hunter2", "pairs": ["hunter2"], "names": {}})
    assert {problem.field for problem in caught.value.problems} == {"ttl", "flag", "count", "pairs", "names"}
    assert "hunter2" not in caught.value.message


def test_unknown_fields_are_listed() -> None:
    assert Example.unknown({"ttl": 1, "zeta": 1, "alpha": 2}) == ["alpha", "zeta"]


def test_submitted_tells_sent_from_default() -> None:
    params = Example.parse({"flag": False})
    assert params.submitted("flag")
    assert not params.submitted("ttl")


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "9" * 30, 1e300])
def test_numbers_that_no_database_keeps_are_refused(value: object) -> None:
    with pytest.raises(BadInput, match="count"):
        Example.parse({"count": value})
    assert Example.parse({"count": 2**63 - 1}).count == 2**63 - 1
