"""The configuration file: YAML, every default documented in `config/chancery.yaml`, every error reported at once.

A wrong or unknown setting stops the server before it listens.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from chancery.kit.engine import KmsLibrary
from chancery.kit.errors import BadInput
from chancery.kit.networks import format_cidr, parse_cidr
from chancery.kit.params import parse_duration, problems_of
from chancery.outgoing_rules import METADATA_NETWORKS, AddressPolicy, OutgoingRules, PlainHttp
from chancery.seal.settings import KeeperSection, Seal, judge
from chancery.storage.postgres_url import parse_target

DEFAULT_MAX_REQUEST_SIZE = 32 * 1024 * 1024
DEFAULT_LEASE_TTL = 32 * 24 * 3600
MAX_WORKERS = 64

Seconds = Annotated[int, BeforeValidator(parse_duration), Field(gt=0)]
Cidr = Annotated[str, AfterValidator(lambda text: format_cidr(parse_cidr(text)))]


class SettingsError(Exception):
    """The configuration is unusable. `problems` has one line for each wrong setting."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listener(_Section):
    """One address to listen on. TLS 1.2 or newer unless `tls_disable` says otherwise."""

    address: str = "127.0.0.1:8200"
    tls_disable: bool = False
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = None
    """When given, clients may present a certificate of this CA."""
    tls_require_and_verify_client_cert: bool = False
    tls_min_version: Literal["tls12", "tls13"] = "tls12"

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        host, separator, port = address.rpartition(":")
        if not separator or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("expected HOST:PORT, such as 127.0.0.1:8200 or [::1]:8200")
        return address

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        has_files = self.tls_cert_file is not None and self.tls_key_file is not None
        if not self.tls_disable and not has_files:
            raise ValueError("tls_cert_file and tls_key_file are needed, or tls_disable: true")
        if self.tls_disable and (self.tls_cert_file or self.tls_key_file or self.tls_client_ca_file):
            raise ValueError("tls_disable contradicts tls_cert_file, tls_key_file and tls_client_ca_file")
        if self.tls_require_and_verify_client_cert and self.tls_client_ca_file is None:
            raise ValueError("tls_require_and_verify_client_cert needs tls_client_ca_file")
        for name in ("tls_cert_file", "tls_key_file", "tls_client_ca_file"):
            file = getattr(self, name)
            if file is not None and not file.is_file():
                raise ValueError(f"{name}: no such file: {file}")
        return self

    @property
    def host(self) -> str:
        """Return the host part, without the brackets of IPv6."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self.address.rpartition(":")[2])


class Storage(_Section):
    """Where everything durable lives."""

    url: Annotated[str, Field(repr=False)]
    pool_size: Annotated[int, Field(ge=1, le=200)] = 8
    """PostgreSQL: connections for units of work; each process has three more."""
    statement_timeout: Seconds = 30
    """PostgreSQL: seconds until the server gives up a statement."""
    max_staleness: Annotated[Seconds, Field(ge=2)] = 5
    """Seconds without the database after which a node answers 503, not knowing what was revoked elsewhere."""

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str) -> str:
        if url.startswith(("postgresql://", "postgres://")):
            try:
                parse_target(url)
            except BadInput as error:
                raise ValueError("; ".join(problem.reason for problem in error.problems)) from None
            return url
        if not url.startswith("sqlite:///"):
            raise ValueError(
                "expected sqlite:///RELATIVE/FILE, sqlite:////ABSOLUTE/FILE or postgresql://USER@HOST/DATABASE"
            )
        if url.removeprefix("sqlite:///") in {"", ":memory:"}:
            raise ValueError("names no file; storage is always durable")
        return url


class KmsLibrarySettings(_Section):
    """One PKCS#11 module that managed keys may name."""

    type: Literal["pkcs11"]
    name: Annotated[str, Field(pattern=r"^\w[\w.\-]{0,127}$")]
    library: Path
    environment: dict[str, str] = {}
    """Variables for the signer process of this library alone."""
    initialization: str = ""
    """Text for C_Initialize, as NSS wants it: "configdir='sql:/etc/nss' ..."; empty for all other modules."""
    max_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Signer processes a token; a managed key may ask for more with its own max_parallel."""
    timeout: Seconds = 10

    @field_validator("library")
    @classmethod
    def _absolute(cls, library: Path) -> Path:
        if not library.is_absolute():
            raise ValueError("expected an absolute path")
        if not library.is_file():
            raise ValueError(f"no such file: {library}")
        return library

    def described(self) -> KmsLibrary:
        """Return the module as the kit describes it."""
        return KmsLibrary(
            name=self.name,
            type=self.type,
            library=self.library,
            environment=dict(self.environment),
            initialization=self.initialization,
            max_parallel=self.max_parallel,
            timeout=float(self.timeout),
        )


class AuditDeviceSettings(_Section):
    """One audit device that is always enabled."""

    type: str
    path: str = ""
    """Where `sys/audit` shows it; its type when empty."""
    description: str = ""
    options: dict[str, str] = {}

    @field_validator("options", mode="before")
    @classmethod
    def _as_text(cls, options: object) -> object:
        if not isinstance(options, dict):
            return options
        return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()}


class Audit(_Section):
    """Who asked for what and what they were told: the devices that record it, and what the API may enable."""

    devices: list[AuditDeviceSettings] = []
    directories: list[Path] = []
    """Where file devices that `sys/audit` enables may write; nowhere by default."""
    addresses: list[str] = []
    """Where socket devices that `sys/audit` enables may send to; nowhere by default."""
    deadline: Seconds = 5
    """Seconds that a device may take for a line."""
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Lines that may wait for a device."""

    @field_validator("directories")
    @classmethod
    def _are_absolute(cls, directories: list[Path]) -> list[Path]:
        wrong = [str(directory) for directory in directories if not directory.is_absolute() or directory == Path("/")]
        if wrong:
            raise ValueError(f"expected absolute paths below the root directory, got {', '.join(wrong)}")
        return directories


