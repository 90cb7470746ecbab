"""JSON and YAML, as Vault's command line writes them."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chancery.cli.golang import Json, Number
from chancery.cli.json_text import NotJson, decode, encode, sorted_keys
from chancery.cli.yaml_text import encode_yaml

documents: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(documents, st.sampled_from([None, 2]))
def test_json_reads_back(document: Json, indent: int | None) -> None:
    assert json.loads(encode(document, indent=indent)) == document
    assert decode(encode(document, indent=indent)) == document


@given(documents)
def test_yaml_reads_back(document: Json) -> None:
    assert yaml.safe_load(encode_yaml(document)) == document


def test_numbers_keep_their_spelling() -> None:
    text = '{"a":1.50,"b":1e5,"c":123456789012345678901}'
    assert encode(decode(text)) == text


def test_json_layout() -> None:
    document: Json = {"list": [1, {"k": None}], "none": [], "empty": {}, "html": "<&>", "line": "\u2028"}
    assert encode(document, indent=2) == (
        '{\n  "list": [\n    1,\n    {\n      "k": null\n    }\n  ],\n  "none": [],\n  "empty": {},\n'
        '  "html": "\\u003c\\u0026\\u003e",\n  "line": "\\u2028"\n}'
    )


@pytest.mark.parametrize("text", ["", "x", "{", '{"a": NaN}', "[1,]", "[" * 100_000])
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(NotJson):
        decode(text)


def test_sorted_keys() -> None:
    unsorted: Json = {"b": [{"d": 1, "c": 2}], "a": 3}
    assert encode(sorted_keys(unsorted)) == '{"a":3,"b":[{"c":2,"d":1}]}'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain words", "plain words"),
        ("", '""'),
        ("n", '"n"'),
        ("yes", '"yes"'),
        ("12", '"12"'),
        ("2026-11-22", '"2026-11-22"'),
        ("a: b", "'a: b'"),
        ("*a", "'*a'"),
        ("two\nlines", "|-\n  two\n  lines"),
        ("two\nlines\n", "|\n  two\n  lines"),
        ("a\u2028b", '"a\\Lb"'),
        ("bell\x07", '"bell\\a"'),
        (Number("1.50"), "1.5"),
        (Number("1e5"), "100000"),
        (1 << 70, "1.1805916207174113e+21"),
        (["x", "z"], "- x\n- z"),
        ({"b": [1], "a": None}, "a: null\nb:\n- 1"),
    ],
)
def test_yaml_layout(value: Json, written: str) -> None:
    assert encode_yaml(value).rstrip("\n") == written
