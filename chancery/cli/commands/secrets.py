"""secrets: enable, list, tune, move and disable secrets engines."""

import time
from collections.abc import Sequence
from typing import Any

from chancery.cli import terminal
from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.failures import CallFailed, RemoteFailed, failing_as
from chancery.cli.flags import BOOLEAN, INTEGER, MOUNT_TTL, PAIR, STRING, Flag
from chancery.cli.golang import Json
from chancery.cli.mounts import mount_document, mounts_table, parse_mounts
from chancery.cli.session import Session

POLL_SECONDS = 0.5
_CONFIG = (
    "default_lease_ttl",
    "max_lease_ttl",
    "force_no_cache",
    "listing_visibility",
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
    "allowed_managed_keys",
    "plugin_version",
)


def _mount_flags() -> list[Flag]:
    """Return the flags that `enable` and `tune` share."""

    def many(name: str, summary: str) -> Flag:
        return Flag(name, STRING, f"{summary}; may be repeated.", repeated=True)

    return [
        Flag("description", STRING, "What the engine is for, in words."),
        Flag("default-lease-ttl", MOUNT_TTL, "Lifetime when none is asked for; `system` for the server's own."),
        Flag("max-lease-ttl", MOUNT_TTL, "Longest lifetime; `system` for the server's own."),
        Flag("listing-visibility", STRING, "unauth shows the engine to whoever has no token; otherwise hidden."),
        many("allowed-managed-keys", "Name of a managed key that the engine may use"),
        many("audit-non-hmac-request-keys", "Field of requests that audit logs show in clear"),
        many("audit-non-hmac-response-keys", "Field of answers that audit logs show in clear"),
        many("passthrough-request-headers", "Request header that the engine sees"),
        many("allowed-response-headers", "Response header that the engine may set"),
        Flag("options", PAIR, "Option of the engine; may be repeated.", repeated=True),
        Flag("version", INTEGER, "Version of the engine, for engines that have versions."),
        Flag("plugin-version", STRING, "Version of the plugin to run."),
    ]


def _config(values: dict[str, Any]) -> dict[str, Json]:
    """Return the settings that were given, under the API's names."""
    given = {name: values.get(name) for name in _CONFIG}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None and value != ()
    }


def _options(values: dict[str, Any]) -> dict[str, Json]:
    options: dict[str, Json] = dict(values["options"])
    if values["version"] is not None:
        options["version"] = str(values["version"])
    return {"options": options} if options else {}


def _mount_path(argument: str) -> str:
    return argument.strip().strip("/") + "/"


@remote_command(
    "enable",
    usage="TYPE",
    arity=Arity(1, 1),
    flags=[
        Flag("path", STRING, "Where to enable it; otherwise at its type.", default=""),
        *_mount_flags(),
        Flag("force-no-cache", BOOLEAN, "Do not cache for this engine."),
        Flag("local", BOOLEAN, "Keep the engine out of replication.", default=False),
        Flag("seal-wrap", BOOLEAN, "Wrap its critical values with the seal as well.", default=False),
        Flag("external-entropy-access", BOOLEAN, "Let it use the server's external entropy.", default=False),
        Flag("plugin-name", STRING, "Name of the plugin, with the type `plugin`.", default=""),
    ],
)
def enable_command(session: Session, arguments: Sequence[str], **values: Any) -> None:
    """Enable a secrets engine of a type, such as pki, at its own name or at -path."""
    kind = arguments[0].strip()
    if kind == "plugin" and values["plugin_name"]:
        kind = values["plugin_name"]
    path = _mount_path(values["path"] or kind)
    body: dict[str, Json] = {"type": kind, "config": _config(values), **_options(values)}
    body |= {name: True for name in ("local", "seal_wrap", "external_entropy_access") if values[name]}
    if values["description"] is not None:
        body["description"] = values["description"]
    with failing_as("Error enabling"):
        session.client.require(Call("POST", f"sys/mounts/{path}", body=body, wraps=False))
    session.output.line(f"Success! Enabled the {kind} secrets engine at: {path}")


@remote_command("tune", usage="PATH", arity=Arity(1, 1), flags=_mount_flags())
def tune_command(session: Session, arguments: Sequence[str], **values: Any) -> None:
    """Change settings of the secrets engine at a path; those not named stay."""
    path = _mount_path(arguments[0])
    body = {**_config(values), **_options(values)}
    if values["description"] is not None:
        body["description"] = values["description"]
    with failing_as(f"Error tuning secrets engine {path}"):
        session.client.require(Call("POST", f"sys/mounts/{path}tune", body=body, wraps=False))
    session.output.line(f"Success! Tuned the secrets engine at: {path}")


@remote_command("disable", usage="PATH", arity=Arity(1, 1))
def disable_command(session: Session, arguments: Sequence[str]) -> None:
    """Disable the secrets engine at a path. Everything it keeps is erased. Succeeds when there is none."""
    path = _mount_path(arguments[0])
    with failing_as(f"Error disabling secrets engine at {path}"):
        session.client.require(Call("DELETE", f"sys/mounts/{path}", wraps=False))
    session.output.line(f"Success! Disabled the secrets engine (if it existed) at: {path}")


@remote_command("move", usage="SOURCE DESTINATION", arity=Arity(2, 2))
def move_command(session: Session, arguments: Sequence[str]) -> None:
    """Move a secrets engine to another path, with all its data. Waits until it has moved."""
    source, destination = map(_mount_path, arguments)
    body: Json = {"from": source, "to": destination}
    with failing_as(f"Error moving secrets engine {source} to {destination}"):
        started = session.client.written(Call("POST", "sys/remount", body=body, wraps=False))
        migration = (started.data or {}).get("migration_id") if started else None
        if not isinstance(migration, str):
            session.output.line(f"Success! Moved the secrets engine {source} to: {destination}")
            return
        what = f"moving secrets engine {source} to {destination}, with migration ID {migration}"
        session.output.line(f"Started {what}")
        with terminal.waiting(f"Moving {source} to {destination}", session.output.err):
            _wait_until_moved(session, migration)
    session.output.line(f"Success! Finished {what}")


def _wait_until_moved(session: Session, migration: str) -> None:
    """Ask for the migration's state until it is final. Raises CallFailed when it failed."""
    while True:
        secret = session.client.written(Call("GET", f"sys/remount/status/{migration}", wraps=False))
        info = (secret.data or {}).get("migration_info") if secret else None
        state = info.get("status") if isinstance(info, dict) else None
        if state == "success":
            return
        if state != "in-progress":
            raise CallFailed(f"the migration ended as {state}: see the server's log for migration {migration}")
        time.sleep(POLL_SECONDS)


@remote_command(
    "list",
    arity=Arity(),
    prints=Prints.FORMAT,
    flags=[Flag("detailed", BOOLEAN, "Show settings and identities too.", default=False)],
)
def list_command(session: Session, arguments: Sequence[str], *, detailed: bool) -> None:  # noqa: ARG001
    """List the enabled secrets engines."""
    with failing_as("Error listing secrets engines"):
        answer = session.client.require(Call("GET", "sys/mounts", wraps=False)).object()
        mounts = parse_mounts(answer)
    if not mounts and session.output.is_table:
        raise RemoteFailed("No secrets engines: the answer names none")
    documents: Json = {path: mount_document(mount) for path, mount in sorted(mounts.items())}
    session.output.document(documents, lambda: mounts_table(mounts, detailed=detailed))
