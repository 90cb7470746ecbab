"""Label selectors (`matchLabels`, `matchExpressions`) as Kubernetes defines them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

_MAX_TEXT: Final = 8 * 1024


class Operator(StrEnum):
    """How labels are compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One demand on a label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def is_met(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels are as demanded. `NotIn` is met where the label is absent, as in Kubernetes."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


def parse_selector(text: str) -> tuple[Requirement, ...]:
    """Read a selector in JSON or YAML. Raises ValueError, also for one that demands nothing and so lets everyone in."""
    try:
        document = yaml.safe_load(text) if len(text) <= _MAX_TEXT else None
    except (yaml.YAMLError, RecursionError):
        document = None
    if not isinstance(document, dict) or not set(document) <= {"matchLabels", "matchExpressions"}:
        raise ValueError("expected JSON or YAML with matchLabels, matchExpressions or both")
    requirements = (*_of_labels(document.get("matchLabels") or {}), *_of_list(document.get("matchExpressions") or []))
    if not requirements:
        raise ValueError("demands nothing: give bound_service_account_namespaces as * if every namespace may log in")
    return requirements


def _of_labels(labels: Any) -> list[Requirement]:
    if not isinstance(labels, dict) or not all(isinstance(part, str) for pair in labels.items() for part in pair):
        raise ValueError("matchLabels: expected a map of text")
    return [Requirement(key, Operator.IN, (value,)) for key, value in labels.items()]


def _of_list(expressions: Any) -> list[Requirement]:
    if not isinstance(expressions, list):
        raise ValueError("matchExpressions: expected a list")
    return [_of_expression(expression) for expression in expressions]


def _of_expression(expression: Any) -> Requirement:
    fields = expression if isinstance(expression, dict) else {}
    key, values = fields.get("key"), fields.get("values") or []
    try:
        operator = Operator(str(fields.get("operator")))
    except ValueError:
        raise ValueError(f"matchExpressions: operator: expected one of {', '.join(Operator)}") from None
    if not isinstance(key, str) or not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ValueError("matchExpressions: expected key, operator and values")
    if bool(values) != (operator in {Operator.IN, Operator.NOT_IN}):
        raise ValueError("matchExpressions: In and NotIn have values, Exists and DoesNotExist have none")
    return Requirement(key, operator, tuple(values))
