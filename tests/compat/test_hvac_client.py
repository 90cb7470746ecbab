"""The unmodified hvac client drives a real server: what its users' scripts do must go on working."""

from collections.abc import Iterator
from typing import Any

import hvac
import hvac.exceptions
import pytest
from cryptography import x509

from tests.support.server_process import DevServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(tmp_path_factory.mktemp("hvac")) as running:
        yield running


@pytest.fixture
def client(server: DevServer) -> Iterator[Any]:
    root = hvac.Client(url=server.address, token=server.token)
    yield root
    root.adapter.close()


def _as(client: Any, token: str, namespace: str | None = None) -> Any:
    return hvac.Client(url=client.url, token=token, namespace=namespace)


def test_the_state_of_the_server(client: Any) -> None:
    assert client.is_authenticated()
    assert client.sys.is_initialized()
    assert not client.sys.is_sealed()
    assert client.sys.read_health_status(method="GET")["sealed"] is False
    assert client.sys.read_health_status(method="HEAD").status_code == 200
    assert client.sys.read_leader_status()["ha_enabled"] is False
    assert client.seal_status["t"] == 1
    assert client.sys.get_encryption_key_status()["data"]["term"] >= 1


def test_mounts(client: Any) -> None:
    client.sys.enable_secrets_engine("pki", path="mounted", description="by hvac", config={"max_lease_ttl": "87600h"})
    assert client.sys.list_mounted_secrets_engines()["data"]["mounted/"]["description"] == "by hvac"
    client.sys.tune_mount_configuration("mounted", default_lease_ttl=3600, description="tuned")
    tuned = client.sys.read_mount_configuration("mounted")["data"]
    assert (tuned["default_lease_ttl"], tuned["max_lease_ttl"]) == (3600, 87600 * 3600)
    client.sys.disable_secrets_engine("mounted")
    assert "mounted/" not in client.sys.list_mounted_secrets_engines()["data"]


def test_policies_and_capabilities(client: Any) -> None:
    client.sys.create_or_update_policy("hvac-old", 'path "pki/*" { capabilities = ["list"] }')
    client.sys.create_or_update_acl_policy("hvac", {"path": {"pki/roles/*": {"capabilities": ["read"]}}})
    assert "hvac" in client.sys.list_acl_policies()["data"]["keys"]
    assert "hvac-old" in client.sys.list_policies()["data"]["policies"]
    assert "pki/roles/*" in client.sys.read_acl_policy("hvac")["data"]["policy"]
    token = client.auth.token.create(policies=["hvac"])["auth"]
    allowed = client.sys.get_capabilities(["pki/roles/x", "pki/issue/x"], token=token["client_token"])["data"]
    assert (allowed["pki/roles/x"], allowed["pki/issue/x"]) == (["read"], ["deny"])
    assert client.sys.get_capabilities(["pki/roles/x"], accessor=token["accessor"])["data"]["pki/roles/x"] == ["read"]
    limited = _as(client, token["client_token"])
    assert limited.sys.get_capabilities(["pki/roles/x"])["data"]["capabilities"] == ["read"]
    with pytest.raises(hvac.exceptions.Forbidden):
        limited.sys.list_policies()
    client.sys.delete_policy("hvac-old")
    client.sys.delete_acl_policy("hvac")
    with pytest.raises(hvac.exceptions.InvalidPath):
        client.sys.read_acl_policy("hvac")


def test_tokens(client: Any) -> None:
    tokens = client.auth.token
    parent = tokens.create(ttl="1h", meta={"who": "hvac"}, display_name="hvac", policies=["default"])["auth"]
    own = _as(client, parent["client_token"])
    assert own.auth.token.lookup_self()["data"]["meta"] == {"who": "hvac"}
    assert own.auth.token.renew_self(increment="30m")["auth"]["lease_duration"] == 1800
    assert tokens.lookup(parent["client_token"])["data"]["display_name"] == "token-hvac"
    assert tokens.lookup_accessor(parent["accessor"])["data"]["id"] == ""
    assert parent["accessor"] in tokens.list_accessors()["data"]["keys"]
    assert tokens.renew_accessor(parent["accessor"], increment="20m")["auth"]["lease_duration"] == 1200
    orphan = tokens.create_orphan(policies=["default"])["auth"]
    assert orphan["orphan"] is True
    tokens.revoke_accessor(orphan["accessor"])
    own.auth.token.revoke_self()
    assert not own.is_authenticated()


def test_token_roles(client: Any) -> None:
    tokens = client.auth.token
    tokens.create_or_update_role("hvac", allowed_policies=["default"], orphan=True, renewable=False)
    assert tokens.read_role("hvac")["data"]["orphan"] is True
    assert "hvac" in tokens.list_roles()["data"]["keys"]
    made = tokens.create(role_name="hvac")["auth"]
    assert (made["orphan"], made["renewable"]) == (True, False)
    tokens.delete_role("hvac")


