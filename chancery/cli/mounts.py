"""Mounted engines as `secrets list` shows them."""

from collections.abc import Mapping

from chancery.cli.failures import CallFailed
from chancery.cli.golang import Json, render
from chancery.cli.json_text import sorted_keys
from chancery.cli.tables import Row, headed

Mount = dict[str, Json]

_ORDER: Mapping[str, Json] = {
    "uuid": "",
    "type": "",
    "description": "",
    "accessor": "",
    "config": None,
    "options": None,
    "local": False,
    "seal_wrap": False,
    "external_entropy_access": False,
    "plugin_version": "",
    "running_plugin_version": "",
    "running_sha256": "",
    "deprecation_status": "",
}
_CONFIG_ORDER: Mapping[str, Json] = {"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": False}
_SYSTEM_MOUNTS = frozenset({"cubbyhole", "ns_cubbyhole", "system", "ns_system"})
"""Types without leases of their own."""
_DETAILS = (
    "Path",
    "Plugin",
    "Accessor",
    "Default TTL",
    "Max TTL",
    "Force No Cache",
    "Replication",
    "Seal Wrap",
    "External Entropy Access",
    "Options",
    "Description",
    "UUID",
    "Version",
    "Running Version",
    "Running SHA256",
    "Deprecation Status",
)


def parse_mounts(answer: Mapping[str, Json]) -> dict[str, Mount]:
    """Return mounts by path, from the envelope's data or the top level. Raises CallFailed."""
    data = answer.get("data")
    found = data if isinstance(data, dict) else {path: value for path, value in answer.items() if path.endswith("/")}
    mounts: dict[str, Mount] = {}
    for path, mount in found.items():
        if not isinstance(mount, dict):
            raise CallFailed(f"the answer is not in Vault's shape: {path} is not an object")
        mounts[path] = mount
    return mounts


def mount_document(mount: Mount) -> Mount:
    """Return what JSON and YAML show: known fields in their usual order, then whatever else the server said."""
    document = {name: mount.get(name, default) for name, default in _ORDER.items()}
    config = mount.get("config")
    if isinstance(config, dict):
        known: Mount = {name: config.get(name, default) for name, default in _CONFIG_ORDER.items()}
        document["config"] = known | {name: value for name, value in sorted(config.items()) if name not in known}
    document["options"] = sorted_keys(mount.get("options"))
    return document | {name: value for name, value in sorted(mount.items()) if name not in document}


def mounts_table(mounts: Mapping[str, Mount], *, detailed: bool) -> str:
    """Lay the mounts out, by path."""
    if detailed:
        return headed(_DETAILS, [_details(path, mount) for path, mount in sorted(mounts.items())])
    rows: list[Row] = [
        (path, *(render(mount.get(name, "")) for name in ("type", "accessor", "description")))
        for path, mount in sorted(mounts.items())
    ]
    return headed(("Path", "Type", "Accessor", "Description"), rows)


def _details(path: str, mount: Mount) -> Row:
    config = mount.get("config")
    settings = config if isinstance(config, dict) else {}
    has_leases = mount.get("type") not in _SYSTEM_MOUNTS

    def text(name: str) -> str:
        return render(mount.get(name, ""))

    def ttl(name: str) -> str:
        value = settings.get(name)
        if not has_leases:
            return ""
        return render(value) if value else "system"

    return (
        path,
        text("type"),
        text("accessor"),
        ttl("default_lease_ttl"),
        ttl("max_lease_ttl"),
        render(settings.get("force_no_cache", False)),
        "local" if mount.get("local") else "replicated",
        render(mount.get("seal_wrap", False)),
        render(mount.get("external_entropy_access", False)),
        render(mount.get("options") or {}),
        text("description"),
        text("uuid"),
        text("plugin_version"),
        text("running_plugin_version"),
        text("running_sha256"),
        text("deprecation_status"),
    )
