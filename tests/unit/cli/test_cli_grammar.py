"""Go's flag syntax, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.cli.failures import UsageFailed
from chancery.cli.grammar import CommandLine, FlagSyntax, translate

FORCE = FlagSyntax("force", is_boolean=True)
NAMESPACE = FlagSyntax("namespace")
SYNTAX = {
    "format": FlagSyntax("format"),
    "force": FORCE,
    "f": FORCE,
    "ns": NAMESPACE,
    "namespace": NAMESPACE,
}


@pytest.mark.parametrize(
    ("words", "flags", "arguments"),
    [
        ([], (), ()),
        (["path", "a=b"], (), ("path", "a=b")),
        (["-format=json", "path"], (("format", "json"),), ("path",)),
        (["--format=json", "path"], (("format", "json"),), ("path",)),
        (["-format", "json", "path"], (("format", "json"),), ("path",)),
        (["--format", "json", "path"], (("format", "json"),), ("path",)),
        (["-format", "-force", "path"], (("format", "-force"),), ("path",)),
        (["-format=", "path"], (("format", ""),), ("path",)),
        (["-format=a=b"], (("format", "a=b"),), ()),
        (["-f", "path"], (("force", "true"),), ("path",)),
        (["-force", "false"], (("force", "true"),), ("false",)),
        (["-force=0", "path"], (("force", "false"),), ("path",)),
        (["-force=TRUE"], (("force", "true"),), ()),
        (["-ns", "team", "-namespace=other"], (("namespace", "team"), ("namespace", "other")), ()),
        (["-", "x"], (), ("-", "x")),
        (["--", "-format=json"], (), ("-format=json",)),
        (["-f", "--", "--", "x"], (("force", "true"),), ("--", "x")),
        (["path", "--", "-f"], (), ("path", "--", "-f")),
        (["path", "-unknown"], (), ("path", "-unknown")),
    ],
)
def test_translate(words: list[str], flags: tuple[tuple[str, str], ...], arguments: tuple[str, ...]) -> None:
    assert translate(words, SYNTAX) == CommandLine(flags, arguments)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-unknown", "x"], "flag provided but not defined: -unknown"),
        (["--unknown=x"], "flag provided but not defined: -unknown"),
        (["-format"], "flag needs an argument: -format"),
        (["---format=x"], "bad flag syntax: ---format=x"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--=x"], "bad flag syntax: --=x"),
        (["-force=maybe"], 'invalid boolean value "maybe" for -force: "maybe" is neither true nor false'),
        (["-force="], 'invalid boolean value "" for -force: "" is neither true nor false'),
    ],
)
def test_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageFailed) as refused:
        translate(words, SYNTAX)
    assert refused.value.message == message


@pytest.mark.parametrize("word", ["-h", "-help", "--help", "--h"])
def test_help(word: str) -> None:
    assert translate(["-f", word, "x"], SYNTAX).wants_help


def test_flags_that_come_too_late_are_arguments_and_noted() -> None:
    line = translate(["path", "-format=json", "a=b", "--ns", "--", "-f"], SYNTAX)
    assert line.arguments == ("path", "-format=json", "a=b", "--ns", "--", "-f")
    assert line.misplaced == ("-format=json", "--ns")


@given(st.lists(st.text()))
def test_any_words_are_translated_or_refused(words: list[str]) -> None:
    try:
        line = translate(words, SYNTAX)
    except UsageFailed:
        return
    assert line.wants_help or line.for_click()[-len(line.arguments) - 1 :] == ["--", *line.arguments]
