"""`-output-curl-string`: the request as a curl command, with the token left to the shell instead of the screen."""

import shlex

from chancery.cli.transport import Exchange
from chancery.kit.errors import ChanceryError

TOKEN_HEADER = "X-Vault-Token"  # noqa: S105  # the header's name
TOKEN_EXPRESSION = "$(chancery print token)"  # noqa: S105  # a shell expression, not a token


class CurlInstead(ChanceryError):
    """Not an error: ends the command before anything is sent. The message is the curl command."""


def curl_command(exchange: Exchange, *, skip_verify: bool) -> str:
    """Write the exchange as one line for a POSIX shell."""
    words = ["curl"]
    if skip_verify:
        words.append("--insecure")
    if exchange.address.socket is not None:
        words.append(f"--unix-socket {shlex.quote(str(exchange.address.socket))}")
    if exchange.method != "GET":
        words.append(f"-X {exchange.method}")
    for name, value in exchange.headers:
        shown = TOKEN_EXPRESSION if name == TOKEN_HEADER else _in_double_quotes(value)
        words.append(f'-H "{name}: {shown}"')
    if exchange.body is not None:
        words.append(f"-d {shlex.quote(exchange.body.decode())}")
    return " ".join([*words, f'"{_in_double_quotes(exchange.url)}"'])


def _in_double_quotes(text: str) -> str:
    for character in ("\\", '"', "$", "`"):
        text = text.replace(character, f"\\{character}")
    return text
