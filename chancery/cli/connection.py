"""Where the server is and how to reach it: the connection flags, joined with the environment, as one frozen value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from chancery.cli.environment import Environment
from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Duration

DEFAULT_ADDRESS = "https://127.0.0.1:8200"
DEFAULT_TIMEOUT = 60.0
RESERVED_HEADERS = "x-vault-"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, parsed. `text` is how the user wrote it, for messages."""

    text: str
    scheme: str
    host: str = ""
    port: int = 0
    prefix: str = ""
    """A path before `/v1`, without a slash at its end."""
    socket: Path | None = None
    """For `unix://`: the socket's path."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `http://host:port`, `https://...` or `unix:///path`. Raises UsageFailed."""
        problem = f'the address "{text}" is not usable'
        if text.startswith("unix://"):
            path = Path(text.removeprefix("unix://"))
            return cls(text, "http", host="localhost", port=80, socket=path)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UsageFailed(f"{problem}: {error}") from None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise UsageFailed(f"{problem}: write it like https://127.0.0.1:8200, http://localhost:8200 or unix:///path")
        if parts.username is not None:
            raise UsageFailed("the address must not carry a user name or password")
        return cls(text, parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))

    @property
    def origin(self) -> str:
        """Return scheme and authority, as messages and requests show them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = self.port == _DEFAULT_PORTS[self.scheme]
        return f"{self.scheme}://{host}" if standard else f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom to trust, and who we are."""

    ca_cert: str = ""
    ca_path: str = ""
    ca_pem: str = ""
    """Certificates themselves, from `VAULT_CACERT_BYTES`."""
    client_cert: str = ""
    client_key: str = field(default="", repr=False)
    server_name: str = ""
    skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionFlags:
    """The connection flags as given; None is not given."""

    address: str | None = None
    ca_cert: str | None = None
    ca_path: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    tls_server_name: str | None = None
    tls_skip_verify: bool | None = None
    namespace: str | None = None
    header: Sequence[tuple[str, str]] = ()
    wrap_ttl: Duration | None = None
    disable_redirects: bool | None = None
    output_curl_string: bool = False
    non_interactive: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything that a request needs except what it asks for."""

    address: Address
    tls: TlsFiles = field(default_factory=TlsFiles)
    token: str = field(default="", repr=False)
    namespace: str = ""
    """With its trailing slash, or empty."""
    headers: tuple[tuple[str, str], ...] = ()
    wrap_ttl: Duration | None = None
    timeout: float = DEFAULT_TIMEOUT
    max_retries: int = 0
    follows_redirects: bool = True
    prints_curl: bool = False


def resolve(flags: ConnectionFlags, environment: Environment, token: str) -> Connection:
    """Join flags and environment; flags win. Raises UsageFailed naming the flag or variable that is wrong."""
    for name, value in flags.header:
        _check_header(name, value)
    _check_header("X-Vault-Token", token, reserved=True)
    namespace = (flags.namespace if flags.namespace is not None else environment.text("NAMESPACE")).strip("/")
    timeout = environment.duration("CLIENT_TIMEOUT")
    disabled = flags.disable_redirects
    return Connection(
        address=Address.parse(flags.address or environment.text("ADDR", DEFAULT_ADDRESS)),
        tls=_tls_files(flags, environment),
        token=token,
        namespace=f"{namespace}/" if namespace and namespace != "root" else "",
        headers=tuple(flags.header),
        wrap_ttl=flags.wrap_ttl if flags.wrap_ttl is not None else environment.duration("WRAP_TTL"),
        timeout=timeout.nanoseconds / 1e9 if timeout and timeout.nanoseconds > 0 else DEFAULT_TIMEOUT,
        max_retries=environment.integer("MAX_RETRIES", 0),
        follows_redirects=not (environment.flag("DISABLE_REDIRECTS") if disabled is None else disabled),
        prints_curl=flags.output_curl_string,
    )


def _tls_files(flags: ConnectionFlags, environment: Environment) -> TlsFiles:
    def text(flag: str | None, variable: str) -> str:
        return flag if flag is not None else environment.text(variable)

    skips = flags.tls_skip_verify
    files = TlsFiles(
        ca_cert=text(flags.ca_cert, "CACERT"),
        ca_path=text(flags.ca_path, "CAPATH"),
        ca_pem=environment.text("CACERT_BYTES"),
        client_cert=text(flags.client_cert, "CLIENT_CERT"),
        client_key=text(flags.client_key, "CLIENT_KEY"),
        server_name=text(flags.tls_server_name, "TLS_SERVER_NAME"),
        skip_verify=environment.flag("SKIP_VERIFY") if skips is None else skips,
    )
    if bool(files.client_cert) != bool(files.client_key):
        raise UsageFailed("a client certificate and its key go together: give both -client-cert and -client-key")
    return files


def _check_header(name: str, value: str, *, reserved: bool = False) -> None:
    """Refuse what would break the request apart, and headers that belong to the API. Never repeats the value."""
    if not reserved and name.lower().startswith(RESERVED_HEADERS):
        raise UsageFailed(f"the header {name} is reserved: headers that start with X-Vault- cannot be set with -header")
    if not name or not all(33 <= ord(character) < 127 and character != ":" for character in name):
        raise UsageFailed(f'"{name}" is not a header name')
    if not all(32 <= ord(character) < 127 for character in value):
        raise UsageFailed(f"the value of {name} contains characters that a header cannot carry")
