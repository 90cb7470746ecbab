"""`storage.url` for PostgreSQL: what it may say, what is refused, and that a password is never repeated."""

import ssl
from pathlib import Path

import pytest

from chancery.kit.errors import BadInput
from chancery.settings import SettingsError, parse
from chancery.storage.postgres_url import Target, TlsMode, parse_target


def target(url: str, **environment: str) -> Target:
    return parse_target(url, environment)


def test_everything_in_the_url() -> None:
    found = target("postgresql://us%40er:p%3Ass@db1.example.com:5433,db2.example.com/ca?sslmode=verify-ca")
    assert found.hosts == ("db1.example.com", "db2.example.com")
    assert found.ports == (5433, 5432)
    assert (found.user, found.password, found.database, found.tls) == ("us@er", "p:ss", "ca", TlsMode.VERIFY_CA)


def test_the_rest_comes_from_the_environment() -> None:
    found = target("postgres://localhost/ca", PGUSER="me", PGPASSWORD="secret")
    assert (found.user, found.password) == ("me", "secret")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://u@[::1]:7/d", "::1", 7),
        ("postgresql://u@[::1]/d", "::1", 5432),
        ("postgresql://u@/d?host=/run/postgresql", "/run/postgresql", 5432),
        ("postgresql://u@/d?host=db.example.com&port=6", "db.example.com", 6),
        ("postgresql://u@/d", "localhost", 5432),
    ],
)
def test_addresses(url: str, host: str, port: int) -> None:
    found = target(url)
    assert (found.hosts, found.ports) == ((host,), (port,))


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("localhost", TlsMode.DISABLE),
        ("127.0.0.1", TlsMode.DISABLE),
        ("[::1]", TlsMode.DISABLE),
        ("db.example.com", TlsMode.VERIFY_FULL),
        ("10.0.0.1", TlsMode.VERIFY_FULL),
        ("localhost,db.example.com", TlsMode.VERIFY_FULL),
    ],
)
def test_tls_is_checked_unless_the_server_is_here(host: str, mode: TlsMode) -> None:
    assert target(f"postgresql://u@{host}/d").tls is mode


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:hidden@h/", "names no database"),
        ("postgresql://h/d", "names no user"),
        ("postgresql://u:hidden@h:99999/d", "expected HOST or HOST:PORT"),
        ("postgresql://u:hidden@h/d?sslmode=prefer", "sslmode must be one of"),
        ("postgresql://u:hidden@h/d?options=x", 'no parameter "options"'),
        ("postgresql://u:hidden@[h/d", "is not a URL"),
    ],
)
def test_refusals_say_what_is_wrong_and_no_more(url: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        target(url)
    assert "hidden" not in str(caught.value)
    document = {"listeners": [{"address": "127.0.0.1:1", "tls_disable": True}], "storage": {"url": url}}
    with pytest.raises(SettingsError, match=words) as refused:
        parse(document, "test")
    assert "hidden" not in str(refused.value)


def test_what_each_mode_checks(tmp_path: Path) -> None:
    def context(mode: str) -> ssl.SSLContext:
        made = target(f"postgresql://u@db.example.com/d?sslmode={mode}").tls_context()
        assert made is not None
        return made

    assert target("postgresql://u@db.example.com/d?sslmode=disable").tls_context() is None
    assert [context(mode).check_hostname for mode in ("require", "verify-ca", "verify-full")] == [False, False, True]
    assert context("require").verify_mode is ssl.CERT_NONE
    assert context("verify-ca").verify_mode is ssl.CERT_REQUIRED
    assert context("verify-full").minimum_version >= ssl.TLSVersion.TLSv1_2
    with pytest.raises(BadInput, match=r"root\.pem"):
        target(f"postgresql://u@h/d?sslrootcert={tmp_path / 'root.pem'}").tls_context()
