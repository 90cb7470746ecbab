"""Ours and `bao` against our own server: both must understand it, and say the same of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.cli_programs import run_bao, run_ours
from tests.support.server_process import DevServer

pytestmark = pytest.mark.slow

LINES = [
    "status",
    "status -format=json",
    "secrets enable -path=WHO -max-lease-ttl=87600h -description=d pki",
    "secrets enable -path=WHO pki",
    "secrets tune -default-lease-ttl=1h WHO",
    "read sys/mounts/WHO/tune",
    "write WHO/roles/leaf allowed_domains=example.com allow_subdomains=true key_type=ec max_ttl=72h",
    "read WHO/roles/leaf",
    "read -format=yaml WHO/roles/leaf",
    "read -field=max_ttl WHO/roles/leaf",
    "patch -field=max_ttl WHO/roles/leaf max_ttl=48h",
    "list WHO/roles",
    "write -field=issuer_name WHO/root/generate/internal common_name=Root issuer_name=root key_type=ec",
    "write WHO/issue/leaf common_name=a.evil.com",
    "write WHO/issue/none common_name=a.example.com",
    "write -field=private_key_type WHO/issue/leaf common_name=a.example.com",
    "delete WHO/roles/leaf",
    "secrets list -format=yaml",
    "secrets list -detailed",
    "secrets disable WHO",
    "policy write WHO policy.hcl",
    "policy read WHO",
    "policy list",
    "policy delete WHO",
    "token create -policy=default -ttl=1h -metadata=a=b",
    "token create -format=json -orphan -use-limit=5 -ttl=1h -policy=default -display-name=WHO",
    "token create -id=tok-WHO -ttl=1h -policy=default",
    "token lookup -format=json tok-WHO",
    "token renew -increment=30m tok-WHO",
    "token capabilities tok-WHO sys/mounts",
    "token revoke tok-WHO",
    "token lookup tok-WHO",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with DevServer(tmp_path_factory.mktemp("chancery")) as running:
        yield {"BAO_ADDR": running.address, "BAO_TOKEN": running.token}


def test_both_say_the_same(server: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "policy.hcl").write_text('path "a/*" { capabilities = ["read"] }\n')
    for line in LINES:
        ours = run_ours(line.replace("WHO", "ours").split(), server, directory=tmp_path).normalized()
        peer = run_bao(line.replace("WHO", "peer").split(), server, directory=tmp_path).normalized()
        assert (line, ours.out, ours.status) == (line, peer.out, peer.status), (ours.err, peer.err)
        assert ours.err == peer.err


def test_path_help_comes_from_the_openapi_document(server: Mapping[str, str]) -> None:
    helped = run_ours(["path-help", "sys/mounts"], server)
    assert helped.status == 0, helped.err
    assert helped.out.startswith("sys/mounts\n\n  read    ")
    assert "\n  sys/mounts/{path}/tune  " in helped.out
