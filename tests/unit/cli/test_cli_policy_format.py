"""`policy fmt`: one layout, comments kept, nothing lost."""

import hcl2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chancery.cli.hcl_syntax import PolicySyntax, parse, tokenize
from chancery.cli.policy_format import format_policy


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ('path "a" { capabilities=["read"] }', 'path "a" {\n  capabilities = ["read"]\n}\n'),
        ('path "a" {}', 'path "a" {}\n'),
        ('path "a" {\n}\npath "b" {\n}', 'path "a" {}\npath "b" {}\n'),
        ("a = 1\nlonger = 2 # x\nb=3 // y", "a      = 1\nlonger = 2 # x\nb      = 3 // y\n"),
        ("a = 1\n\n\n\nlonger = 2", "a = 1\n\nlonger = 2\n"),
        ("a = 1\nb = {\nc = 2 }\nd = 3", "a = 1\n\nb = {\n  c = 2\n}\n\nd = 3\n"),
        ("a = [\n1,\n2]", "a = [\n  1,\n  2,\n]\n"),
        ("a = [1, 2,]", "a = [1, 2]\n"),
        ("a = [1, # one\n2\n# end\n]", "a = [\n  1, # one\n  2,\n  # end\n]\n"),
        ("a = [1,\n\n# two\n2]", "a = [\n  1,\n\n  # two\n  2,\n]\n"),
        ("a = [{ b = 1 }, { c = 2 }]", "a = [\n  {\n    b = 1\n  },\n  {\n    c = 2\n  },\n]\n"),
        ("# alone\n\n# above\na = 1", "# alone\n\n# above\na = 1\n"),
        ("a { # behind\n  # alone\n\n  b = 1\n}", "a {\n  # behind\n\n  # alone\n\n  b = 1\n}\n"),
        ("a = <<EOF\n  as\n is\nEOF\nb = 1", "a = <<EOF\n  as\n is\nEOF\n\nb = 1\n"),
        ('p "x" {\n/* as\n is */\na = 1 }', 'p "x" {\n  /* as\n is */\n  a = 1\n}\n'),
        ('a = "${x("}")} \\" #"', 'a = "${x("}")} \\" #"\n'),
        ("a = 1 # end", "a = 1 # end\n"),
        ("a = -1.5e3\r\nb = true\r\n", "a = -1.5e3\nb = true\n"),
    ],
)
def test_layout(text: str, formatted: str) -> None:
    assert format_policy(text) == formatted
    assert format_policy(formatted) == formatted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('path "a" {', "line 1: expected a name, found the end of the file"),
        ('path "a" { x = }', "line 1: expected a value, found }"),
        ('\npath "a" [', 'line 2: expected "=" or "{", found ['),
        ("a = [1 2]", 'line 1: expected "," or "]", found 2'),
        ("a = 1\nb = ?", "line 2: nothing in HCL begins with '?'"),
        ('a = "open', "nothing in HCL begins"),
        ("}", "line 1: expected a name, found }"),
        ("= 1", "line 1: expected a name, found ="),
        ('{"path": {}}', "this is JSON: only HCL has a layout"),
    ],
)
def test_what_is_not_hcl(text: str, words: str) -> None:
    with pytest.raises(PolicySyntax) as refused:
        format_policy(text)
    assert words in str(refused.value)


words = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
literals = st.one_of(
    st.from_regex(r"[0-9]{1,4}", fullmatch=True),
    st.sampled_from(["true", "false", '"read"', '"a/+/*"', '"{{x}}"']),
)
values = st.recursive(
    literals,
    lambda inner: st.builds(
        lambda items, gap: f"[{f',{gap}'.join(items)}]", st.lists(inner), st.sampled_from([" ", "\n"])
    ),
    max_leaves=6,
)
gaps = st.sampled_from(["\n", "\n\n", " # why\n", "\n# above\n", "\n\n/* alone\n */\n\n", "\n// a\n# b\n"])
assignments = st.builds(lambda word, value, gap: f"{word}={value}{gap}", words, values, gaps)
blocks = st.recursive(
    assignments,
    lambda inner: st.builds(
        lambda word, items, gap: f'{word} "x" {{{gap}{"".join(items)}}}{gap}', words, st.lists(inner, max_size=4), gaps
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.lists(blocks, max_size=4).map("".join))
def test_formatting_is_idempotent_and_loses_nothing(text: str) -> None:
    formatted = format_policy(text)
    assert format_policy(formatted) == formatted
    significant = [token.text for token in tokenize(text) if token.text != ","]
    assert sorted(token.text for token in tokenize(formatted) if token.text != ",") == sorted(significant)


@given(st.text(alphabet='ab "{}[]=,#/*\n\\$<-.1'))
def test_any_text_is_formatted_or_refused(text: str) -> None:
    try:
        formatted = format_policy(text)
    except PolicySyntax:
        return
    assert parse(formatted) is not None


@pytest.mark.slow  # its grammar takes seconds to load
def test_an_independent_parser_reads_the_same() -> None:
    text = 'path "a/*" { capabilities = ["read", "list"] # x\n allowed_parameters = { "p" = ["1"] } }\n'
    assert hcl2.loads(format_policy(text)) == hcl2.loads(text)
