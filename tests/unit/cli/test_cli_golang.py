"""Go's durations and renderings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.cli.golang import Duration, Json, Number, render, render_quoted


@pytest.mark.parametrize(
    ("text", "rendered", "brief"),
    [
        ("0", "0s", "0s"),
        ("90", "1m30s", "1m30s"),
        ("90s", "1m30s", "1m30s"),
        ("72h", "72h0m0s", "72h"),
        ("1h30m", "1h30m0s", "1h30m"),
        ("1h0m1s", "1h0m1s", "1h1s"),
        ("5m", "5m0s", "5m"),
        ("1.5h", "1h30m0s", "1h30m"),
        ("1d", "24h0m0s", "24h"),
        ("1d12h", "36h0m0s", "36h"),
        ("250ms", "250ms", "250ms"),
        ("1.5s", "1.5s", "1.5s"),
        ("1500us", "1.5ms", "1.5ms"),
        ("2µs", "2µs", "2µs"),
        ("3ns", "3ns", "3ns"),
        ("-5m", "-5m0s", "-5m"),
        (".5s", "500ms", "500ms"),
    ],
)
def test_durations(text: str, rendered: str, brief: str) -> None:
    duration = Duration.parse(text)
    assert (str(duration), duration.brief()) == (rendered, brief)


@pytest.mark.parametrize("text", ["", "soon", "1x", "1h ", "h", "1h1", "--1s", "1e3", "٣s"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        Duration.parse(text)


@given(st.integers(min_value=-(1 << 63), max_value=1 << 63))
def test_a_duration_reads_back(nanoseconds: int) -> None:
    duration = Duration(nanoseconds)
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        (None, "<nil>"),
        (True, "true"),
        (3, "3"),
        (Number("1.50"), "1.50"),
        ("text", "text"),
        ([], "[]"),
        (["a", None, {"k": False}], "[a <nil> map[k:false]]"),
        ({"b": 1, "a": {"z": ""}}, "map[a:map[z:] b:1]"),
    ],
)
def test_render(value: Json, rendered: str) -> None:
    assert render(value) == rendered


def test_render_quoted() -> None:
    assert render_quoted(["root", "a b"]) == '["root" "a b"]'
    assert render_quoted([]) == "[]"
