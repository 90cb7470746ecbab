"""What a mount can be told and how it is shown: shared by `sys/mounts`, `sys/auth` and the user interface's paths."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chancery import __version__
from chancery.kit.engine import Mount, MountConfig, UserLockout
from chancery.kit.errors import BadInput
from chancery.kit.params import CommaList, Duration, KeyValue, LaxBool, LaxInt, Params, Text, parse_duration
from chancery.kit.request import TokenKind
from chancery.routing.mounts import MountKind

_MAX_PATH = 512
_ABSENT_IF_NULL = BeforeValidator(lambda value: {} if value is None else value)
"""Clients such as hvac spell a map that they were not given as null."""
_TTLS = ("default_lease_ttl", "max_lease_ttl")
_TOKEN_TYPES = {kind.value for kind in TokenKind} - {TokenKind.DEFAULT.value}


@dataclass(frozen=True, slots=True)
class SystemTtls:
    """What mounts without TTLs of their own have, in seconds."""

    default: int
    longest: int


class MountPath(Params):
    """Names a mount."""

    path: Text = Field(description="The path of the mount")


class MountSettings(Params):
    """What can be tuned. A field that is not sent stays as it is."""

    default_lease_ttl: str | int | None = Field(None, description='Default TTL; "system" or 0 for the system\'s')
    max_lease_ttl: str | int | None = Field(None, description='Maximum TTL; "system" or 0 for the system\'s')
    force_no_cache: LaxBool = Field(False, description="Accepted and shown; nothing here caches secrets")
    listing_visibility: Text = Field("", description='"", "hidden" or "unauth"')
    audit_non_hmac_request_keys: CommaList = Field([], description="Request fields that audit shows in clear")
    audit_non_hmac_response_keys: CommaList = Field([], description="Response fields that audit shows in clear")
    passthrough_request_headers: CommaList = Field([], description="Headers handed to the engine")
    allowed_response_headers: CommaList = Field([], description="Headers that the engine may set")
    allowed_managed_keys: CommaList = Field([], description="Names of managed keys that the mount may use")
    token_type: Text = Field("", description="Auth mounts: service, batch, default-service or default-batch")
    user_lockout_config: Annotated[dict[str, Any], _ABSENT_IF_NULL] = Field(
        {}, description="Auth mounts: when to lock names out"
    )


class EnableMount(Params):
    """The body of a mount request."""

    path: Text = Field(description="Where to mount")
    type: Text = Field("", description="Type of the engine")
    description: Text = Field("", description="For people")
    config: Annotated[MountSettings, _ABSENT_IF_NULL] = Field(
        default_factory=MountSettings, description="As for tuning"
    )
    options: KeyValue = Field({}, description="Options of the engine's type")
    local: LaxBool = Field(False, description="Accepted and shown; nothing is replicated between clusters")
    seal_wrap: LaxBool = Field(False, description="Accepted and shown; secrets are always sealed")


class TuneMount(MountSettings):
    """The body of a tune request."""

    path: Text = Field(description="The path of the mount")
    description: Text = Field("", description="For people")
    options: KeyValue = Field({}, description="Options of the engine's type")


class LockoutSettings(Params):
    """`user_lockout_config` as clients write it. A field that is not sent stays as it is."""

    lockout_threshold: LaxInt = Field(0, description="Failures until a name is locked; 0 for the default, 5")
    lockout_duration: Duration = Field(0, description="How long it stays locked; 0 for the default, 15 minutes")
    lockout_counter_reset_duration: Duration = Field(0, description="When failures are forgotten; 0: 15 minutes")
    lockout_disable: LaxBool = Field(False, description="Never lock")


def merged(config: MountConfig, sent: MountSettings, mount_type: str, kind: MountKind, ttls: SystemTtls) -> MountConfig:
    """Return a configuration with what a client sent. Raises BadInput for what cannot be."""
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value := getattr(sent, name), list) else value
        for name in MountSettings.model_fields
        if sent.submitted(name) and name not in {*_TTLS, "token_type", "user_lockout_config"}
    }
    changes |= {name: _ttl(name, getattr(sent, name)) for name in _TTLS if getattr(sent, name) not in {None, ""}}
    if changes.get("listing_visibility", "") not in {"", "hidden", "unauth"}:
        raise BadInput.of("listing_visibility", 'must be "", "hidden" or "unauth"')
    if kind is MountKind.AUTH:
        changes |= _auth_changes(config, sent, mount_type)
    result = replace(config, **changes)
    default, longest = result.default_lease_ttl, result.max_lease_ttl or ttls.longest
    if default > longest:
        raise BadInput.of(
            "default_lease_ttl", f"default TTL of {default}s is greater than the maximum TTL of {longest}s"
        )
    return result


def tuning(mount: Mount, kind: MountKind, ttls: SystemTtls) -> dict[str, Any]:
    """Render what can be tuned, with the TTLs in force."""
    config = config_fields(mount.config, kind)
    config.update(config.pop("user_lockout_config", {}))
    config["default_lease_ttl"] = mount.config.default_lease_ttl or ttls.default
    config["max_lease_ttl"] = mount.config.max_lease_ttl or ttls.longest
    return {
        "description": mount.description,
        **config,
        **({"options": dict(mount.options)} if mount.options else {}),
    }


def mount_path(path: str) -> str:
    """Return a mount's path in its canonical form. Raises BadInput for what cannot be one."""
    wanted = path.strip("/")
    if not wanted or len(wanted) > _MAX_PATH or any(not part or part.isspace() for part in wanted.split("/")):
        raise BadInput.of("path", f"a mount path has 1 to {_MAX_PATH} characters and no empty segments")
    return wanted + "/"