def test_pki(client: Any) -> None:
    client.sys.enable_secrets_engine("pki")
    pki = client.secrets.pki
    root = pki.generate_root("internal", "hvac root", extra_params={"ttl": "8760h", "key_type": "ec"})["data"]
    assert pki.read_ca_certificate().strip() == root["certificate"].strip()
    pki.set_urls({"issuing_certificates": ["http://ca.example.com/ca"]})
    assert pki.read_urls()["data"]["issuing_certificates"] == ["http://ca.example.com/ca"]
    pki.create_or_update_role("web", {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "ec"})
    assert pki.list_roles()["data"]["keys"] == ["web"]
    assert pki.read_role("web")["data"]["allow_subdomains"] is True
    issued = pki.generate_certificate("web", "www.example.com")["data"]
    certificate = x509.load_pem_x509_certificate(issued["certificate"].encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(root["certificate"].encode()))
    assert pki.read_certificate(issued["serial_number"])["data"]["certificate"] == issued["certificate"]
    assert issued["serial_number"] in pki.list_certificates()["data"]["keys"]
    assert pki.revoke_certificate(issued["serial_number"])["data"]["state"] == "revoked"
    crl = x509.load_pem_x509_crl(pki.read_crl().encode())
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    pki.rotate_crl()
    issuers = pki.list_issuers()["data"]["keys"]
    assert pki.read_issuer(issuers[0])["data"]["issuer_id"] == issuers[0]
    pki.delete_role("web")


def test_managed_keys(client: Any, server: DevServer) -> None:
    """hvac has no methods for them: its users write paths."""
    pin = next(line.split()[-1] for line in server.log.read_text().splitlines() if "PIN" in line)
    key = {
        "library": "softhsm",
        "token_label": server.TOKEN_LABEL,
        "pin": pin,
        "key_label": "hvac",
        "mechanism": "0x1041",
        "curve": "P256",
        "allow_generate_key": True,
        "any_mount": True,
    }
    client.write_data("sys/managed-keys/pkcs11/hvac", data=key)
    assert client.read("sys/managed-keys/pkcs11/hvac")["data"]["pin"] == "redacted"
    assert client.list("sys/managed-keys/pkcs11")["data"]["keys"] == ["hvac"]
    client.write_data("sys/managed-keys/pkcs11/hvac/test/sign", data={})
    client.sys.enable_secrets_engine("pki", path="hsm")
    root = client.write_data(
        "hsm/root/generate/kms", data={"managed_key_name": "hvac", "common_name": "hsm root", "ttl": "24h"}
    )
    x509.load_pem_x509_certificate(root["data"]["certificate"].encode())


def test_userpass(client: Any) -> None:
    client.sys.enable_auth_method("userpass", path="people")
    people = client.auth.userpass
    people.create_or_update_user("ada", password="correct horse", policies="default", mount_point="people")
    assert people.list_user(mount_point="people")["data"]["keys"] == ["ada"]
    assert people.read_user("ada", mount_point="people")["data"]["policies"] == ["default"]
    visitor = hvac.Client(url=client.url)
    visitor.auth.userpass.login("ada", "correct horse", mount_point="people")
    assert visitor.auth.token.lookup_self()["data"]["display_name"] == "people-ada"
    with pytest.raises(hvac.exceptions.InvalidRequest):
        hvac.Client(url=client.url).auth.userpass.login("ada", "wrong", mount_point="people")
    people.update_password_on_user("ada", "battery staple", mount_point="people")
    hvac.Client(url=client.url).auth.userpass.login("ada", "battery staple", mount_point="people")
    client.sys.disable_auth_method("people")
    assert not visitor.is_authenticated()


def test_approle(client: Any) -> None:
    client.sys.enable_auth_method("approle")
    approle = client.auth.approle
    approle.create_or_update_approle("ci", token_policies=["default"], token_ttl="10m", secret_id_num_uses=2)
    assert approle.list_roles()["data"]["keys"] == ["ci"]
    role_id = approle.read_role_id("ci")["data"]["role_id"]
    secret = approle.generate_secret_id("ci", metadata={"job": "7"})["data"]
    assert approle.read_secret_id("ci", secret["secret_id"])["data"]["secret_id_num_uses"] == 2
    machine = hvac.Client(url=client.url)
    login = machine.auth.approle.login(role_id, secret["secret_id"])
    assert login["auth"]["metadata"]["role_name"] == "ci"
    assert login["auth"]["lease_duration"] == 600
    assert approle.list_secret_id_accessors("ci")["data"]["keys"] == [secret["secret_id_accessor"]]
    approle.destroy_secret_id("ci", secret["secret_id"])
    with pytest.raises(hvac.exceptions.InvalidRequest):
        hvac.Client(url=client.url).auth.approle.login(role_id, secret["secret_id"])


