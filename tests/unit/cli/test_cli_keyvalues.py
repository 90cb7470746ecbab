"""K=V arguments."""

from pathlib import Path

import pytest

from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Json, Number
from chancery.cli.keyvalues import parse_key_values


def nothing() -> str:
    raise AssertionError("stdin must not be read")


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ([], {}),
        ([""], {}),
        (["a=b"], {"a": "b"}),
        (["a="], {"a": ""}),
        (["=b"], {"": "b"}),
        (["a=b=c"], {"a": "b=c"}),
        (["a=1", "a=2", "a=3"], {"a": ["1", "2", "3"]}),
        (["a=\\@x"], {"a": "@x"}),
        (["\\@a=x"], {"\\@a": "x"}),
        (["@a=x"], {"@a": "x"}),
        (["a=true"], {"a": "true"}),
    ],
)
def test_pairs(arguments: list[str], values: dict[str, Json]) -> None:
    assert parse_key_values(arguments, nothing) == values


def test_files(tmp_path: Path) -> None:
    text, document = tmp_path / "text", tmp_path / "document.json"
    text.write_text("first\r\nsecond\n", newline="")
    document.write_text('{"a": 1.50, "list": [1], "b": {"c": null}}')
    assert parse_key_values([f"t=@{text}"], nothing) == {"t": "first\r\nsecond\n"}
    assert parse_key_values([f"@{document}", "list=2", "a=x"], nothing) == {
        "a": [Number("1.50"), "x"],
        "list": [1, "2"],
        "b": {"c": None},
    }


def test_stdin() -> None:
    assert parse_key_values(["pin=-"], lambda: "1234\n") == {"pin": "1234\n"}
    assert parse_key_values(["-", "b=2"], lambda: '{"a": 1}') == {"a": 1, "b": "2"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["path"], "format must be key=value"),
        (["a=-", "b=-"], "stdin was already consumed"),
        (["a=@/nonexistent"], "open /nonexistent: no such file or directory"),
        (["@/nonexistent"], "open /nonexistent: no such file or directory"),
        (["-"], "the JSON must be an object"),
    ],
)
def test_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(UsageFailed, match="Failed to parse K=V data: invalid key/value pair") as refused:
        parse_key_values(arguments, lambda: "[1]")
    assert reason in refused.value.message


def test_binary_files_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "der"
    binary.write_bytes(b"\x30\x82\xff")
    with pytest.raises(UsageFailed, match="encode binary data in base64"):
        parse_key_values([f"csr=@{binary}"], nothing)


def test_what_is_not_json_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("hunter2")
    with pytest.raises(UsageFailed) as refused:
        parse_key_values([f"@{secret}"], nothing)
    assert "hunter2" not in refused.value.message