def describe(mount: Mount) -> dict[str, Any]:
    """Render a mount as `sys/mounts` does."""
    return {
        "accessor": mount.accessor,
        "config": config_fields(mount.config, MountKind.of(mount.path)),
        "description": mount.description,
        "external_entropy_access": False,
        "local": mount.local,
        "options": dict(mount.options) or _no_options(mount),
        "plugin_version": "",
        "running_plugin_version": f"v{__version__}+builtin",
        "running_sha256": "",
        "seal_wrap": mount.seal_wrap,
        "type": mount.type,
        "uuid": mount.uuid,
    }


def _no_options(mount: Mount) -> dict[str, str] | None:
    """Auth methods without options show an empty map, all else null: what clients of Vault are used to."""
    return {} if MountKind.of(mount.path) is MountKind.AUTH and mount.type != "token" else None


def config_fields(config: MountConfig, kind: MountKind = MountKind.SECRETS) -> dict[str, Any]:
    """Render the configuration; empty lists and texts are left out, as in Vault."""
    always = {"default_lease_ttl", "max_lease_ttl", "force_no_cache"}
    fields: Mapping[str, Any] = asdict(replace(config, user_lockout=None, token_type=""))
    shown = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value or name in always
    }
    if kind is MountKind.AUTH:
        shown["token_type"] = config.token_type or TokenKind.DEFAULT_SERVICE.value
        if config.user_lockout is not None:
            shown["user_lockout_config"] = _lockout_fields(config.user_lockout)
    return shown


def _lockout_fields(lockout: UserLockout) -> dict[str, Any]:
    return {
        "user_lockout_counter_reset_duration": lockout.counter_reset,
        "user_lockout_disable": lockout.disable,
        "user_lockout_duration": lockout.duration,
        "user_lockout_threshold": lockout.threshold,
    }


def _auth_changes(config: MountConfig, sent: MountSettings, mount_type: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if sent.token_type:
        if mount_type == "token":
            raise BadInput("'token_type' cannot be set for 'token' or 'ns_token' auth mounts")
        if sent.token_type not in _TOKEN_TYPES:
            raise BadInput.of("token_type", f"expected one of {', '.join(sorted(_TOKEN_TYPES))}")
        changes["token_type"] = sent.token_type
    if sent.user_lockout_config:
        changes["user_lockout"] = _lockout(config.user_lockout or UserLockout(), sent.user_lockout_config)
    return changes


def _lockout(known: UserLockout, sent: Mapping[str, Any]) -> UserLockout:
    unknown = LockoutSettings.unknown(sent)
    if unknown:
        raise BadInput.of("user_lockout_config", f"has no {', '.join(unknown)}")
    asked = LockoutSettings.parse(sent)
    names = {
        "lockout_threshold": "threshold",
        "lockout_duration": "duration",
        "lockout_counter_reset_duration": "counter_reset",
        "lockout_disable": "disable",
    }
    changes = {name: getattr(asked, field) for field, name in names.items() if asked.submitted(field)}
    if any(value < 0 for value in changes.values()):
        raise BadInput.of("user_lockout_config", "must not be negative")
    return replace(known, **changes)


def _ttl(name: str, value: object) -> int:
    if value == "system":
        return 0
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise BadInput.of(name, str(error)) from None
    if seconds < 0:
        raise BadInput.of(name, "must not be negative")
    return seconds
