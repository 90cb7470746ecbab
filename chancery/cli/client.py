"""Vault's HTTP API as the commands use it: builds requests, follows one redirect, retries if told to, reads answers."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlencode, urljoin

from chancery.cli.answers import Secret, error_messages, parse_secret
from chancery.cli.connection import Address, Connection
from chancery.cli.curl import CurlInstead, curl_command
from chancery.cli.failures import Absent, ApiRefused, CallFailed, Unreachable
from chancery.cli.golang import Json
from chancery.cli.json_text import NotJson, decode, encode, sorted_keys
from chancery.cli.transport import Exchange, HttpAnswer, send

REDIRECTS = frozenset({301, 302, 307, 308})
NOT_IMPLEMENTED = 501
PATH_SAFE = "/$&+,:;=@~"
LONGEST_WAIT = 30.0

Send = Callable[[Exchange], HttpAnswer]


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API. `path` is without `/v1/`."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Json = field(default=None, repr=False)
    content_type: str = ""
    token: str | None = field(default=None, repr=False)
    """Another token than the connection's."""
    wraps: bool = True
    """Whether `-wrap-ttl` concerns this call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back with a status below 400, or with 404, which is for the caller to judge."""

    url: str
    status: int
    content_type: str
    body: bytes = field(repr=False)

    def document(self) -> Json:
        """Return the body as JSON; None when it is empty. Raises CallFailed when it is something else."""
        try:
            return decode(self.body) if self.body.strip() else None
        except NotJson:
            what = self.content_type or "of an unnamed type"
            raise CallFailed(f"the answer is not JSON but {what}; -format=raw prints it as it is") from None

    def object(self) -> dict[str, Json]:
        """Return the body as a JSON object; an empty body is an empty object. Raises CallFailed."""
        document = self.document()
        if document is None:
            return {}
        if not isinstance(document, dict):
            raise CallFailed(f"the answer from {self.url} is JSON, but not an object")
        return document


class Client:
    """Talks to one server on behalf of one command."""

    def __init__(
        self, connection: Connection, sender: Send | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._connection = connection
        self._send: Send = sender or (lambda exchange: send(exchange, connection.tls, connection.timeout))
        self._sleep = sleep

    def call(self, call: Call) -> Answer:
        """Carry out a call. 404 is an answer. Raises ApiRefused for any other error status, and Unreachable."""
        exchange = self._exchange(call)
        if self._connection.prints_curl:
            raise CurlInstead(curl_command(exchange, skip_verify=self._connection.tls.skip_verify))
        received = self._redirected(exchange, self._with_retries(exchange))
        answer = Answer(exchange.url, received.status, received.headers.get("content-type", ""), received.body)
        if answer.status >= 300 and answer.status != 404:
            raise self._refusal(call.method, answer)
        return answer

    def require(self, call: Call) -> Answer:
        """Carry out a call for which 404 is an error like others. Raises ApiRefused."""
        answer = self.call(call)
        if answer.status == 404:
            raise self._refusal(call.method, answer)
        return answer

    def secret(self, call: Call) -> Secret:
        """Carry out a read that answers in Vault's envelope. Raises Absent for 404, and when there is no body."""
        answer = self.call(call)
        secret = parse_secret(answer.object())
        if secret is None or (answer.status == 404 and not _says_something(secret)):
            raise Absent("\n".join(f"* {message}" for message in error_messages(answer.body) or ()))
        return secret

    def written(self, call: Call) -> Secret | None:
        """Carry out a write: 404 is an error, unless the answer carries warnings or data."""
        answer = self.call(call)
        try:
            secret = parse_secret(answer.object())
        except CallFailed:
            if answer.status == 404:
                raise self._refusal(call.method, answer) from None
            raise
        if answer.status == 404 and not _says_something(secret):
            raise self._refusal(call.method, answer)
        return secret

    def _exchange(self, call: Call) -> Exchange:
        connection = self._connection
        target = f"{connection.address.prefix}/v1/{quote(call.path.strip('/'), safe=PATH_SAFE)}"
        if call.query:
            target += f"?{urlencode(sorted(call.query))}"
        body = None if call.body is None else encode(sorted_keys(call.body)).encode()
        return Exchange(call.method, connection.address, target, self._headers(call), body)

    def _headers(self, call: Call) -> tuple[tuple[str, str], ...]:
        connection = self._connection
        headers = [("X-Vault-Request", "true")]
        token = connection.token if call.token is None else call.token
        if token:
            headers.append(("X-Vault-Token", token))
        if connection.namespace:
            headers.append(("X-Vault-Namespace", connection.namespace))
        if connection.wrap_ttl and call.wraps:
            headers.append(("X-Vault-Wrap-TTL", str(connection.wrap_ttl)))
        if call.content_type or call.body is not None:
            headers.append(("Content-Type", call.content_type or "application/json"))
        return (*headers, *connection.headers)

    def _redirected(self, exchange: Exchange, answer: HttpAnswer) -> HttpAnswer:
        """Follow one redirect, as a standby node sends to the active one, with the token; never from TLS to plain."""
        location = answer.headers.get("location")
        if answer.status not in REDIRECTS or not location or not self._connection.follows_redirects:
            return answer
        url = urljoin(exchange.url, location)
        if exchange.address.scheme == "https" and not url.startswith("https:"):
            raise Unreachable(f"{exchange.url} redirects to {url}, which is not protected by TLS: refused to follow")
        elsewhere = Address.parse(url)
        query = url.partition("?")[2]
        target = (elsewhere.prefix or "/") + (f"?{query}" if query else "")
        return self._with_retries(replace(exchange, address=elsewhere, target=target))

    def _with_retries(self, exchange: Exchange) -> HttpAnswer:
        """Send; again after 5xx (but 501) or no connection, as often as VAULT_MAX_RETRIES allows."""
        for attempt in range(self._connection.max_retries):
            try:
                answer = self._send(exchange)
            except Unreachable:
                self._sleep(_pause(attempt, {}))
                continue
            if answer.status < 500 or answer.status == NOT_IMPLEMENTED:
                return answer
            self._sleep(_pause(attempt, answer.headers))
        return self._send(exchange)

    def _refusal(self, method: str, answer: Answer) -> ApiRefused:
        """Build the error in the layout that people search logs for."""
        namespace = f"Namespace: {self._connection.namespace}\n" if self._connection.namespace else ""
        head = f"Error making API request.\n\n{namespace}URL: {method} {answer.url}\nCode: {answer.status}. "
        messages = error_messages(answer.body)
        if messages is None:
            raw = answer.body.decode(errors="replace").strip()
            return ApiRefused(f"{head}Raw Message:\n\n{raw}", status=answer.status, messages=())
        lines = "\n".join(f"* {message}" for message in messages)
        return ApiRefused(f"{head}Errors:\n\n{lines}", status=answer.status, messages=messages)


def _says_something(secret: Secret | None) -> bool:
    """Tell whether an answer with status 404 is an answer all the same."""
    return secret is not None and bool(secret.warnings or secret.data)


def _pause(attempt: int, headers: Mapping[str, str]) -> float:
    """Return seconds to wait: what Retry-After says, or one to one and a half, growing with the attempts."""
    asked = headers.get("retry-after", "")
    if asked.isdecimal():
        return min(float(asked), LONGEST_WAIT)
    return (attempt + 1) * random.uniform(1.0, 1.5)  # noqa: S311  # spreads load, guards nothing
