"""Documents keep up with what they describe."""

import re

from tests.support.sources import ROOT, files


def _words() -> str:
    return "\n".join((ROOT / path).read_text(encoding="utf-8") for path in files("README.md", "docs/*.md"))


def test_every_make_target_is_documented() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE)
    assert {"demo", "test", "check", "bench"} <= set(targets)
    words = _words()
    assert [target for target in targets if not re.search(rf"make {target}\b", words)] == []


def test_every_documented_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    mentioned = set(re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)", _words()))
    assert {target for target in mentioned if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)} == set()


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[?Unreleased\]?", changelog, flags=re.MULTILINE)
