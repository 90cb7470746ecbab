"""A small client for Vault's HTTP API: one keep-alive connection, JSON in and out. Not safe for several threads."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class Refused(Exception):
    """The server answered with an error. Carries the answer."""

    def __init__(self, what: str, answer: "Answer") -> None:
        super().__init__(f"{what}: {answer.status} {answer.body}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and decoded JSON body; the body is empty when the server sent none."""

    status: int
    body: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """Return the `data` of the envelope, empty when there is none."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def errors(self) -> list[str]:
        """Return the messages of an error answer."""
        return [str(item) for item in self.body.get("errors") or []]


class ApiClient:
    """Speaks to one server. Connection failures surface as OSError or http.client.HTTPException."""

    def __init__(self, address: str, token: str = "", *, timeout: float = 30.0) -> None:
        self.address = address
        self.token = token
        self._connection = HTTPConnection(urlsplit(address).netloc, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send one request below `/v1/` and return whatever was answered."""
        headers = {"X-Vault-Token": self.token} if self.token else {}
        payload = None
        if body is not None:
            payload = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, f"/v1/{path}", payload, headers)
            response = self._connection.getresponse()
            raw = response.read()
        except (OSError, HTTPException):
            self._connection.close()
            raise
        return Answer(response.status, json.loads(raw) if raw.strip() else {})

    def read(self, path: str) -> Answer:
        """GET. Raises Refused on an error answer."""
        return self._checked("GET", path)

    def write(self, path: str, **body: Any) -> Answer:
        """POST. Raises Refused on an error answer."""
        return self._checked("POST", path, body)

    def delete(self, path: str) -> Answer:
        """DELETE. Raises Refused on an error answer."""
        return self._checked("DELETE", path)

    def _checked(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        answer = self.request(method, path, body)
        if answer.status >= 400:
            raise Refused(f"{method} {path}", answer)
        return answer


def health(address: str) -> int:
    """Return the status of `sys/health`, or 0 when nothing answers."""
    with ApiClient(address, timeout=5.0) as client:
        try:
            return client.request("GET", "sys/health").status
        except (OSError, HTTPException, ValueError):
            return 0
