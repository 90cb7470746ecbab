"""Flags, environment and stored token, joined into one connection."""

from pathlib import Path

import pytest

from chancery.cli.connection import Address, ConnectionFlags, resolve
from chancery.cli.environment import Environment
from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Duration
from chancery.cli.token_helper import TokenHelper

NO_FLAGS = ConnectionFlags()


@pytest.mark.parametrize(
    ("text", "origin", "prefix"),
    [
        ("http://127.0.0.1:8200", "http://127.0.0.1:8200", ""),
        ("https://ca.example.com", "https://ca.example.com", ""),
        ("https://ca.example.com:443/", "https://ca.example.com", ""),
        ("http://ca.example.com:443", "http://ca.example.com:443", ""),
        ("http://[::1]:8200", "http://[::1]:8200", ""),
        ("https://proxy.example.com/vault/", "https://proxy.example.com", "/vault"),
    ],
)
def test_addresses(text: str, origin: str, prefix: str) -> None:
    address = Address.parse(text)
    assert (address.origin, address.prefix) == (origin, prefix)


def test_unix_sockets() -> None:
    assert Address.parse("unix:///run/chancery.sock").socket == Path("/run/chancery.sock")


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1:8200", "ftp://x", "http://", "http://[::1", "http://x:port", "http://user:pw@x"]
)
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(UsageFailed, match="address") as refused:
        Address.parse(text)
    assert "pw" not in refused.value.message or "user" not in text


def test_spellings_in_order_of_precedence() -> None:
    variables = {"BAO_ADDR": "http://bao", "VAULT_ADDR": "http://vault", "CHANCERY_ADDR": "http://chancery"}
    hosts = []
    for spelling in ("CHANCERY_ADDR", "VAULT_ADDR", "BAO_ADDR"):
        hosts.append(resolve(NO_FLAGS, Environment(variables), "").address.host)
        del variables[spelling]
    assert hosts == ["chancery", "vault", "bao"]
    assert resolve(NO_FLAGS, Environment({}), "").address.origin == "https://127.0.0.1:8200"
    assert resolve(NO_FLAGS, Environment({"VAULT_ADDR": "", "BAO_ADDR": "http://bao"}), "").address.host == "bao"


def test_flags_go_before_the_environment() -> None:
    environment = Environment(
        {"VAULT_ADDR": "http://other", "VAULT_NAMESPACE": "other", "VAULT_WRAP_TTL": "1h", "VAULT_SKIP_VERIFY": "true"}
    )
    flags = ConnectionFlags(
        address="http://this", namespace="this", wrap_ttl=Duration.seconds(5), tls_skip_verify=False
    )
    connection = resolve(flags, environment, "")
    assert (connection.address.host, connection.namespace) == ("this", "this/")
    assert connection.wrap_ttl == Duration.seconds(5)
    assert not connection.tls.skip_verify
    inherited = resolve(NO_FLAGS, environment, "")
    assert (inherited.namespace, inherited.tls.skip_verify) == ("other/", True)
    assert inherited.wrap_ttl == Duration.parse("1h")


def test_numbers_and_durations() -> None:
    connection = resolve(NO_FLAGS, Environment({"VAULT_CLIENT_TIMEOUT": "5s", "VAULT_MAX_RETRIES": "2"}), "")
    assert (connection.timeout, connection.max_retries) == (5.0, 2)
    plain = resolve(NO_FLAGS, Environment({"VAULT_CLIENT_TIMEOUT": "0"}), "")
    assert (plain.timeout, plain.max_retries) == (60.0, 0)


@pytest.mark.parametrize(
    "variables",
    [
        {"VAULT_CLIENT_TIMEOUT": "soon"},
        {"BAO_MAX_RETRIES": "many"},
        {"CHANCERY_SKIP_VERIFY": "maybe"},
        {"VAULT_WRAP_TTL": "x"},
        {"VAULT_DISABLE_REDIRECTS": "x"},
    ],
)
def test_wrong_variables_are_named(variables: dict[str, str]) -> None:
    with pytest.raises(UsageFailed, match="|".join(variables)):
        resolve(NO_FLAGS, Environment(variables), "")


@pytest.mark.parametrize(
    "pair",
    [("X-Vault-Token", "x"), ("x-vault-wrap-ttl", "1"), ("", "x"), ("a b", "x"), ("a:b", "x"), ("a", "x\r\nb: c")],
)
def test_headers_that_cannot_be(pair: tuple[str, str]) -> None:
    with pytest.raises(UsageFailed, match="header"):
        resolve(ConnectionFlags(header=[pair]), Environment({}), "")


def test_a_token_that_cannot_be_a_header_is_not_shown() -> None:
    with pytest.raises(UsageFailed) as refused:
        resolve(NO_FLAGS, Environment({}), "secret\nX-Evil: 1")
    assert "secret" not in refused.value.message


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(UsageFailed, match="-client-key"):
        resolve(ConnectionFlags(client_cert="c.pem"), Environment({}), "")


def test_secrets_are_not_in_representations() -> None:
    connection = resolve(NO_FLAGS, Environment({}), "s.secret")
    assert "s.secret" not in repr(connection)


class TestTokenHelper:
    """The file between commands."""

    def test_is_private_and_replaced_whole(self, tmp_path: Path) -> None:
        helper = TokenHelper(tmp_path / ".vault-token")
        assert helper.load() == ""
        helper.path.write_text("older and longer\n")
        helper.path.chmod(0o644)
        helper.store("s.new")
        assert helper.load() == "s.new"
        assert helper.path.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == [helper.path]

    def test_is_found_at_home_or_where_named(self, tmp_path: Path) -> None:
        assert TokenHelper.at_home(Environment({"HOME": str(tmp_path)})).path == tmp_path / ".vault-token"
        named = Environment({"HOME": "/x", "VAULT_TOKEN_PATH": str(tmp_path / "t")})
        assert TokenHelper.at_home(named).path == tmp_path / "t"

    def test_says_why_it_cannot(self, tmp_path: Path) -> None:
        with pytest.raises(UsageFailed, match="error storing the token"):
            TokenHelper(tmp_path / "no" / "where").store("s.secret")
        with pytest.raises(UsageFailed, match="is a directory"):
            TokenHelper(tmp_path).load()
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        with pytest.raises(UsageFailed, match="not UTF-8"):
            TokenHelper(tmp_path / "binary").load()
