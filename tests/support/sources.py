"""The project's own files, as git sees them: tracked, or new and not ignored. Read once a run."""

import ast
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BUILT = {"__pycache__", "build", "dist"}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class PythonFile:
    """One Python file: its path below the root, its text, its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def is_test(self) -> bool:
        """Tell whether the file lies below tests/."""
        return self.path.parts[0] == "tests"

    @property
    def is_migration(self) -> bool:
        """Tell whether the file is history: a schema migration is never edited again."""
        return "migrations" in self.path.parts and "versions" in self.path.parts

    def functions(self) -> Iterator[FunctionNode]:
        """Yield every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, FunctionNode):
                yield node


@cache
def files(*patterns: str) -> tuple[Path, ...]:
    """Return the project's files that match patterns, relative to the root, in order; `*` matches `/` too."""
    listed = _listed_by_git() if (ROOT / ".git").exists() else _found_on_disk()
    return tuple(sorted(path for path in listed if any(fnmatch(str(path), pattern) for pattern in patterns)))


def _listed_by_git() -> Iterator[Path]:
    """Yield what is tracked, or new and not ignored. The checkout may belong to another user, as CI's often does."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return (path for path in map(Path, filter(None, listed.split("\0"))) if (ROOT / path).is_file())


def _found_on_disk() -> Iterator[Path]:
    """Yield the files of an unpacked archive, without hidden folders and what building leaves behind."""
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name not in _BUILT]
        yield from (Path(folder, name).relative_to(ROOT) for name in names)


@cache
def python_files() -> tuple[PythonFile, ...]:
    """Return every Python file of the project."""
    return tuple(_parsed(path) for path in files("*.py"))


def _parsed(path: Path) -> PythonFile:
    text = (ROOT / path).read_text(encoding="utf-8")
    return PythonFile(path, text, ast.parse(text, filename=str(path)))
