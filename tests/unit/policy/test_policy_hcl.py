"""The syntax: what HCL 1 and its JSON form say, and that hostile text is refused soon."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.policy.hcl import Body, SyntaxProblem, parse, plain


def _one(text: str) -> object:
    (entry,) = parse(text).entries
    return plain(entry.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a = "x"', "x"),
        ("a = 7", 7),
        ("a = -7", -7),
        ("a = 0x1F", 31),
        ("a = 1.5", 1.5),
        ("a = 2e3", 2000.0),
        ("a = true", True),
        ("a = false", False),
        ("a = []", []),
        ('a = ["x", 1, true,]', ["x", 1, True]),
        ('a = [["x"], { y = [] }]', [["x"], {"y": []}]),
        ('a = { b = 1, c = "d" }', {"b": 1, "c": "d"}),
        ("a = { b = 1 c = 2 }", {"b": 1, "c": 2}),
        ('a { b = 1\n "c d" = 2 }', {"b": 1, "c d": 2}),
        (r'a = "\"\\\n\t\x41\u00e9\101"', '"\\\n\tAéA'),
        ('a = "${x}"', "${x}"),
        ('a = "${f("q")}"', '${f("q")}'),
        ('a = "{{identity.entity.id}}"', "{{identity.entity.id}}"),
        ("a = <<E\nx\n  y\nE\n", "x\n  y\n"),
        ("a = <<-E\n    x\n      y\n    E\n", "x\n  y\n"),
        ("# c\n// c\n/* c\n c */ a /* c */ = 1 # c", 1),
        ("\ufeffa = 1\r\n", 1),
    ],
)
def test_values(text: str, value: object) -> None:
    assert _one(text) == value


def test_labels_and_lines() -> None:
    body = parse('path "a" {}\n\npath\n "b" "c" { x = 1 }')
    assert [(entry.keys, entry.line) for entry in body.entries] == [(("path", "a"), 1), (("path", "b", "c"), 3)]


def test_json_gives_the_same_tree_and_keeps_equal_names() -> None:
    body = parse('{"path": {"a": {"n": [1]}, "a": {"n": [2]}}}')
    inner = body.entries[0].value
    assert isinstance(inner, Body)
    assert [plain(entry.value) for entry in inner.entries] == [{"n": [1]}, {"n": [2]}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('path "a" {', "line 1, column 11: expected a name, found the end of the text"),
        ('path "a" = {}', 'line 1, column 10: expected "{" after the label of a block, found something else'),
        ("a", 'line 1, column 2: expected "=" or "{" after \'a\', found the end of the text'),
        ("a = [1 2]", 'line 1, column 8: expected "," or "]", found something else'),
        ("a = [b]", "expected a value"),
        ("a = b", "expected a value"),
        ("a = f(1)", "expected a value"),
        ("\n  a = 'x'", "line 2, column 7: unexpected character"),
        ('a = "x\n"', "line 1, column 5: string is not closed"),
        (r'a = "\q"', "unknown escape sequence"),
        (r'a = "\ud800"', "names no character"),
        ("a = <<E\nx\n", "here-document is not closed by a line with E"),
        ("a = <x", "unexpected character"),
        ("/* x", "comment is not closed"),
        ("}", "expected a name"),
        ("a = 1 }", "expected a name"),
        ("{", "line 1, column 2"),
        ('{"a": 1} x', "extra data"),
        ("a = " + "9" * 50, "number is too long"),
        ('{"a": ' + "9" * 5000 + "}", "a number is too long"),
    ],
)
def test_refusals_say_where_and_what(text: str, reason: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        parse(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '"' * 200_000,
        "{" * 200_000,
        "a " * 100_000,
        "a={" * 60_000,
        "a=[" + "[" * 200_000,
        "a{" * 100_000,
        "/*" * 100_000,
        "a=<<A\n" + "\n" * 200_000,
        'a="' + "${" * 100_000,
        'a="' + "\\n" * 100_000,
        '{"a":' * 40_000,
        '{"a":' + "[" * 200_000,
        "[{" * 100_000,
        "x\n" * 100_000,
    ],
    ids=lambda text: text[:6],
)
def test_hostile_text_is_refused_in_proportion_to_its_size(text: str) -> None:
    started = time.process_time()
    with pytest.raises(SyntaxProblem) as caught:
        parse(text)
    assert len(str(caught.value)) < 500
    assert time.process_time() - started < 5, "a fifth of a mebibyte takes a fraction of a second even on slow machines"


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse(text)
    except SyntaxProblem as problem:
        assert str(problem)  # noqa: PT017  # any outcome but another exception is right


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_quoted_string_means_what_it_says(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    if "${" not in text:
        assert _one(f'a = "{escaped}"') == text
