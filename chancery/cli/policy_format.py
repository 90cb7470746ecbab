"""`policy fmt`: the one layout of a policy, comments kept. Formatting what is formatted changes nothing.

Two spaces a level; what takes more than a line stands between blank lines; equals signs and trailing comments of
neighbouring lines are aligned; a list stays on one line if it was on one.
"""

from collections.abc import Iterator, Sequence

from chancery.cli.hcl_syntax import Body, Element, Item, List, Literal, PolicySyntax, Remark, Value, parse

INDENT = "  "

__all__ = ["PolicySyntax", "format_policy"]


def format_policy(text: str) -> str:
    """Return the text in its one layout, ending with a line feed. Raises PolicySyntax."""
    if text.lstrip().startswith("{"):
        raise PolicySyntax("this is JSON: only HCL has a layout")
    return "\n".join(_body(parse(text))) + "\n"


def _indented(lines: Sequence[str]) -> list[str]:
    """Indent lines. A heredoc or block comment is one of them, line feeds and all: its inside stays as it is."""
    return [f"{INDENT}{line}" if line else "" for line in lines]


def _body(body: Body) -> list[str]:
    """Lay out parts: groups of neighbouring one-liners, everything else by itself, a blank line between."""
    lines: list[str] = []
    for group in _groups(body.parts):
        if lines:
            lines.append("")
        lines += list(group.lines) if isinstance(group, Remark) else _aligned(group)
    return lines


def _groups(parts: Sequence[Item | Remark]) -> Iterator[Remark | list[Item]]:
    """Put items together that take one line each and follow one another directly; only the first has comments above."""
    group: list[Item] = []
    for part in parts:
        if isinstance(part, Remark):
            if group:
                yield group
            group = []
            yield part
            continue
        joins = group and part.line == group[-1].last_line + 1 and not part.lead
        if group and not (joins and _is_one_line(part) and _is_one_line(group[-1])):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _is_one_line(item: Item) -> bool:
    block = _value(item.value)
    return len(block) == 1 and "\n" not in block[0]


def _aligned(items: Sequence[Item]) -> list[str]:
    """Lay out a group: equals signs below one another, and trailing comments too."""
    width = max((len(" ".join(item.keys)) for item in items if item.is_assignment), default=0)
    heads = [
        f"{' '.join(item.keys).ljust(width)} = " if item.is_assignment else f"{' '.join(item.keys)} " for item in items
    ]
    blocks = [_value(item.value) for item in items]
    edge = max(
        (len(head) + len(block[0]) for head, block in zip(heads, blocks, strict=True) if len(block) == 1), default=0
    )
    lines: list[str] = []
    for item, head, block in zip(items, heads, blocks, strict=True):
        first, *rest = [f"{head}{block[0]}", *block[1:]]
        shown = [first, *rest]
        if item.trailing:
            padded = shown[-1].ljust(edge) if len(shown) == 1 else shown[-1]
            shown[-1] = f"{padded} {item.trailing}"
        lines += [*item.lead, *shown]
    return lines


def _value(value: Value) -> list[str]:
    match value:
        case Literal():
            return [value.text]
        case List():
            return _list(value)
        case Body():
            return ["{", *_indented(_body(value)), "}"] if value.parts else ["{}"]


def _list(value: List) -> list[str]:
    has_comments = bool(value.tail) or any(element.lead or element.trailing for element in value.elements)
    blocks = [_value(element.value) for element in value.elements]
    if value.is_on_one_line and not has_comments and all(len(block) == 1 for block in blocks):
        return [f"[{', '.join(block[0] for block in blocks)}]"]
    lines: list[str] = []
    for element, block in zip(value.elements, blocks, strict=True):
        if element.follows_blank:
            lines.append("")
        lines += _element(element, block)
    return ["[", *_indented([*lines, *value.tail]), "]"]


def _element(element: Element, block: Sequence[str]) -> list[str]:
    """Lay out an element of a list that takes several lines. A heredoc's end stands alone: its comma goes below."""
    is_heredoc = isinstance(element.value, Literal) and element.value.text.startswith("<<")
    behind = f" {element.trailing}" if element.trailing else ""
    if is_heredoc:
        return [*element.lead, *block, f",{behind}"]
    return [*element.lead, *block[:-1], f"{block[-1]},{behind}"]
