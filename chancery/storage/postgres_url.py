"""`storage.url` for PostgreSQL, understood once: where the server is, who we are there, and how TLS is checked.

The URL is libpq's: `postgresql://USER@HOST[:PORT][,HOST...]/DATABASE?sslmode=verify-full&sslrootcert=FILE`. What it
does not say comes from PGUSER and PGPASSWORD; a password in the environment stays out of the configuration file.
TLS is not opportunistic: anything but this machine is spoken to with the server's certificate checked, unless the URL
says otherwise.
"""

import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from chancery.kit.errors import BadInput, Problem

SCHEMES = ("postgresql", "postgres")
_FIELD = "storage.url"
_EXAMPLE = "postgresql://chancery@db.example.com/chancery?sslmode=verify-full"
_PARAMETERS = {"host", "port", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey"}


class TlsMode(StrEnum):
    """The values of `sslmode` that mean something: `allow` and `prefer` protect from nobody."""

    DISABLE = "disable"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and as whom."""

    hosts: tuple[str, ...]
    """Tried in order, until one is there that can be written to. A path is the directory of a Unix socket."""
    ports: tuple[int, ...]
    user: str
    password: str = field(repr=False)
    database: str
    tls: TlsMode
    root_certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """Return how to check the server; None without TLS. Reads files. Raises BadInput for those that it cannot."""
        if self.tls is TlsMode.DISABLE:
            return None
        try:
            context = ssl.create_default_context(cafile=self.root_certificate)
            if self.client_certificate is not None:
                context.load_cert_chain(self.client_certificate, self.client_key)
        except (OSError, ssl.SSLError) as error:
            names = [file for file in (self.root_certificate, self.client_certificate, self.client_key) if file]
            raise BadInput.of(_FIELD, f"cannot use {', '.join(map(str, names))}: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.tls is TlsMode.VERIFY_FULL
        if self.tls is TlsMode.REQUIRE and self.root_certificate is None:
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_target(url: str, environment: Mapping[str, str] = os.environ) -> Target:
    """Read a URL. Raises BadInput with every problem, and never a part of the URL that may be a password."""
    try:
        parts = urlsplit(url)
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise BadInput.of(_FIELD, f"is not a URL; expected one such as {_EXAMPLE}") from None
    problems = [
        Problem(_FIELD, f'no parameter "{name}"; there are {", ".join(sorted(_PARAMETERS))}')
        for name in sorted(parameters.keys() - _PARAMETERS)
    ]
    user, password = _credentials(parts.netloc)
    hosts, ports = _addresses(parts.netloc.rpartition("@")[2], parameters, problems)
    database = unquote(parts.path.removeprefix("/"))
    user = user or parameters.get("user") or environment.get("PGUSER", "")
    password = password or parameters.get("password") or environment.get("PGPASSWORD", "")
    if not database or "/" in database:
        problems.append(Problem(_FIELD, f"names no database; expected a URL such as {_EXAMPLE}"))
    if not user:
        problems.append(Problem(_FIELD, f"names no user, and neither does PGUSER; expected a URL such as {_EXAMPLE}"))
    tls = _tls(parameters.get("sslmode", ""), hosts, problems)
    if problems:
        raise BadInput(problems=problems)
    files = [_file(parameters, name) for name in ("sslrootcert", "sslcert", "sslkey")]
    return Target(hosts, ports, user, password, database, tls, *files)


def _credentials(netloc: str) -> tuple[str, str]:
    user, _, password = netloc.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


def _addresses(
    written: str, parameters: Mapping[str, str], problems: list[Problem]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    hosts: list[str] = []
    ports: list[int] = []
    for address in (parameters.get("host") or written or "localhost").split(","):
        host, colon, port = unquote(address).rpartition(":")
        if not colon or port.endswith("]") or "/" in port:
            host, port = unquote(address), ""
        port = port or parameters.get("port", "5432")
        if not port.isdigit() or not 0 < int(port) < 65536 or not host.strip("[]"):
            problems.append(Problem(_FIELD, "expected HOST or HOST:PORT, several of them with commas between"))
            continue
        hosts.append(host.strip("[]"))
        ports.append(int(port))
    return tuple(hosts), tuple(ports)


def _tls(mode: str, hosts: Sequence[str], problems: list[Problem]) -> TlsMode:
    if not mode:
        return TlsMode.DISABLE if all(map(_is_here, hosts)) else TlsMode.VERIFY_FULL
    try:
        return TlsMode(mode)
    except ValueError:
        problems.append(Problem(_FIELD, f"sslmode must be one of {', '.join(TlsMode)}"))
        return TlsMode.VERIFY_FULL


def _is_here(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _file(parameters: Mapping[str, str], name: str) -> Path | None:
    return Path(parameters[name]) if parameters.get(name) else None
