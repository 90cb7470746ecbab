"""Limits on parameters, as documented for `allowed_parameters`, `denied_parameters` and `required_parameters`."""

from typing import Any

import pytest

from chancery.policy.model import Limits
from chancery.policy.parameters import permitted
from chancery.policy.parse import parse_policy


def _limits(text: str) -> Limits:
    (rule,) = parse_policy("p", f'path "x" {{ capabilities = ["update"] {text} }}').rules
    return rule.limits


@pytest.mark.parametrize(
    ("limits", "data", "expected"),
    [
        ('required_parameters = ["csr"]', {}, False),
        ('required_parameters = ["csr"]', {"CSR": ""}, True),
        ("allowed_parameters = { a = [] }", {}, True),
        ("allowed_parameters = { a = [] }", {"a": "anything"}, True),
        ("allowed_parameters = { a = [] }", {"b": "x"}, False),
        ('allowed_parameters = { a = [], "*" = [] }', {"b": "x"}, True),
        ('allowed_parameters = { a = ["x"], "*" = [] }', {"a": "y"}, False),
        ('allowed_parameters = { a = ["x"], "*" = [] }', {"b": "y", "A": "x"}, True),
        ('allowed_parameters = { a = ["x-*"] }', {"a": "x-1"}, True),
        ('allowed_parameters = { a = ["*-x"] }', {"a": "1-x"}, True),
        ('allowed_parameters = { a = ["*.x.*"] }', {"a": "1.x.2"}, True),
        ('allowed_parameters = { a = ["x*y"] }', {"a": "xzy"}, False),
        ('allowed_parameters = { a = ["*"] }', {"a": "x"}, False),
        ('allowed_parameters = { a = ["x", "y"] }', {"a": ["y", "x"]}, True),
        ('allowed_parameters = { a = ["x", "y"] }', {"a": ["y", "z"]}, False),
        ('allowed_parameters = { a = ["x", "y"] }', {"a": "x, y"}, True),
        ('allowed_parameters = { a = ["x", "y"] }', {"a": "x,z"}, False),
        ('allowed_parameters = { a = ["x,z"] }', {"a": "x,z"}, True),
        ('allowed_parameters = { a = [["x", "z"]] }', {"a": ["x", "z"]}, True),
        ("allowed_parameters = { a = [3600] }", {"a": 3600}, True),
        ("allowed_parameters = { a = [3600] }", {"a": "3600"}, True),
        ("allowed_parameters = { a = [true] }", {"a": True}, True),
        ("allowed_parameters = { a = [1] }", {"a": True}, False),
        ('allowed_parameters = { a = ["x"] }', {"a": None}, False),
        ("denied_parameters = { a = [] }", {"a": "x"}, False),
        ("denied_parameters = { a = [] }", {"b": "x"}, True),
        ('denied_parameters = { "*" = [] }', {"b": "x"}, False),
        ('denied_parameters = { "*" = [] }', {}, True),
        ('denied_parameters = { a = ["x"] }', {"A": "x"}, False),
        ('denied_parameters = { a = ["x"] }', {"a": "y"}, True),
        ('denied_parameters = { a = ["x"] }', {"a": ["y", "x"]}, False),
        ('denied_parameters = { a = ["x"] }', {"a": "y,x"}, False),
        ("denied_parameters = { a = [10] }", {"a": "10"}, False),
        ('denied_parameters = { a = ["10"] }', {"a": 10}, False),
        ('denied_parameters = { policies = ["admin"] }', {"policies": ["ADMIN"]}, False),
        ('denied_parameters = { policies = ["admin"] }', {"policies": "default,Admin"}, False),
        ('denied_parameters = { a = ["x"] } allowed_parameters = { a = ["x", "y"] }', {"a": "x"}, False),
        ('denied_parameters = { a = ["x"] } allowed_parameters = { a = ["x", "y"] }', {"a": "y"}, True),
    ],
)
def test_permitted(limits: str, data: dict[str, Any], expected: bool) -> None:
    assert permitted(_limits(limits), data) is expected
