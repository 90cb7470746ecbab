"""Small files, small functions. What outgrows a limit is split by concept."""

from tests.support.sources import FunctionNode, python_files

FILE_LINES = 500
TEST_FILE_LINES = 700
FUNCTION_LINES = 60


def test_files_are_small() -> None:
    too_long = [
        f"{file.path}: {lines} lines"
        for file in python_files()
        if not file.is_migration
        and (lines := file.text.count("\n")) > (TEST_FILE_LINES if file.is_test else FILE_LINES)
    ]
    assert not too_long


def test_functions_are_small() -> None:
    too_long = [
        f"{file.path}:{function.lineno} {function.name}: {lines} lines"
        for file in python_files()
        if not file.is_migration
        for function in file.functions()
        if (lines := _lines(function)) > FUNCTION_LINES
    ]
    assert not too_long


def _lines(function: FunctionNode) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def test_names_of_test_files_are_unique() -> None:
    """Pytest imports a test file by its bare name where the folder is no package: two of one name hide each other."""
    names = [file.path.name for file in python_files() if file.path.name.startswith("test_")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
