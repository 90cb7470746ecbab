"""Who may import whom: import-linter's contracts, and the places where vendors' packages may appear."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import ROOT, PythonFile, python_files

PRODUCT = ("chancery", "managed_keys", "ca")

CONFINED = {
    "aiohttp": ("chancery/http/", "chancery/outgoing.py", "managed_keys/providers/", "keymgmt/destinations/"),
    "joserfc": ("chancery/auth/jose/",),
    "pkcs11": ("managed_keys/providers/pkcs11/",),
    "boto3": ("managed_keys/providers/", "keymgmt/destinations/"),
    "aiobotocore": ("managed_keys/providers/", "keymgmt/destinations/"),
    "azure": ("managed_keys/providers/", "keymgmt/destinations/"),
    "google": ("managed_keys/providers/", "keymgmt/destinations/"),
    "alembic": ("chancery/storage/",),
    "asyncpg": ("chancery/storage/",),
    "click": ("chancery/cli/",),
}
"""Packages that only certain folders of the product may import, migrations aside."""


@pytest.mark.slow
def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    finished = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout


def test_vendors_packages_stay_where_they_belong() -> None:
    strays = [
        f"{file.path} imports {module}"
        for file in python_files()
        if file.path.parts[0] in PRODUCT and not file.is_migration
        for module in _imported(file)
        if not str(file.path).startswith(CONFINED.get(module.partition(".")[0], ("",)))
    ]
    assert not strays


def test_the_product_imports_no_test() -> None:
    strays = [
        f"{file.path} imports {module}"
        for file in python_files()
        if file.path.parts[0] in PRODUCT
        for module in _imported(file)
        if module.partition(".")[0] in {"tests", "bench", "scripts"}
    ]
    assert not strays


def _imported(file: PythonFile) -> Iterator[str]:
    """Yield the absolute name of every module imported, local imports included."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