def test_identity(client: Any) -> None:
    identity = client.secrets.identity
    made = identity.create_or_update_entity("ada", metadata={"team": "sea"}, policies=["default"])["data"]
    assert identity.read_entity_by_name("ada")["data"]["metadata"] == {"team": "sea"}
    assert identity.read_entity(made["id"])["data"]["name"] == "ada"
    assert identity.lookup_entity(name="ada")["data"]["id"] == made["id"]
    identity.delete_entity_by_name("ada")


def test_wrapping(client: Any) -> None:
    wrapped = client.write_data("sys/wrapping/wrap", data={"answer": "42"}, wrap_ttl="60s")["wrap_info"]
    assert client.sys.unwrap(wrapped["token"])["data"] == {"answer": "42"}
    with pytest.raises(hvac.exceptions.InvalidRequest):
        client.sys.unwrap(wrapped["token"])
    token = client.auth.token.create(policies=["default"], wrap_ttl="60s")["wrap_info"]
    bearer = _as(client, token["token"])
    assert bearer.sys.unwrap()["auth"]["accessor"] == token["wrapped_accessor"]


def test_leases(client: Any) -> None:
    client.sys.enable_secrets_engine("pki", path="leased")
    pki = client.secrets.pki
    pki.generate_root("internal", "leased", extra_params={"key_type": "ec"}, mount_point="leased")
    role = {"allow_any_name": True, "key_type": "ec", "generate_lease": True, "ttl": "1h"}
    pki.create_or_update_role("web", role, mount_point="leased")
    issued = pki.generate_certificate("web", "a.example.com", mount_point="leased")
    lease = issued["lease_id"]
    assert client.sys.read_lease(lease)["data"]["id"] == lease
    assert client.sys.list_leases("leased/issue/web")["data"]["keys"] == [lease.rpartition("/")[2]]
    client.sys.revoke_lease(lease)
    read = pki.read_certificate(issued["data"]["serial_number"], mount_point="leased")
    assert read["data"]["revocation_time"] > 0
    client.sys.revoke_prefix("leased/issue")


def test_audit(client: Any, server: DevServer) -> None:
    path = server.data / "audit.log"
    client.sys.enable_audit_device("file", path="hvac", options={"file_path": str(path)})
    try:
        assert "hvac/" in client.sys.list_enabled_audit_devices()["data"]
        assert client.sys.calculate_hash("hvac", "secret")["data"]["hash"].startswith("hmac-sha256:")
        assert server.token not in path.read_text()
    finally:
        client.sys.disable_audit_device("hvac")


def test_namespaces(client: Any) -> None:
    client.sys.create_namespace("team")
    assert "team/" in client.sys.list_namespaces()["data"]["keys"]
    inside = _as(client, client.token, "team")
    inside.sys.enable_secrets_engine("pki", path="only-here")
    assert "only-here/" in inside.sys.list_mounted_secrets_engines()["data"]
    assert "only-here/" not in client.sys.list_mounted_secrets_engines()["data"]
    own = _as(client, inside.auth.token.create(policies=["default"])["auth"]["client_token"])
    with pytest.raises(hvac.exceptions.Forbidden):
        own.auth.token.lookup_self()
    client.sys.delete_namespace("team")


def test_rate_limits(client: Any) -> None:
    client.sys.create_or_update_quota("hvac", rate=10_000)
    assert client.sys.read_quota("hvac")["data"]["rate"] == 10_000
    client.sys.delete_quota("hvac")


def test_key_operations(client: Any) -> None:
    before = client.sys.get_encryption_key_status()["data"]["term"]
    client.sys.rotate_encryption_key()
    assert client.sys.get_encryption_key_status()["data"]["term"] == before + 1
    started = client.sys.start_rekey(secret_shares=1, secret_threshold=1)
    assert client.sys.read_rekey_progress()["started"] is True
    assert (started["n"], started["t"]) == (1, 1)
    client.sys.cancel_rekey()
    attempt = client.sys.start_root_token_generation()
    assert attempt["started"] is True
    client.sys.cancel_root_generation()


def test_errors_are_what_hvac_expects(client: Any) -> None:
    with pytest.raises(hvac.exceptions.Forbidden):
        _as(client, "hvs.nobody").sys.list_policies()
    with pytest.raises(hvac.exceptions.InvalidPath):
        client.sys.read_acl_policy("missing")
    assert client.read("pki-that-is-not/roles/x") is None
    with pytest.raises(hvac.exceptions.InvalidRequest):
        client.sys.enable_secrets_engine("no-such-engine")
