"""What lines show, and what they never do."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest

from chancery.audit.concealment import Concealment, is_secret

SALT = b"s" * 32
PLAIN = Concealment(SALT)
RAW = Concealment(SALT, raw=True)


def hidden(text: str) -> str:
    return "hmac-sha256:" + hmac.new(SALT, text.encode(), hashlib.sha256).hexdigest()


def test_texts_are_hidden_wherever_they_are() -> None:
    data: dict[str, Any] = {
        "name": "x",
        "empty": "",
        "ttl": 60,
        "rate": 0.5,
        "on": True,
        "none": None,
        "list": ["a", 1, {"b": "c"}],
        "map": {"key_usage": ["d"], "when": datetime(2026, 1, 1, tzinfo=UTC)},
        "blob": b"\x00",
    }
    assert PLAIN.fields(data) == {
        "name": hidden("x"),
        "empty": hidden(""),
        "ttl": 60,
        "rate": 0.5,
        "on": True,
        "none": None,
        "list": [hidden("a"), 1, {"b": hidden("c")}],
        "map": {"key_usage": [hidden("d")], "when": hidden("2026-01-01 00:00:00+00:00")},
        "blob": hidden("b'\\x00'"),
    }


def test_named_fields_are_shown() -> None:
    shown = PLAIN.fields({"common_name": "a.example.com", "csr": "text", "sans": ["a"]}, {"common_name", "sans"})
    assert shown == {"common_name": "a.example.com", "csr": hidden("text"), "sans": ["a"]}


SECRETS: list[dict[str, Any]] = [
    {"pin": "1234"},
    {"pin": 1234},
    {"so_pin": "1234"},
    {"Password": "hunter2"},
    {"secret_id": "abc"},
    {"client_token": "root"},
    {"id": "custom-token"},
    {"private_key": "text"},
    {"keys": ["share"]},
    {"value": "-----BEGIN EC PRIVATE KEY-----\nabc"},
    {"value": "see hvs.CAESIJlqRjCabcdefgh"},
    {"nested": {"list": [{"aws_secret_key": "k"}, "-----BEGIN PRIVATE KEY-----"]}},
]


@pytest.mark.parametrize("data", SECRETS)
@pytest.mark.parametrize("how", ["plain", "raw", "tuned"])
def test_no_setting_shows_a_secret(data: dict[str, Any], how: str) -> None:
    shown = (RAW if how == "raw" else PLAIN).fields(data, set(data) if how == "tuned" else ())
    text = str(shown)
    assert "hmac-sha256:" in text
    for secret in (
        "1234'",
        "1234}",
        "hunter2",
        "abc'",
        "custom-token",
        "PRIVATE",
        "share",
        "hvs.",
        "'k'",
        "'text'",
        "root",
    ):
        assert secret not in text


def test_raw_shows_the_rest() -> None:
    data = {"common_name": "a", "list": ["b", {"c": "d", "e": None}], "n": 1}
    assert RAW.fields(data) == data
    assert RAW.accessor("acc") == "acc"
    assert PLAIN.accessor("acc") == hidden("acc")
    assert Concealment(SALT, accessors_clear=True).accessor("acc") == "acc"


def test_names_of_secrets() -> None:
    assert all(map(is_secret, ("PIN", "vault_token", "bind_password", "client_secret")))
    assert not any(map(is_secret, ("key_type", "token_type", "serial_number", "pinned", "tokens_total")))


def test_bodies() -> None:
    assert PLAIN.body(b"x") == hidden("x")
    assert PLAIN.hidden("\ud800").startswith("hmac-sha256:")
