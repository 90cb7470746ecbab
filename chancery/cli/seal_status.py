"""The seal's state as `status` and `operator unseal` show it."""

from chancery.cli.client import Call, Client
from chancery.cli.golang import Json, render
from chancery.cli.tables import Row, key_values

SEAL_STATUS = "sys/seal-status"
LEADER = "sys/leader"

_STATUS_ORDER: dict[str, Json] = {
    "type": "",
    "initialized": False,
    "sealed": False,
    "t": 0,
    "n": 0,
    "progress": 0,
    "nonce": "",
    "version": "",
    "commit_date": "",
    "migration": False,
}
_OPTIONAL = ("cluster_name", "cluster_id")
_LATER: dict[str, Json] = {"storage_type": "", "build_date": ""}
_LEADER_FIELDS = ("is_self", "active_time", "leader_address", "leader_cluster_address", "performance_standby")

Status = dict[str, Json]


def fetch_status(client: Client) -> Status:
    """Ask for the seal's state. Raises CallFailed."""
    return client.require(Call("GET", SEAL_STATUS, wraps=False)).object()


def fetch_leader(client: Client) -> Status:
    """Ask who leads the cluster. Raises CallFailed."""
    return client.require(Call("GET", LEADER, wraps=False)).object()


def status_document(status: Status, leader: Status | None) -> Status:
    """Return what JSON and YAML show: known fields in their usual order, then whatever else the server said."""
    document = {name: status.get(name, default) for name, default in _STATUS_ORDER.items()}
    document |= {name: status[name] for name in _OPTIONAL if status.get(name)}
    document["recovery_seal"] = status.get("recovery_seal", False)
    document |= {name: status[name] for name in ("recovery_seal_type",) if status.get(name)}
    document |= {name: status.get(name, default) for name, default in _LATER.items()}
    document |= {name: value for name, value in status.items() if name not in {*document, *_OPTIONAL}}
    document["ha_enabled"] = bool(leader and leader.get("ha_enabled"))
    if leader and leader.get("ha_enabled"):
        document |= {name: leader[name] for name in _LEADER_FIELDS if name in leader}
    return document


def status_table(status: Status, leader: Status | None) -> str:
    """Lay the state out as a table."""

    def text(name: str, default: Json = "") -> str:
        return render(status.get(name, default))

    recovery = "Recovery " if status.get("recovery_seal") else ""
    types: list[Row] = [("Seal Type", text("type")), ("Recovery Seal Type", text("recovery_seal_type"))]
    if not recovery:
        types.pop()
    elif not status.get("recovery_seal_type"):  # older servers tell one type
        types = [("Recovery Seal Type", text("type"))]
    rows: list[Row] = [
        *types,
        ("Initialized", text("initialized", default=False)),
        ("Sealed", text("sealed", default=False)),
        (f"Total {recovery}Shares", text("n", 0)),
        ("Threshold", text("t", 0)),
    ]
    if status.get("sealed"):
        rows += [("Unseal Progress", f"{text('progress', 0)}/{text('t', 0)}"), ("Unseal Nonce", text("nonce"))]
    if status.get("migration"):
        rows.append(("Seal Migration in Progress", "true"))
    if status.get("unseal_error"):
        rows.append(("Unseal Error", text("unseal_error")))
    optional = {
        "Version": "version",
        "Commit Date": "commit_date",
        "Build Date": "build_date",
        "Storage Type": "storage_type",
        "Cluster Name": "cluster_name",
        "Cluster ID": "cluster_id",
    }
    rows += [(label, text(name)) for label, name in optional.items() if status.get(name)]
    return key_values([*rows, *_cluster_rows(status, leader)])


def _cluster_rows(status: Status, leader: Status | None) -> list[Row]:
    if not (leader and leader.get("ha_enabled")):
        return [("HA Enabled", "false")]
    rows: list[Row] = [("HA Enabled", "true")]
    mode = "sealed" if status.get("sealed") else "active" if leader.get("is_self") else "standby"
    if mode != "sealed":
        rows.append(("HA Cluster", render(leader.get("leader_cluster_address", ""))))
    rows.append(("HA Mode", mode))
    if mode == "active" and leader.get("active_time"):
        rows.append(("Active Since", render(leader["active_time"])))
    if mode == "standby":
        rows.append(("Active Node Address", render(leader.get("leader_address", ""))))
    return rows
