"""Why a command ended badly, and with which exit code. Codes are Vault's: 1 local or usage, 2 the server's side."""

from collections.abc import Iterator
from contextlib import contextmanager

from chancery.kit.errors import ChanceryError

USAGE_ERROR = 1
REMOTE_ERROR = 2
UNKNOWN_COMMAND = 127
INTERRUPTED = 130


class CommandFailed(ChanceryError):
    """A command cannot go on. The message is shown as it is, on stderr."""

    exit_code = USAGE_ERROR


class UsageFailed(CommandFailed):
    """Wrong flags, arguments, environment or local files; nothing was sent, or nothing was lost."""


class RemoteFailed(CommandFailed):
    """The server could not be reached, or answered no."""

    exit_code = REMOTE_ERROR


class CallFailed(ChanceryError):
    """A request to the server came to nothing. Commands say what they were doing with `failing_as`."""


class Unreachable(CallFailed):
    """No answer: the address, the network, TLS or a proxy is in the way."""


class ApiRefused(CallFailed):
    """An answer with an error status. `messages` are the server's own words, in order."""

    def __init__(self, message: str, *, status: int, messages: tuple[str, ...]) -> None:
        super().__init__(message)
        self.status = status
        self.messages = messages


class Absent(ChanceryError):
    """Nothing is there (404). The commands decide what that means; the message is the server's, and often empty."""


@contextmanager
def failing_as(doing: str, *, exit_code: int = REMOTE_ERROR) -> Iterator[None]:
    """Turn a failed call into the command's failure: `Error reading pki/ca: ...`."""
    try:
        yield
    except CallFailed as failed:
        failure = RemoteFailed(f"{doing}: {failed.message}" if doing else failed.message)
        failure.exit_code = exit_code
        raise failure from failed
