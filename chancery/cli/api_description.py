"""An OpenAPI document in words for the terminal: what is below a path, or what a path takes."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chancery.cli.golang import Json, render

WIDTH = 100
_VERBS = {"get": "read", "post": "write", "put": "write", "patch": "patch", "delete": "delete"}
_REFERENCE = "#/components/schemas/"

Object = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that an operation takes."""

    name: str
    type: str
    description: str
    default: str
    """As shown; empty when there is none worth showing."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be done at a path, under the name of the command that does it."""

    verb: str
    summary: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class ApiPath:
    """One path pattern, without its leading slash: `pki/roles/{name}`."""

    pattern: str
    operations: tuple[Operation, ...]

    def matches(self, segments: Sequence[str]) -> bool:
        """Tell whether concrete segments, or the pattern itself, name this path."""
        own = self.pattern.split("/")
        return len(own) == len(segments) and all(map(_fits, own, segments))

    def is_below(self, segments: Sequence[str]) -> bool:
        """Tell whether this path lies deeper than the segments."""
        own = self.pattern.split("/")
        return len(own) > len(segments) and all(map(_fits, own, segments))


def _fits(pattern: str, segment: str) -> bool:
    return pattern == segment or (pattern.startswith("{") and pattern.endswith("}"))


def parse_paths(document: Object) -> tuple[ApiPath, ...]:
    """Read the paths of an OpenAPI 3 document; what is not in its shape is left out."""
    paths = _object(document.get("paths"))
    return tuple(
        ApiPath(pattern.strip("/"), tuple(_operations(_object(item), document)))
        for pattern, item in sorted(paths.items())
    )


def _operations(item: Object, document: Object) -> Iterator[Operation]:
    for method, verb in _VERBS.items():
        operation = _object(item.get(method))
        if not operation:
            continue
        queries = [_object(parameter) for parameter in _list(operation.get("parameters"))]
        lists = verb == "read" and any(query.get("name") == "list" for query in queries)
        parameters = [
            _parameter(
                render(query.get("name", "")), _object(query.get("schema")), render(query.get("description", ""))
            )
            for query in queries
            if query.get("name") != "list"
        ]
        parameters += [_parameter(name, _object(schema), "") for name, schema in _body(operation, document).items()]
        yield Operation("list" if lists else verb, render(operation.get("summary", "")), tuple(parameters))


def _body(operation: Object, document: Object) -> Object:
    """Return the properties of the request's JSON object, following a reference to the components."""
    content = _object(_object(operation.get("requestBody")).get("content"))
    media = content.get("application/json") or content.get("application/merge-patch+json")
    schema = _object(_object(media).get("schema"))
    reference = render(schema.get("$ref", ""))
    if reference.startswith(_REFERENCE):
        schemas = _object(_object(document.get("components")).get("schemas"))
        schema = _object(schemas.get(reference.removeprefix(_REFERENCE)))
    return _object(schema.get("properties"))


def _parameter(name: str, schema: Object, description: str) -> Parameter:
    kind = schema.get("type")
    if kind is None:
        alternatives = [render(_object(option).get("type", "")) for option in _list(schema.get("anyOf"))]
        kind = " or ".join(filter(None, alternatives)) or "any"
    text = description or render(schema.get("description", ""))
    default = schema.get("default")
    return Parameter(name, render(kind), text, "" if default in (None, "", [], {}) else render(default))


def _object(value: Json) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def describe(paths: Sequence[ApiPath], asked: str) -> str:
    """Describe the path that matches best, and list what is below it. Empty when there is neither."""
    segments = asked.split("/")
    exact = [path for path in paths if path.matches(segments)]
    below = [path for path in paths if path.is_below(segments)]
    literal = sorted(exact, key=lambda path: path.pattern.count("{"))[:1]
    blocks = [_describe_path(path) for path in literal]
    if below:
        width = max(len(path.pattern) for path in below)
        lines = [f"  {path.pattern.ljust(width)}  {_verbs(path)}" for path in below]
        blocks.append("\n".join([f"Below {asked}:", "", *lines]))
    return "\n\n".join(blocks)


def _verbs(path: ApiPath) -> str:
    return ", ".join(operation.verb for operation in path.operations)


def _describe_path(path: ApiPath) -> str:
    lines = [path.pattern, ""]
    lines += [f"  {operation.verb:<6}  {operation.summary}".rstrip() for operation in path.operations]
    takers: dict[tuple[Parameter, ...], list[str]] = {}
    for operation in path.operations:
        takers.setdefault(operation.parameters, []).append(operation.verb)
    for parameters, verbs in takers.items():
        if parameters:
            lines += ["", f"Parameters of {' and '.join(verbs)}:"]
        for parameter in parameters:
            lines += ["", f"  {parameter.name} ({parameter.type})", *_explain(parameter)]
    return "\n".join(lines)


def _explain(parameter: Parameter) -> list[str]:
    default = f"Default {parameter.default}." if parameter.default else ""
    text = " ".join(filter(None, [_sentence(parameter.description), default]))
    return textwrap.wrap(text, WIDTH, initial_indent="      ", subsequent_indent="      ")


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
