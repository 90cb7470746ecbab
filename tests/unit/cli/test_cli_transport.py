"""Real sockets: what is sent, what is read, and the words for every way in which it can fail."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chancery.cli.connection import Address, TlsFiles
from chancery.cli.failures import Unreachable, UsageFailed
from chancery.cli.transport import Exchange, HttpAnswer, send
from tests.support.cli_listener import listening, reply

PLAIN = TlsFiles()
OK = reply("200 OK", b"{}", Content_Type="application/json")


def get(address: str, tls: TlsFiles = PLAIN, timeout: float = 5.0) -> HttpAnswer:
    return send(Exchange("GET", Address.parse(address), "/v1/x", (("X-Vault-Request", "true"),)), tls, timeout)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a self-signed certificate for localhost and 127.0.0.1, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.DNSName("inner"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = (
        builder.not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = directory / "server.pem", directory / "server.key"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


@pytest.fixture
def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_plain_http() -> None:
    with listening(OK) as listener:
        answer = get(f"http://127.0.0.1:{listener.port}")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"{}", "application/json")
    assert listener.requests[0].startswith(b"GET /v1/x HTTP/1.1\r\n")
    assert b"X-Vault-Request: true\r\n" in listener.requests[0]


def test_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listening(OK, path=path):
        assert get(f"unix://{path}").status == 200
    with pytest.raises(Unreachable, match="no such file"):
        get(f"unix://{tmp_path}/none")


def test_tls_by_file_directory_and_bytes(certificate: tuple[Path, Path], server_context: ssl.SSLContext) -> None:
    ca, _ = certificate
    alone = ca.parent / "directory"
    alone.mkdir(exist_ok=True)
    (alone / "ca.pem").write_bytes(ca.read_bytes())
    for tls in (
        TlsFiles(ca_cert=str(ca)),
        TlsFiles(ca_path=str(alone)),
        TlsFiles(ca_pem=ca.read_text()),
        TlsFiles(skip_verify=True),
    ):
        with listening(OK, context=server_context) as listener:
            assert get(f"https://127.0.0.1:{listener.port}", tls).status == 200


def test_tls_server_name(certificate: tuple[Path, Path], server_context: ssl.SSLContext) -> None:
    tls = TlsFiles(ca_cert=str(certificate[0]), server_name="inner")
    with listening(OK, context=server_context) as listener:
        assert get(f"https://127.0.0.1:{listener.port}", tls).status == 200
    assert listener.server_names == ["inner"]
    with listening(OK, context=server_context) as listener, pytest.raises(Unreachable, match="-tls-server-name"):
        get(f"https://127.0.0.1:{listener.port}", replace(tls, server_name="outer"))


def test_client_certificate(certificate: tuple[Path, Path], server_context: ssl.SSLContext) -> None:
    ca, key = map(str, certificate)
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(ca)
    server_context.maximum_version = ssl.TLSVersion.TLSv1_2  # the refusal comes within the handshake
    with listening(OK, context=server_context) as listener:
        assert (
            get(f"https://127.0.0.1:{listener.port}", TlsFiles(ca_cert=ca, client_cert=ca, client_key=key)).status
            == 200
        )
    with listening(OK, context=server_context) as listener, pytest.raises(Unreachable, match="TLS handshake failed"):
        get(f"https://127.0.0.1:{listener.port}", TlsFiles(ca_cert=ca))


def test_an_unknown_certificate_is_refused_with_the_remedy(server_context: ssl.SSLContext) -> None:
    with (
        listening(OK, context=server_context) as listener,
        pytest.raises(Unreachable, match=r"not trusted.*-ca-cert or VAULT_CACERT"),
    ):
        get(f"https://127.0.0.1:{listener.port}")


def test_wrong_files_are_named(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    ca, key = certificate
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    locked = tmp_path / "locked.key"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    for tls, words in (
        (TlsFiles(ca_cert="/none.pem"), "-ca-cert /none.pem: no such file"),
        (TlsFiles(ca_cert=str(nonsense)), f"-ca-cert {nonsense}: it does not hold what it should"),
        (TlsFiles(ca_path="/none"), "-ca-path /none: no such file"),
        (TlsFiles(ca_path=str(tmp_path)), "-ca-path"),
        (TlsFiles(ca_pem="nonsense"), "CACERT_BYTES"),
        (TlsFiles(client_cert=str(ca), client_key="/none"), "-client-cert"),
        (TlsFiles(client_cert=str(ca), client_key=str(locked)), "-client-key is encrypted"),
    ):
        with pytest.raises(UsageFailed) as refused:
            get("https://127.0.0.1:1", tls)
        assert words in refused.value.message


def test_nobody_listens() -> None:
    with pytest.raises(Unreachable) as failed:
        get("http://127.0.0.1:1")
    assert failed.value.message == (
        "cannot reach http://127.0.0.1:1: connection refused; "
        "check that the server is running and that -address or VAULT_ADDR names it"
    )


def test_no_answer_in_time() -> None:
    with listening(None) as listener, pytest.raises(Unreachable, match=r"no answer within 0.05 seconds.*TIMEOUT"):
        get(f"http://127.0.0.1:{listener.port}", timeout=0.05)


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(Unreachable, match="does not resolve"):
        get("http://nobody.invalid:1")


@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        ("http", b"", "closed without an answer; if the server speaks TLS there, use https://"),
        ("http", b"SSH-2.0-x\r\n", "does not speak HTTP"),
        ("https", OK, "does not speak TLS there; use http://"),
    ],
)
def test_something_else_answers(scheme: str, answer: bytes, words: str) -> None:
    with listening(answer) as listener, pytest.raises(Unreachable) as failed:
        get(f"{scheme}://127.0.0.1:{listener.port}", TlsFiles(skip_verify=True))
    assert words in failed.value.message


def test_a_truncated_body() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with listening(cut) as listener, pytest.raises(Unreachable, match="IncompleteRead"):
        get(f"http://127.0.0.1:{listener.port}")


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(reply("200 OK") + b"", OK) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(Unreachable):
            get("http://ca.example.com:8200")
    assert proxy.requests[0].startswith(b"CONNECT ca.example.com:8200 HTTP/1.")
    monkeypatch.setenv("no_proxy", "ca.example.com")
    with listening(OK) as listener:
        assert get(f"http://127.0.0.1:{listener.port}").status == 200, "loopback goes without a proxy"
