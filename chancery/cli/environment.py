"""What the environment says. Each variable has three spellings: CHANCERY_X goes before VAULT_X, and that before BAO_X.

An empty variable counts as absent, as in Vault.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Duration

PREFIXES = ("CHANCERY_", "VAULT_", "BAO_")
TRUE_WORDS = frozenset({"1", "t", "true"})
FALSE_WORDS = frozenset({"0", "f", "false"})


def parse_bool(text: str) -> bool:
    """Read a boolean as Go does: 1, t, true, 0, f, false in any usual case. Raises ValueError."""
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(f'"{text}" is neither true nor false')


@dataclass(frozen=True, slots=True)
class Environment:
    """A view of the process's environment variables."""

    variables: Mapping[str, str]

    def spelling(self, name: str) -> str | None:
        """Return the variable that decides: `VAULT_ADDR` for `ADDR`, say. None when none is set."""
        return next((prefix + name for prefix in PREFIXES if self.variables.get(prefix + name)), None)

    def text(self, name: str, default: str = "") -> str:
        """Return the value, or the default when no spelling is set."""
        spelling = self.spelling(name)
        return self.variables[spelling] if spelling else default

    def flag(self, name: str) -> bool:
        """Return a boolean variable; absent is false. Raises UsageFailed naming the variable."""
        spelling = self.spelling(name)
        try:
            return parse_bool(self.variables[spelling]) if spelling else False
        except ValueError as error:
            raise UsageFailed(f"failed to read environment: {spelling}: {error}") from None

    def integer(self, name: str, default: int) -> int:
        """Return a variable that is a whole number, zero or more. Raises UsageFailed naming the variable."""
        spelling = self.spelling(name)
        if spelling is None:
            return default
        if not self.variables[spelling].isdecimal():
            raise UsageFailed(f'failed to read environment: {spelling}: "{self.variables[spelling]}" is not a number')
        return int(self.variables[spelling])

    def duration(self, name: str) -> Duration | None:
        """Return a variable that is a duration, or None. Raises UsageFailed naming the variable."""
        spelling = self.spelling(name)
        try:
            return Duration.parse(self.variables[spelling]) if spelling else None
        except ValueError as error:
            raise UsageFailed(f"failed to read environment: {spelling}: {error}") from None
