"""What a command works with: its client, its output, and where tokens are kept."""

import sys
from dataclasses import dataclass, field, replace
from functools import cached_property

from chancery.cli.answers import Secret
from chancery.cli.client import Client
from chancery.cli.connection import Connection, ConnectionFlags, resolve
from chancery.cli.environment import Environment
from chancery.cli.failures import UsageFailed
from chancery.cli.output import Output
from chancery.cli.token_helper import TokenHelper


@dataclass(frozen=True)
class Session:
    """One run of one command."""

    flags: ConnectionFlags
    output: Output
    environment: Environment = field(repr=False)

    @cached_property
    def token_helper(self) -> TokenHelper:
        """Return where the token is kept between commands."""
        return TokenHelper.at_home(self.environment)

    @cached_property
    def token(self) -> str:
        """Return the token in effect: from the environment, else from the helper, else empty."""
        return self.environment.text("TOKEN").strip() or self.token_helper.load()

    @cached_property
    def connection(self) -> Connection:
        """Return how to reach the server. Raises UsageFailed."""
        return resolve(self.flags, self.environment, self.token)

    @cached_property
    def client(self) -> Client:
        """Return the client for this server and token."""
        return Client(self.connection)

    def client_with(self, *, token: str) -> Client:
        """Return a client that uses another token and asks for no wrapping."""
        return Client(replace(self.connection, token=token, wrap_ttl=None))

    def show(self, secret: Secret | None, otherwise: str = "") -> None:
        """Print an answer; when there is none, say that it worked."""
        if secret is not None:
            self.output.secret(secret)
        elif otherwise:
            self.output.success(otherwise)

    @staticmethod
    def read_stdin() -> str:
        """Return all of stdin, exactly. Raises UsageFailed when it is not UTF-8."""
        try:
            return sys.stdin.buffer.read().decode()
        except UnicodeDecodeError:
            raise UsageFailed("standard input is not UTF-8 text: encode binary data in base64 first") from None
