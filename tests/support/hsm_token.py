"""Tokens for tests: private SoftHSM tokens, each in its own directory."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chancery.kit.engine import KmsLibrary
from managed_keys.providers.pkcs11.softhsm import find_module, initialise_token

SO_PIN = "87654321"


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A SoftHSM token, and the library that leads to it."""

    library: KmsLibrary
    label: str
    pin: str
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs in its environment to see the token."""
        return os.environ | dict(self.library.environment)

    def list_slots(self) -> str:
        """Return what `pkcs11-tool -L` prints."""
        command = ["pkcs11-tool", "--module", str(self.library.library), "--list-token-slots"]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def pkcs11_tool(self, *arguments: str) -> str:
        """Run `pkcs11-tool` on the token, logged in, and return what it prints."""
        command = ["pkcs11-tool", "--module", str(self.library.library), "--token-label", self.label]
        ran = subprocess.run(
            [*command, "--login", "--pin", self.pin, *arguments],
            env=self.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return ran.stdout

    def with_library(self, **changes: object) -> "SoftToken":
        """Return the token behind a changed library definition."""
        return replace(self, library=replace(self.library, **changes))  # type: ignore[arg-type]  # as the caller says


def make_token(directory: Path, *, label: str = "test", timeout: float = 10.0) -> SoftToken:
    """Make a token in a fresh directory."""
    module = find_module()
    if module is None:
        pytest.fail("SoftHSM is not installed: apt-get install softhsm2 opensc")
    pin = secrets.token_hex(4)
    environment = initialise_token(module, directory, label, pin, SO_PIN)
    library = KmsLibrary("softhsm", "pkcs11", module, environment, timeout=timeout)
    return SoftToken(library, label, pin, directory)


def token_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    """Yield a token that the tests of one module share."""
    yield make_token(tmp_path_factory.mktemp("softhsm"))
