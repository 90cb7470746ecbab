"""The token on disk: `~/.vault-token`, shared with the `vault` and `bao` commands, readable by its owner alone."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from chancery.cli.environment import Environment
from chancery.cli.failures import UsageFailed

FILE_NAME = ".vault-token"


@dataclass(frozen=True, slots=True)
class TokenHelper:
    """Keeps one token in a file."""

    path: Path

    @classmethod
    def at_home(cls, environment: Environment) -> Self:
        """Return the helper for this user. `VAULT_TOKEN_PATH` moves the file."""
        named = environment.text("TOKEN_PATH")
        home = environment.variables.get("HOME")
        return cls(Path(named) if named else (Path(home) if home else Path.home()) / FILE_NAME)

    def load(self) -> str:
        """Return the token, or the empty string when there is none. Raises UsageFailed when the file is unreadable."""
        try:
            return self.path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise UsageFailed(f"error reading the token in {self.path}: {_reason(error)}") from error

    def store(self, token: str) -> None:
        """Replace the token in one step; the file is never readable by others. Raises UsageFailed."""
        temporary = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(token)
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise UsageFailed(f"error storing the token in {self.path}: {_reason(error)}") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    """Say what happened without repeating anything of the file's contents."""
    return (error.strerror or "input/output error").lower() if isinstance(error, OSError) else "it is not UTF-8 text"
