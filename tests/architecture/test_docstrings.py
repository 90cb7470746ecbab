"""Every module, public class and public function says what it is for.

Test functions speak through their names. In tests only modules and what `tests/support` offers need words.
"""

import ast
from collections.abc import Iterator

from tests.support.sources import PythonFile, python_files


def test_modules_have_docstrings() -> None:
    silent = [str(file.path) for file in python_files() if file.tree.body and not ast.get_docstring(file.tree)]
    assert not silent


def test_public_classes_and_functions_have_docstrings() -> None:
    silent = [
        f"{file.path}:{node.lineno} {node.name}"
        for file in python_files()
        if not file.is_migration and (not file.is_test or file.path.parts[1] == "support")
        for node in _public(file)
        if not ast.get_docstring(node)
    ]
    assert not silent


def _public(file: PythonFile) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield public definitions of the module, and public methods of its public classes outside tests."""
    for node in _definitions(file.tree.body):
        yield node
        if isinstance(node, ast.ClassDef) and not file.is_test:
            yield from (member for member in _definitions(node.body) if not _repeats_another(member))


def _definitions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def _repeats_another(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Tell whether a decorator says that the words stand elsewhere: an overload, an override, a setter."""
    marks = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(marks & {"overload", "override", "setter"})
