"""Even lines."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chancery.cli.paragraphs import wrap

WORDS = st.lists(st.text(alphabet="ab", min_size=1, max_size=15), max_size=9)


def cost(lines: list[str], width: int) -> int:
    """Return what the wrapping minimises."""
    return sum(max(width - len(line), 0) ** 2 for line in lines[:-1])


def every_wrapping(words: list[str]) -> list[list[str]]:
    """Return each way to break words into lines."""
    count = len(words)
    ways = []
    for mask in range(1 << (count - 1)):
        cuts = [0, *(index for index in range(1, count) if mask >> (index - 1) & 1), count]
        ways.append([" ".join(words[start:end]) for start, end in pairwise(cuts)])
    return ways


@given(WORDS)
def test_no_other_breaks_are_more_even(words: list[str]) -> None:
    lines = wrap(" ".join(words), 12)
    assert " ".join(lines).split() == words
    if words:
        possible = [way for way in every_wrapping(words) if all(len(line) <= 12 or " " not in line for line in way)]
        assert cost(lines, 12) == min(cost(way, 12) for way in possible)


def test_a_warning_as_vault_wraps_it() -> None:
    text = (
        "* This mount hasn't configured any authority information access (AIA) fields; this may make it harder for "
        "systems to find missing certificates in the chain or to validate revocation status of certificates. Consider "
        "updating /config/urls or the newly generated issuer with this information."
    )
    assert wrap(text, 76) == [
        "* This mount hasn't configured any authority information access (AIA)",
        "fields; this may make it harder for systems to find missing certificates",
        "in the chain or to validate revocation status of certificates. Consider",
        "updating /config/urls or the newly generated issuer with this information.",
    ]


def test_edges() -> None:
    assert wrap("", 10) == []
    assert wrap("short", 10) == ["short"]
    assert wrap("a" * 20, 10) == ["a" * 20]
    assert wrap(f"a {'b' * 20} c", 10) == ["a", "b" * 20, "c"]