class OutgoingSettings(_Section):
    """Where the server may connect to when a configuration or a login asks for it."""

    allow: list[Cidr] = []
    """Networks that are not global but may be reached all the same."""
    deny: list[Cidr] = list(METADATA_NETWORKS)
    """Networks that are never reached; they win over `allow`."""
    plain_http: PlainHttp = PlainHttp.NEVER
    timeout: Seconds = 10

    def rules(self) -> OutgoingRules:
        """Return the settings as the door wants them."""
        return OutgoingRules(AddressPolicy.of(self.allow, self.deny), self.plain_http, float(self.timeout))


class Limits(_Section):
    """What one client may ask of the server."""

    max_request_size: Annotated[int, Field(ge=1024, le=1 << 30)] = DEFAULT_MAX_REQUEST_SIZE
    """Bytes of a request's body."""
    max_request_duration: Seconds = 90
    """Seconds until an unfinished request is answered with 503."""
    max_header_size: Annotated[int, Field(ge=1024, le=1 << 20)] = 8190
    """Bytes of the request line, and of each header."""
    max_header_duration: Seconds = 10
    """Seconds in which the head of a request must be complete; the connection is then closed."""
    keepalive_timeout: Seconds = 75
    """Seconds that an idle connection stays open."""
    shutdown_timeout: Seconds = 30
    """Seconds that running requests get after SIGTERM."""


class Log(_Section):
    """What the server says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class TraceSettings(_Section):
    """Where spans go. Needs the packages of the extra `otel`."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    """OTLP over HTTP, such as http://localhost:4318/v1/traces."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the requests that are traced; what a client's `traceparent` says comes first."""
    service_name: Annotated[str, Field(min_length=1, max_length=128)] = "chancery"


class TelemetrySettings(_Section):
    """What the server tells about its work, and to whom."""

    unauthenticated_metrics_access: bool = False
    """`sys/metrics` without a token, and while sealed."""
    unauthenticated_in_flight_requests_access: bool = False
    """`sys/in-flight-req` without a token, and while sealed."""
    traces: TraceSettings | None = None


class Settings(_Section):
    """The whole file."""

    listeners: Annotated[list[Listener], Field(min_length=1)]
    storage: Storage
    kms_libraries: list[KmsLibrarySettings] = []
    seal: Seal = Seal()
    previous_seal: KeeperSection | None = None
    """The seal to migrate away from; not needed any more once that is done."""
    log: Log = Log()
    telemetry: TelemetrySettings = TelemetrySettings()
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] = 1
    """Processes that serve, each the whole server, all on the same addresses."""
    limits: Limits = Limits()
    outgoing: OutgoingSettings = OutgoingSettings()
    audit: Audit = Audit()
    default_lease_ttl: Seconds = DEFAULT_LEASE_TTL
    max_lease_ttl: Seconds = DEFAULT_LEASE_TTL
    cluster_name: Annotated[str, Field(max_length=128)] = "chancery"

    @field_validator("kms_libraries")
    @classmethod
    def _unique_names(cls, libraries: list[KmsLibrarySettings]) -> list[KmsLibrarySettings]:
        names = [library.name.lower() for library in libraries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names are compared without case and must be unique; used twice: {', '.join(twice)}")
        return libraries

    @field_validator("seal", "previous_seal")
    @classmethod
    def _keeper_is_whole(cls, section: KeeperSection | None, known: ValidationInfo) -> KeeperSection | None:
        libraries: list[KmsLibrarySettings] | None = known.data.get("kms_libraries")
        if section is not None:
            judge(section, [library.described() for library in libraries] if libraries is not None else None)
        return section

    @model_validator(mode="after")
    def _ttls_in_order(self) -> Self:
        if self.default_lease_ttl > self.max_lease_ttl:
            raise ValueError("default_lease_ttl is greater than max_lease_ttl")
        return self

    def libraries(self) -> tuple[KmsLibrary, ...]:
        """Return the PKCS#11 modules as the kit describes them."""
        return tuple(library.described() for library in self.kms_libraries)


def load(path: Path) -> Settings:
    """Read and validate a configuration file. Raises SettingsError with every problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: cannot be read: {error}"]) from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError([f"{path}: is not YAML: {error}"]) from None
    return parse(document, str(path))


def parse(document: Any, origin: str) -> Settings:
    """Validate a parsed document; `origin` names it in errors. Raises SettingsError with every problem."""
    if not isinstance(document, dict):
        raise SettingsError([f"{origin}: expected a map of settings"])
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError([f"{origin}: {problem}" for problem in problems_of(error)]) from None
