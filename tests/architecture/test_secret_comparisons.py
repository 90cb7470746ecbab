"""Secrets are compared in constant time: `hmac.compare_digest`, or a look-up by keyed hash. Never `==`."""

import ast
from collections.abc import Iterator

from tests.support.sources import PythonFile, python_files

_PRODUCT = {"chancery", "managed_keys", "ca"}
_SECRETS = frozenset(
    {
        "client_token", "id_token", "jwt", "mac", "material", "otp", "passphrase", "password", "password_hash", "pin",
        "private_key", "root_key", "root_token", "secret", "secret_hash", "secret_id", "share", "shares", "token",
        "unseal_key", "wrapping_token",
    }
)  # fmt: skip
"""Last words of expressions that hold a secret, or something that is as good as one."""

ALLOWED = {
    "chancery/auth/userpass/engine.py: document.value.password_hash == checked.password_hash": (
        "both come from the database: did somebody change it meanwhile?"
    ),
    "chancery/cli/commands/data.py: token != own": "both are the user's own",
    "chancery/seal/records.py: after.root_key != before.root_key": "both are wrapped: did a rekey store another?",
    "managed_keys/providers/pkcs11/keeper.py: refused.address.secret == address.secret": (
        "both come from the settings: was the PIN changed since it was refused?"
    ),
}
"""Comparisons that nobody outside can put a guess into, with the reason."""


def test_secrets_are_not_compared_by_equality() -> None:
    found = {
        f"{file.path}: {comparison}"
        for file in python_files()
        if file.path.parts[0] in _PRODUCT and not file.is_migration
        for comparison in _comparisons(file)
    }
    assert found - ALLOWED.keys() == set(), "use hmac.compare_digest"
    assert ALLOWED.keys() - found == set(), "no longer there: take it off the list"


def _comparisons(file: PythonFile) -> Iterator[str]:
    """Yield every `==`, `!=` and `in` between a secret and something that is no literal; SQL is not Python's."""
    for node in ast.walk(file.tree):
        if (
            isinstance(node, ast.Compare)
            and len(node.ops) == 1
            and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In)
        ):
            sides = (node.left, node.comparators[0])
            is_secret = _last_word(node.left) in _SECRETS or (
                not isinstance(node.ops[0], ast.In) and _last_word(sides[1]) in _SECRETS
            )
            if is_secret and not any(_is_literal(side) or _is_column(side) for side in sides):
                yield ast.unparse(node)


def _last_word(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lstrip("_")
        case ast.Call(func=ast.Attribute(value=value, attr="encode" | "decode" | "strip")):
            return _last_word(value)
        case _:
            return ""


def _is_literal(node: ast.expr) -> bool:
    """Tell whether an expression is a constant, or a name in capitals."""
    match node:
        case ast.Constant() | ast.Set() | ast.Tuple():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lstrip("_").isupper()
        case ast.Call(func=ast.Name(id="Secret")):
            return True
        case _:
            return False


def _is_column(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id=name)):
            return name.startswith("_") and name[1:].isupper()
        case ast.Attribute(value=ast.Attribute(attr="c")) | ast.Call(func=ast.Name(id="bindparam")):
            return True
        case _:
            return False
