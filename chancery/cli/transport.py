"""One HTTP exchange: opens a connection, sends, reads, closes, and says in plain words why when it cannot.

Built on the standard library alone; proxies, TLS and Unix sockets load their modules only when used.
"""

import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chancery.cli.connection import Address, TlsFiles
from chancery.cli.failures import Unreachable, UsageFailed

PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What goes over the wire: `target` is the escaped path with its query."""

    method: str
    address: Address
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Return the whole URL."""
        return f"{self.address.origin}{self.target}"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        """Connect to the socket's path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(str(self._path))


class _TlsConnection(http.client.HTTPConnection):
    """HTTPS that may present another server name than the host it connects to."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context
        self._server_name = server_name

    def connect(self) -> None:
        """Connect, through the proxy's tunnel if there is one, and shake hands."""
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._server_name)


def send(exchange: Exchange, tls: TlsFiles, timeout: float) -> HttpAnswer:
    """Carry out one exchange. `timeout` is seconds for each step on the socket. Raises Unreachable or UsageFailed."""
    connection = _connection(exchange.address, tls, timeout)
    try:
        connection.request(exchange.method, exchange.target, body=exchange.body, headers=dict(exchange.headers))
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return HttpAnswer(answer.status, headers, answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"cannot reach {exchange.address.text}: {_explain(error, timeout)}") from error
    finally:
        connection.close()


def _connection(address: Address, tls: TlsFiles, timeout: float) -> http.client.HTTPConnection:
    if address.socket is not None:
        return _UnixConnection(address.socket, timeout)
    proxy = _proxy(address)
    host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
    if address.scheme == "https":
        context = trust(tls)
        name = tls.server_name or address.host
        connection: http.client.HTTPConnection = _TlsConnection(
            host, port, timeout=timeout, context=context, server_name=name
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    if proxy:
        connection.set_tunnel(address.host, address.port)
    return connection


def _proxy(address: Address) -> Address | None:
    """Return the proxy that the environment names for this address, if any."""
    if not any(os.environ.get(variable) for variable in PROXY_VARIABLES):
        return None
    from urllib.request import getproxies, proxy_bypass

    if address.host in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(f"{address.host}:{address.port}"):
        return None
    proxies = getproxies()
    named = proxies.get(address.scheme) or proxies.get("all")
    return Address.parse(named if "://" in named else f"http://{named}") if named else None


def trust(tls: TlsFiles) -> ssl.SSLContext:
    """Build the TLS context: 1.2 or newer. Raises UsageFailed naming the file that cannot be used."""
    context = ssl.create_default_context() if not (tls.ca_cert or tls.ca_pem or tls.ca_path) else _only_these(tls)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.client_cert:
        try:
            context.load_cert_chain(tls.client_cert, tls.client_key, password=_refuse_password)
        except (OSError, ssl.SSLError) as error:
            raise UsageFailed(f"cannot use -client-cert with -client-key: {_file_problem(error)}") from error
    return context


def _only_these(tls: TlsFiles) -> ssl.SSLContext:
    """Trust the given certificates and no others. A file goes before bytes, and those before a directory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    source, name = (
        (tls.ca_cert, "-ca-cert") if tls.ca_cert else ("", "CACERT_BYTES") if tls.ca_pem else (tls.ca_path, "-ca-path")
    )
    try:
        if name == "CACERT_BYTES":
            context.load_verify_locations(cadata=tls.ca_pem)
        elif name == "-ca-cert":
            context.load_verify_locations(cafile=source)
        else:
            for path in sorted(path for path in Path(source).iterdir() if path.is_file()):
                source = str(path)
                context.load_verify_locations(cafile=source)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise UsageFailed(f"cannot use {name} {source}: {_file_problem(error)}".replace("  ", " ")) from error
    return context


def _refuse_password() -> str:
    """Answer OpenSSL's question for a passphrase: a command line must not stop to ask on its own."""
    raise UsageFailed("the key in -client-key is encrypted: give it decrypted, in a file that only you can read")


def _file_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"it does not hold what it should, in PEM ({(error.reason or 'unreadable').lower()})"
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)


def _explain(error: OSError | http.client.HTTPException, timeout: float) -> str:  # noqa: PLR0911  # a table
    """Say what went wrong and what to do about it."""
    address_remedy = "check that the server is running and that -address or VAULT_ADDR names it"
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not trusted ({error.verify_message.rstrip('.')}); "
                "name the CA with -ca-cert or VAULT_CACERT, or another host name with -tls-server-name"
            )
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE" | "HTTP_REQUEST"):
            return "it does not speak TLS there; use http:// in -address or VAULT_ADDR, or the port that speaks TLS"
        case ssl.SSLError():
            return f"the TLS handshake failed ({(error.reason or str(error)).lower().replace('_', ' ')})"
        case TimeoutError():
            return f"no answer within {timeout:g} seconds; {address_remedy}, or raise VAULT_CLIENT_TIMEOUT"
        case socket.gaierror():
            return f"the host name does not resolve ({error.strerror}); {address_remedy}"
        case ConnectionRefusedError() | FileNotFoundError():
            return f"{(error.strerror or 'connection refused').lower()}; {address_remedy}"
        case http.client.RemoteDisconnected() | ConnectionResetError():
            return "the connection was closed without an answer; if the server speaks TLS there, use https://"
        case http.client.HTTPException():
            return f"what answers there does not speak HTTP ({type(error).__name__}); {address_remedy}"
        case _:
            return f"{(error.strerror or str(error)).lower()}; {address_remedy}"
