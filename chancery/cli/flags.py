"""Flags as this command line declares them: a click option with Go's spelling and Vault's kinds of value."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Duration
from chancery.cli.grammar import FlagSyntax

T = TypeVar("T")


class Kind(click.ParamType[T]):
    """A kind of value: its name as help shows it, and the function that reads it (raising ValueError)."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:  # noqa: ARG002
        """Read a value. Raises UsageFailed naming the flag."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # click hands converted defaults through here once more
        try:
            return self._parse(value)
        except ValueError as error:
            name = param.opts[0].lstrip("-") if param else self.name
            raise UsageFailed(f'invalid value "{value}" for flag -{name}: {error}') from None


def _parse_integer(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise ValueError("it is not a whole number")
    return int(text)


def _parse_pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError("it must be key=value")
    return key, value


STRING = Kind("string", str)
INTEGER = Kind("int", _parse_integer)
DURATION = Kind("duration", Duration.parse)
PAIR = Kind("key=value", _parse_pair)
BOOLEAN = Kind("bool", lambda text: text == "true")

SYSTEM_TTL = "system"


def _parse_ttl(text: str) -> str:
    """Read a lease TTL of a mount: a duration, or `system` for the server's default; kept as the API takes it."""
    return SYSTEM_TTL if text == SYSTEM_TTL else str(Duration.parse(text))


MOUNT_TTL = Kind("duration", _parse_ttl)


class Flag(click.Option):
    """One flag. `repeated` collects every occurrence in order; otherwise the last one wins."""

    def __init__(
        self,
        name: str,
        kind: Kind[Any],
        summary: str,
        *,
        aliases: Sequence[str] = (),
        default: Any = None,
        repeated: bool = False,
    ) -> None:
        spellings = [f"--{spelling}" for spelling in (name, *aliases)]
        super().__init__(
            [name.replace("-", "_"), *spellings], type=kind, help=summary, default=default, multiple=repeated
        )
        self.kind = kind
        self.spelling = name
        self.aliases = tuple(aliases)

    @property
    def syntax(self) -> FlagSyntax:
        """Return how it is written."""
        return FlagSyntax(self.spelling, is_boolean=self.kind is BOOLEAN)

    def usage(self) -> str:
        """Return how help shows it: `-format=<string>`, and any other names."""
        shown = f"-{self.spelling}" if self.kind is BOOLEAN else f"-{self.spelling}=<{self.kind.name}>"
        return ", ".join([*(f"-{alias}" for alias in self.aliases), shown])


def connection_flags() -> list[Flag]:
    """Return the flags that every command which talks to a server has; `ConnectionFlags` is their value."""
    return [
        Flag("address", STRING, "Address of the server. VAULT_ADDR; default https://127.0.0.1:8200."),
        Flag("ca-cert", STRING, "PEM file of the CA to trust, and no other. VAULT_CACERT."),
        Flag("ca-path", STRING, "Directory of PEM files of CAs to trust, and no others. VAULT_CAPATH."),
        Flag("client-cert", STRING, "PEM certificate to present; needs -client-key. VAULT_CLIENT_CERT."),
        Flag("client-key", STRING, "PEM private key of -client-cert. VAULT_CLIENT_KEY."),
        Flag("tls-server-name", STRING, "Name to expect in the server's certificate. VAULT_TLS_SERVER_NAME."),
        Flag("tls-skip-verify", BOOLEAN, "Do not verify the server: anyone may listen. VAULT_SKIP_VERIFY."),
        Flag("namespace", STRING, "Namespace that paths are relative to. VAULT_NAMESPACE.", aliases=("ns",)),
        Flag("header", PAIR, "HTTP header to send besides; may be repeated.", repeated=True),
        Flag("wrap-ttl", DURATION, "Have the answer wrapped in a token that lives this long. VAULT_WRAP_TTL."),
        Flag("disable-redirects", BOOLEAN, "Do not follow a redirect. VAULT_DISABLE_REDIRECTS."),
        Flag(
            "output-curl-string", BOOLEAN, "Print the request as a curl command instead of sending it.", default=False
        ),
        Flag("non-interactive", BOOLEAN, "Never ask for input.", default=False),
    ]


def format_flag() -> Flag:
    """Return `-format`."""
    return Flag("format", STRING, "table, json or yaml (read: also raw). VAULT_FORMAT; default table.")


def field_flag() -> Flag:
    """Return `-field`."""
    return Flag("field", STRING, "Print this field alone, bare: made for pipes.", default="")
