"""The one wildcard of auth methods: `*` stands for any text, the empty one included. Pure."""


def glob_matches(pattern: str, text: str) -> bool:
    """Tell whether a whole text fits a pattern. Case counts. Takes time in proportion to the text."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True
