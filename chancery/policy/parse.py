"""From the text of a policy to its rules, with every problem named by its path.

The language is Vault's: `path "x" { capabilities = [...] }` in HCL, or the same in JSON. What this server cannot
enforce (control groups, MFA, event subscriptions) is refused rather than accepted and ignored.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import parse_duration
from chancery.policy.hcl import Body, Entry, SyntaxProblem, Value, parse, plain, shortened
from chancery.policy.model import Capability, Limits, ParameterValue, ParameterValues, PathRule, Policy
from chancery.policy.templates import Template

MAX_POLICY_BYTES = 1 << 20

_MAX_PROBLEMS = 20

_WRITABLE = {capability.value: capability for capability in Capability if capability is not Capability.ROOT}

_OLD_POLICIES: Mapping[str, frozenset[Capability]] = {
    "deny": frozenset({Capability.DENY}),
    "read": frozenset({Capability.READ, Capability.LIST}),
    "write": frozenset(
        {Capability.CREATE, Capability.READ, Capability.UPDATE, Capability.DELETE, Capability.LIST},
    ),
    "sudo": frozenset(
        {Capability.CREATE, Capability.READ, Capability.UPDATE, Capability.DELETE, Capability.LIST, Capability.SUDO},
    ),
}

_UNSUPPORTED = {"control_group", "mfa_methods", "subscribe_event_types", "pagination_limit", "expiration"}


def parse_policy(name: str, text: str) -> Policy:
    """Understand the text of a policy. Raises BadInput that names every wrong path and key."""
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise BadInput(f"failed to parse policy: the text is longer than {MAX_POLICY_BYTES} bytes")
    try:
        tree = parse(text)
    except SyntaxProblem as error:
        raise BadInput(f"failed to parse policy: {error}") from None
    problems: list[Problem] = []
    rules = [_rule(block, problems) for block in _blocks(tree, problems)]
    if problems:
        raise _refusal(problems)
    return Policy(name, tuple(rules), tuple(_warnings(rules)))


def _refusal(problems: list[Problem]) -> BadInput:
    shown = problems[:_MAX_PROBLEMS]
    more = f"; and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
    return BadInput(f"failed to parse policy: {'; '.join(map(str, shown))}{more}", problems=shown)


@dataclass(frozen=True, slots=True)
class _Block:
    path: str
    body: Body


def _blocks(tree: Body, problems: list[Problem]) -> Iterator[_Block]:
    for entry in tree.entries:
        kind, *labels = entry.keys
        if kind == "name" and not labels:
            continue
        if kind != "path":
            problems.append(
                Problem("", f'invalid key "{shortened(kind)}"{_at(entry)}; a policy consists of path blocks')
            )
        elif len(labels) > 1:
            problems.append(Problem("", f"a path block has one label{_at(entry)}"))
        else:
            yield from _labelled(labels, entry, problems)


def _labelled(labels: list[str], entry: Entry, problems: list[Problem]) -> Iterator[_Block]:
    """Yield the blocks of one entry. JSON says `{"path": {"x": {...}}}`, with lists allowed on both levels."""
    for body in _bodies(entry.value):
        if body is None:
            where = f'path "{shortened(labels[0])}"' if labels else "path"
            problems.append(Problem(where, f"expected a block in braces{_at(entry)}"))
        elif labels:
            yield _Block(labels[0], body)
        else:
            for inner in body.entries:
                yield from _labelled(list(inner.keys[:1]), inner, problems)


def _bodies(value: Value) -> Iterator[Body | None]:
    for item in value if isinstance(value, tuple) else (value,):
        yield item if isinstance(item, Body) else None


def _at(entry: Entry) -> str:
    return f" on line {entry.line}" if entry.line else ""


@dataclass(slots=True)
class _Draft:
    """A rule being read, key by key."""

    capabilities: set[Capability] = field(default_factory=set)
    allowed: dict[str, tuple[ParameterValue, ...]] = field(default_factory=dict)
    denied: dict[str, tuple[ParameterValue, ...]] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    min_wrapping_ttl: int = 0
    max_wrapping_ttl: int = 0


def _rule(block: _Block, problems: list[Problem]) -> PathRule:
    where = f'path "{shortened(block.path)}"'
    pattern = block.path.removeprefix("/")
    problems.extend(Problem(where, reason) for reason in _pattern_problems(pattern))
    draft = _Draft()
    for entry in block.body.entries:
        try:
            _read(draft, entry)
        except ValueError as error:
            problems.append(Problem(where, str(error)))
    if draft.max_wrapping_ttl and draft.max_wrapping_ttl < draft.min_wrapping_ttl:
        problems.append(Problem(where, "max_wrapping_ttl cannot be less than min_wrapping_ttl"))
    template = _template(where, pattern, problems)
    if Capability.DENY in draft.capabilities:
        return PathRule(pattern, frozenset({Capability.DENY}), template=template)
    limits = Limits(draft.allowed, draft.denied, tuple(draft.required), draft.min_wrapping_ttl, draft.max_wrapping_ttl)
    return PathRule(pattern, frozenset(draft.capabilities), limits, template)


def _template(where: str, pattern: str, problems: list[Problem]) -> Template | None:
    if "{{" not in pattern and "}}" not in pattern:
        return None
    try:
        return Template.parse(pattern)
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return None


def _pattern_problems(pattern: str) -> Iterator[str]:
    if "+*" in pattern:
        yield "invalid use of wildcards ('+*' is forbidden)"


def _read(draft: _Draft, entry: Entry) -> None:
    """Take one key of a block into the draft. Raises ValueError with a reason that names the key."""
    key = shortened(" ".join(entry.keys))
    if key in _UNSUPPORTED:
        raise ValueError(f'key "{key}"{_at(entry)} is not supported by this server; remove it')
    reader = _READERS.get(key)
    if reader is None:
        raise ValueError(f'invalid key "{key}"{_at(entry)}')
    try:
        reader(draft, entry.value)
    except ValueError as error:
        raise ValueError(
            f"{key}: {error}{_at(entry)}" if key not in {"capabilities", "policy"} else str(error)
        ) from None


def _read_capabilities(draft: _Draft, value: Value) -> None:
    for text in _texts(value, "capabilities: "):
        capability = _WRITABLE.get(text)
        if capability is None:
            raise ValueError(f'invalid capability "{shortened(text)}"; known are {", ".join(_WRITABLE)}')
        draft.capabilities.add(capability)


def _read_old_policy(draft: _Draft, value: Value) -> None:
    capabilities = _OLD_POLICIES.get(value) if isinstance(value, str) else None
    if capabilities is None:
        raise ValueError(f'invalid policy "{shortened(str(plain(value)))}"; known are {", ".join(_OLD_POLICIES)}')
    draft.capabilities |= capabilities


def _read_allowed(draft: _Draft, value: Value) -> None:
    draft.allowed.update(_parameters(value))


def _read_denied(draft: _Draft, value: Value) -> None:
    draft.denied.update(_parameters(value))


def _read_required(draft: _Draft, value: Value) -> None:
    draft.required.extend(name.lower() for name in _texts(value) if name.lower() not in draft.required)


def _read_min_wrapping(draft: _Draft, value: Value) -> None:
    draft.min_wrapping_ttl = _seconds(value)


def _read_max_wrapping(draft: _Draft, value: Value) -> None:
    draft.max_wrapping_ttl = _seconds(value)


def _read_comment(_draft: _Draft, value: Value) -> None:
    if not isinstance(value, str):
        raise ValueError("expected text")


_READERS: Mapping[str, Callable[[_Draft, Value], None]] = {
    "capabilities": _read_capabilities,
    "policy": _read_old_policy,
    "allowed_parameters": _read_allowed,
    "denied_parameters": _read_denied,
    "required_parameters": _read_required,
    "min_wrapping_ttl": _read_min_wrapping,
    "max_wrapping_ttl": _read_max_wrapping,
    "comment": _read_comment,
}


def _texts(value: Value, prefix: str = "") -> list[str]:
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{prefix}expected a list of quoted strings")
    return [item for item in value if isinstance(item, str)]


def _parameters(value: Value) -> ParameterValues:
    """Read `{ name = [values] }`. Names are folded; equal names join."""
    if not isinstance(value, Body):
        raise ValueError('expected an object such as { "name" = ["value"] }')
    parameters: dict[str, tuple[ParameterValue, ...]] = {}
    for entry in value.entries:
        if len(entry.keys) != 1 or not isinstance(entry.value, tuple):
            raise ValueError(f'expected a list of values for "{shortened(entry.keys[0])}"')
        name = entry.keys[0].lower()
        parameters[name] = (*parameters.get(name, ()), *plain(entry.value))
    return parameters


def _seconds(value: Value) -> int:
    seconds = parse_duration(value)
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    return seconds


def _warnings(rules: list[PathRule]) -> Iterator[str]:
    """Yield what is legal in Vault, means something else than it looks like, and could fail open."""
    for rule in rules:
        if "*" in rule.pattern[:-1]:
            yield (
                f'path "{shortened(rule.pattern)}": "*" is a wildcard only at the end; '
                'elsewhere it stands for itself (use "+" for one whole segment)'
            )
        if any("+" in segment and segment != "+" for segment in rule.pattern.split("/")):
            yield (
                f'path "{shortened(rule.pattern)}": "+" is a wildcard only as a whole segment; '
                "elsewhere it stands for itself"
            )
        for selector in rule.template.unknown() if rule.template is not None else ():
            yield (
                f'path "{shortened(rule.pattern)}": nothing is known as "{shortened(selector)}"; '
                "the rule will never match"
            )
