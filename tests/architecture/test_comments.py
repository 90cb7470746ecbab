"""What may be postponed or silenced, and how it must be said."""

import re
import tokenize
from collections.abc import Iterator
from io import StringIO

from tests.support.sources import ROOT, files, python_files

_LATER = re.compile(r"\b(?:T[O]DO|F[I]XME)\b(?!\(#\d+\))")  # the brackets keep this line from matching itself
_SILENCED_WELL = re.compile(r"#\s*type: ignore\[[a-z, -]+\]\s+# \S")


def test_what_is_left_for_later_names_its_issue() -> None:
    vague = [
        f"{path}:{number}"
        for path in files("*.py", "*.md", "*.yaml", "*.yml", "*.toml", "*.sh", "*.lua", "*.hcl", "*.sql", "Makefile")
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if _LATER.search(line)
    ]
    assert not vague, "name an issue in parentheses, (#n), or do it now"


def test_silenced_type_errors_have_a_code_and_a_reason() -> None:
    bare = [
        f"{file.path}:{number} {comment}"
        for file in python_files()
        for number, comment in _comments(file.text)
        if "type: ignore" in comment and not _SILENCED_WELL.search(comment)
    ]
    assert not bare, "write it as type: ignore[code]  # reason"


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
