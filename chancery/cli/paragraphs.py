"""Breaking a paragraph into lines of even length: the least sum of squared gaps, the last line's not counted.

That is how Vault's command line wraps warnings, and it reads better than filling each line to the brim.
"""

from collections.abc import Iterator


def wrap(text: str, width: int) -> list[str]:
    """Return the lines. A word longer than the width has a line to itself; no text gives no lines."""
    words = text.split()
    count = len(words)
    best: list[tuple[int, int]] = [(0, count)] * (count + 1)
    """From each word on: the least cost, and where the line after this one begins."""
    for first in range(count - 1, -1, -1):
        if len(" ".join(words[first:])) > width:
            best[first] = min(_breaks(words, first, width, best), default=(0, count))
    lines: list[str] = []
    first = 0
    while first < count:
        following = best[first][1]
        lines.append(" ".join(words[first:following]))
        first = following
    return lines


def _breaks(words: list[str], first: int, width: int, best: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield cost and next word for every way to end the line that begins at `first` before the last word."""
    length = -1
    for following in range(first + 1, len(words)):
        length += 1 + len(words[following - 1])
        if length > width and following > first + 1:
            return
        gap = max(width - length, 0)
        yield gap * gap + best[following][0], following
