"""Tables, `-field`, warnings and formats."""

import io
from collections.abc import Callable

import pytest

from chancery.cli.answers import Secret, parse_secret
from chancery.cli.environment import Environment
from chancery.cli.failures import UsageFailed
from chancery.cli.golang import Json
from chancery.cli.mounts import mount_document, mounts_table, parse_mounts
from chancery.cli.output import Format, Output, choose_format
from chancery.cli.seal_status import status_document, status_table
from chancery.cli.tables import detailed_list, go_time, secret_table

Print = Callable[[Output], None]


def printed(action: Print, form: Format = Format.TABLE, field: str = "") -> tuple[str, str]:
    """Return what an action prints on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    action(Output(form, field, out, err))
    return out.getvalue(), err.getvalue()


def secret(document: dict[str, Json]) -> Secret:
    parsed = parse_secret(document)
    assert parsed is not None
    return parsed


def test_table_of_data() -> None:
    data: dict[str, Json] = {
        "ttl": 259200,
        "max_ttl": "72h",
        "grace_period": 0,
        "renewal_duration": 90,
        "empty": "",
        "none": None,
        "list": ["a", "b"],
        "flag_ttl": True,
        "lease_max": -5,
    }
    assert secret_table(secret({"data": data})).splitlines() == [
        "Key                 Value",
        "---                 -----",
        "empty               n/a",
        "flag_ttl            true",
        "grace_period        0s",
        "lease_max           -5s",
        "list                [a b]",
        "max_ttl             72h",
        "none                <nil>",
        "renewal_duration    1m30s",
        "ttl                 72h",
    ]


def test_table_of_a_lease_and_of_a_secret_to_refresh() -> None:
    leased = secret({"lease_id": "pki/issue/x/1", "lease_duration": 3600, "renewable": True, "data": {"a": "b"}})
    assert secret_table(leased).splitlines()[2:] == [
        "lease_id           pki/issue/x/1",
        "lease_duration     1h",
        "lease_renewable    true",
        "a                  b",
    ]
    assert secret_table(secret({"lease_duration": 60, "data": {}})).splitlines()[2] == "refresh_interval    1m"
    assert secret_table(secret({"request_id": "x", "data": {}})) == ""


def test_table_of_a_token() -> None:
    token = secret(
        {
            "auth": {
                "client_token": "s.x",
                "accessor": "acc",
                "lease_duration": 0,
                "renewable": False,
                "token_policies": ["default", "root"],
                "policies": ["default"],
                "metadata": {"b": "2", "a": "1"},
            }
        }
    )
    assert secret_table(token).splitlines()[2:] == [
        "token                s.x",
        "token_accessor       acc",
        "token_duration       ∞",
        "token_renewable      false",
        'token_policies       ["default" "root"]',
        "identity_policies    []",
        'policies             ["default"]',
        "token_meta_a         1",
        "token_meta_b         2",
    ]


def test_go_time() -> None:
    assert go_time("2026-11-22T07:48:05.302Z") == "2026-11-22 07:48:05.302 +0000 UTC"
    assert go_time("2026-11-22T07:48:05+02:00") == "2026-11-22T07:48:05+02:00"


def test_secrets_do_not_show_their_values() -> None:
    shown = repr(secret({"data": {"pin": "1234"}, "auth": {"client_token": "s.x"}, "wrap_info": {"token": "s.y"}}))
    assert not any(word in shown for word in ("1234", "s.x", "s.y"))


@pytest.mark.parametrize(
    ("field", "form", "text"),
    [
        ("text", Format.TABLE, "plain"),
        ("text", Format.JSON, '"plain"'),
        ("text", Format.YAML, "plain\n"),
        ("list", Format.TABLE, "[1 2]"),
        ("list", Format.JSON, "[\n  1,\n  2\n]"),
        ("list", Format.YAML, "- 1\n- 2\n"),
        ("lease_duration", Format.TABLE, "60"),
        ("data", Format.JSON, '{\n  "lease_duration": 5,\n  "list": [\n    1,\n    2\n  ],\n  "text": "plain"\n}'),
    ],
)
def test_one_field(field: str, form: Format, text: str) -> None:
    some = secret({"lease_duration": 60, "data": {"text": "plain", "list": [1, 2], "lease_duration": 5}})
    assert printed(lambda output: output.secret(some), form, field) == (text, "")


def test_a_field_that_is_not_there() -> None:
    with pytest.raises(UsageFailed, match='Field "none" not present in secret'):
        printed(lambda output: output.secret(secret({"data": {"none": None}})), field="none")


def test_warnings_are_wrapped_on_stderr() -> None:
    warned = secret({"warnings": ["word " * 20, "short"], "data": {"a": "b"}})
    out, err = printed(lambda output: output.secret(warned))
    assert out.startswith("Key")
    assert err.splitlines() == [
        "WARNING! The following warnings were returned from the server:",
        "",
        f"  * {'word ' * 14}word",
        f"  {'word ' * 4}word",
        "",
        "  * short",
        "",
    ]
    _, err = printed(lambda output: output.secret(warned), Format.JSON)
    assert err == ""


@pytest.mark.parametrize(
    ("flag", "variables", "chosen"),
    [
        (None, {}, Format.TABLE),
        ("JSON", {}, Format.JSON),
        ("yml", {"VAULT_FORMAT": "json"}, Format.YAML),
        (None, {"BAO_FORMAT": "yaml"}, Format.YAML),
        (None, {"CHANCERY_FORMAT": "json", "BAO_FORMAT": "yaml"}, Format.JSON),
        ("raw", {}, Format.RAW),
    ],
)
def test_choice_of_format(flag: str | None, variables: dict[str, str], chosen: Format) -> None:
    assert choose_format(flag, Environment(variables), allows_raw=True) is chosen


def test_formats_that_cannot_be() -> None:
    with pytest.raises(UsageFailed, match="Invalid output format: xml"):
        choose_format("xml", Environment({}), allows_raw=False)
    with pytest.raises(UsageFailed, match="does not support the -format=raw"):
        choose_format(None, Environment({"VAULT_FORMAT": "raw"}), allows_raw=False)


def test_detailed_list() -> None:
    details: dict[str, Json] = {"a": {"name": "", "ttl": 60}, "b": {"serial": "1"}}
    assert detailed_list(["a", "b", "c"], details).splitlines() == [
        "Keys    name    serial    ttl",
        "----    ----    ------    ---",
        "a       n/a     n/a       1m",
        "b       n/a     1         n/a",
        "c       n/a     n/a       n/a",
    ]


def test_mounts_keep_what_the_server_adds() -> None:
    pki: dict[str, Json] = {
        "type": "pki",
        "config": {"max_lease_ttl": 60, "allowed_managed_keys": ["k"], "audit_non_hmac_request_keys": ["a"]},
        "newer": 1,
    }
    document = mount_document(pki)
    assert list(document)[-1] == "newer"
    assert document["config"] == {
        "default_lease_ttl": 0,
        "max_lease_ttl": 60,
        "force_no_cache": False,
        "allowed_managed_keys": ["k"],
        "audit_non_hmac_request_keys": ["a"],
    }
    assert parse_mounts({"pki/": pki, "request_id": "x"}) == parse_mounts({"data": {"pki/": pki}}) == {"pki/": pki}
    detailed = mounts_table({"pki/": pki}, detailed=True).splitlines()[2].split()
    assert detailed[:5] == ["pki/", "pki", "n/a", "system", "60"]


@pytest.mark.parametrize(
    ("status", "leader", "rows"),
    [
        ({"sealed": True, "t": 3, "progress": 1}, None, {"Unseal Progress": "1/3", "HA Enabled": "false"}),
        ({"recovery_seal": True, "type": "pkcs11", "n": 5}, None, {"Recovery Seal Type": "pkcs11"}),
        ({"migration": True}, None, {"Seal Migration in Progress": "true"}),
        (
            {"sealed": False},
            {"ha_enabled": True, "is_self": True, "leader_cluster_address": "https://a:8201", "active_time": "now"},
            {"HA Enabled": "true", "HA Cluster": "https://a:8201", "HA Mode": "active", "Active Since": "now"},
        ),
        (
            {"sealed": False},
            {"ha_enabled": True, "is_self": False, "leader_address": "https://a:8200"},
            {"HA Mode": "standby", "Active Node Address": "https://a:8200", "HA Cluster": "n/a"},
        ),
    ],
)
def test_status(status: dict[str, Json], leader: dict[str, Json] | None, rows: dict[str, str]) -> None:
    lines = status_table(status, leader).splitlines()[2:]
    shown = {line.split("   ", 1)[0].strip(): line.split("   ", 1)[1].strip() for line in lines}
    assert {name: shown.get(name) for name in rows} == rows
    assert status_document(status, leader)["ha_enabled"] is bool(leader)


def test_status_keeps_what_the_server_adds() -> None:
    assert status_document({"type": "shamir", "newer": 1}, None)["newer"] == 1
