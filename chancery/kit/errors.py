"""The one tree of errors. HTTP statuses for it live in `chancery.http.errors` and nowhere else.

Messages are lower case, say what was wrong and what to do about it, and never contain a secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ChanceryError(Exception):
    """Whatever this server refuses or fails to do, said in words that a client may read."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong field: its name as the client spells it, and what is wrong with it."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


class BadInput(ChanceryError):
    """The request itself is wrong (400). Carries every wrong field at once."""

    def __init__(self, message: str = "", *, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message or "; ".join(map(str, self.problems)))

    @classmethod
    def of(cls, field: str, reason: str) -> "BadInput":
        """Build the error for a single wrong field."""
        return cls(problems=[Problem(field, reason)])


class Denied(ChanceryError):
    """The caller may not do this (403). Says nothing about what exists."""

    def __init__(self, message: str = "permission denied") -> None:
        super().__init__(message)


class NotFound(ChanceryError):
    """The thing asked for does not exist (404). Without a message: Vault's empty list of errors."""


class UnsupportedOperation(ChanceryError):
    """The path exists but not with this operation (405)."""

    def __init__(self, message: str = "unsupported operation") -> None:
        super().__init__(message)


class Conflict(ChanceryError):
    """Somebody else changed the thing first, or it is in a state that forbids the act (409)."""


class PayloadTooLarge(ChanceryError):
    """The body exceeds the configured limit (413)."""


class RateLimited(ChanceryError):
    """Too many requests (429). `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Sealed(ChanceryError):
    """The barrier is sealed; nothing but unsealing can be done (503)."""

    def __init__(self, message: str = "Vault is sealed") -> None:
        super().__init__(message)


class NotInitialized(Sealed):
    """There is no barrier yet: `sys/init` comes first (503)."""

    def __init__(self, message: str = "Vault is not initialized") -> None:
        super().__init__(message)


class Unavailable(ChanceryError):
    """Something this server depends on is away; trying again later may work (503). `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BackendRefused(ChanceryError):
    """An HSM, KMS or other peer answered, and refused; trying again does not help (500)."""


class Corrupted(ChanceryError):
    """What is stored cannot be what was written: fails authentication or parsing (500)."""
