"""The same command line typed into ours and into `bao`, against the same server: same stdout, same exit code."""

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.cli_programs import Outcome, run_bao, run_ours

pytestmark = pytest.mark.slow

READING = [
    "read pki/config/urls",
    "read /pki/config/urls/",
    "read pki/roles/leaf",
    "read pki/roles/none",
    "read nothing/here",
    "read kv1/odd",
    "read -format=json kv1/odd",
    "read -format=yaml kv1/odd",
    "read --format json kv1/odd",
    "read -format=json kv1/separator",
    "read kv1/separator",
    *(f"read -field={name} kv1/odd" for name in ("a", "n", "big", "l", "m", "nil", "empty", "ttl", "b", "none")),
    *(f"read -field={name} -format=json kv1/odd" for name in ("a", "n", "l", "m", "nil", "empty", "lease_duration")),
    *(f"read -field={name} -format=yaml kv1/odd" for name in ("a", "n", "l", "m", "nil", "empty", "y", "ml")),
    "read -field=data kv1/odd",
    "read -field=data -format=json kv1/odd",
    "read -format=JSON pki/config/urls",
    "read -format=raw pki/ca/pem",
    "read -format=raw nothing/here",
    "read sys/seal-status",
    "read sys/mounts/pki/tune",
    "read sys/policy/root",
    "read -wrap-ttl=5m pki/config/urls",
    "read -wrap-ttl=300 -format=json pki/config/urls",
    "read -wrap-ttl=300 -format=yaml pki/config/urls",
    "read -field=wrapping_token_ttl -wrap-ttl=90 pki/config/urls",
    "read pki/cert/crl",
    "read -- pki/config/urls",
    "list pki/roles",
    "list -format=json pki/roles",
    "list -format=yaml pki/roles",
    "list pki/none",
    "list -format=json pki/none",
    "list -format=yaml pki/none",
    "list kv1/list",
    "list -limit=1 -after=a kv1/list/",
    "list -detailed pki/issuers",
    "list -detailed -format=json pki/issuers",
    "list -detailed pki/roles",
    "list -wrap-ttl=60 pki/roles",
    "list -format=raw pki/roles",
    "secrets list",
    "secrets list -format=json",
    "secrets list -format=yaml",
    "secrets list -detailed",
    "policy list",
    "policy list -format=json",
    "policy list -format=yaml",
    "policy read default",
    "policy read -format=json default",
    "policy read -format=yaml default",
    "policy read none",
    "status",
    "status -format=json",
    "status -format=yaml",
    "status -field=sealed",
    "status -field=t",
    "token lookup",
    "token lookup -format=json",
    "token lookup -format=yaml",
    "token lookup -field=policies",
    "token lookup nobody",
    "token capabilities sys/mounts",
    "token capabilities -format=json sys/mounts",
    "token capabilities root sys/mounts",
    "token renew",
    "print token",
    "path-help sys/health",
    "path-help nothing/here",
    "operator init -status",
    "operator init -status -format=json",
    "operator init",
    "read -ns=other pki/x",
    "write -ns=other pki/x a=b",
]

WRITING = [
    "write kv1/WHO a=b",
    "write -format=json kv1/WHO a=b",
    "write -f kv1/WHO",
    "write -force=true kv1/WHO",
    "write kv1/WHO a=b a=c empty= eq== \\@x=y v=\\@z",
    "read kv1/WHO",
    "write kv1/WHO =x",
    "write kv1/WHO file=@data.txt",
    "read -format=json kv1/WHO",
    "write kv1/WHO @data.json",
    "read -format=json kv1/WHO",
    "write pki/roles/WHO key_type=ec max_ttl=72h",
    "write -field=key_type pki/roles/WHO key_type=ec",
    "write -field=none pki/roles/WHO key_type=ec",
    "patch pki/roles/WHO max_ttl=48h",
    "patch -field=max_ttl pki/roles/WHO max_ttl=24h",
    "patch pki/roles/none-WHO max_ttl=48h",
    "write pki/roles/WHO key_type=nonsense",
    "write -format=yaml pki/config/urls issuing_certificates=http://a issuing_certificates=http://b",
    "write pki/issue/leaf common_name=a.evil.com",
    "write -format=json pki/issue/leaf common_name=a.evil.com",
    "delete pki/roles/WHO",
    "delete pki/roles/WHO",
    "delete -format=json pki/roles/WHO",
    "write nothing/here a=b",
    "delete nothing/here",
    "secrets enable -path=WHO pki",
    "secrets enable -path=WHO pki",
    "secrets enable nonsense-engine",
    "secrets tune -default-lease-ttl=1h -max-lease-ttl=3d -description=words WHO",
    "read sys/mounts/WHO/tune",
    "secrets tune WHO/",
    "read sys/mounts/WHO/tune",
    "secrets tune none-WHO",
    "secrets move none-WHO elsewhere-WHO",
    "secrets disable WHO",
    "secrets disable WHO",
    "secrets enable -path=WHO -description=d -default-lease-ttl=1h -listing-visibility=unauth -version=1 kv",
    "read sys/mounts/WHO/tune",
    "secrets disable WHO/",
    "policy write WHO policy.hcl",
    "policy read WHO",
    "policy write WHO broken.hcl",
    "policy delete WHO",
    "policy delete WHO",
    "policy delete root",
    "token create",
    "token create -policy=default -ttl=1h -metadata=a=b -metadata=c=d",
    "token create -format=json -orphan -use-limit=5 -ttl=1h -explicit-max-ttl=2h -policy=default -display-name=WHO",
    "token create -format=yaml -period=1h -policy=none-such",
    "token create -policy=none-such",
    "token create -type=batch -policy=default -ttl=10m",
    "token create -field=token_policies -policy=default",
    "token create -field=token_policies -policy=none-such",
    "token create -field=token_policies -format=json -policy=none-such",
    "token create -field=token_duration -ttl=1.5h",
    "token create -wrap-ttl=5m",
    "token create -wrap-ttl=5m -format=json",
    "token create -id=tok-WHO -ttl=1h -policy=default",
    "token lookup tok-WHO",
    "token renew tok-WHO",
    "token renew -increment=30m tok-WHO",
    "token renew -format=json -i 30m tok-WHO",
    "token capabilities tok-WHO sys/mounts",
    "token capabilities tok-WHO cubbyhole/x",
    "token revoke tok-WHO",
    "token revoke tok-WHO",
    "token revoke -mode=orphan tok-WHO",
    "token create -role=none-such",
    "unwrap nonsense",
]

REFUSED = [
    "",
    "nonsense",
    "token",
    "token nonsense",
    "read pki/ca/pem",
    "read",
    "read -nonsense x",
    "read -format",
    "read -format=xml x",
    "read ---format=json x",
    "read -=x x",
    "read path novalue",
    "read -header=nopair x",
    "read -wrap-ttl=soon x",
    "write",
    "write path",
    "write -force=false path",
    "write -force=maybe path",
    "write path novalue",
    "write path @missing.json",
    "write path a=@missing.txt",
    "write path @data.txt",
    "list",
    "list a b",
    "list -limit=x a",
    "delete",
    "patch path",
    "secrets enable",
    "secrets enable a b",
    "secrets enable -max-lease-ttl=soon pki",
    "secrets tune",
    "secrets move a",
    "secrets list a",
    "policy write name",
    "policy read",
    "policy fmt missing.hcl",
    "policy fmt broken.hcl",
    "token create a",
    "token create -ttl=soon",
    "token create -metadata=nopair",
    "token create -orphan=maybe",
    "token lookup a b",
    "token lookup -accessor",
    "token renew a b",
    "token revoke",
    "token revoke a b",
    "token revoke -self x",
    "token revoke -mode=nonsense x",
    "token revoke -mode=orphan -self",
    "token capabilities",
    "token capabilities a b c",
    "operator unseal",
    "operator unseal a b",
    "operator seal a",
    "operator init a",
    "status a",
    "status -address=http://127.0.0.1:1",
    "status -format=raw",
    "login a b",
    "login -method=nonsense",
]


def both(line: str, server: Mapping[str, str], directory: Path, stdin: bytes = b"") -> tuple[Outcome, Outcome]:
    """Type a line into both; WHO becomes a name for each, so that neither treads on the other's ground."""
    ours = run_ours(line.replace("WHO", "ours").split(), server, stdin=stdin, directory=directory)
    peer = run_bao(line.replace("WHO", "peer").split(), server, stdin=stdin, directory=directory)
    return ours.normalized(), peer.normalized()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the files that the lines name."""
    path = tmp_path_factory.mktemp("files")
    (path / "data.txt").write_text("first\nsecond\n")
    (path / "data.json").write_text('{"a": {"b": [1, 2.50]}, "c": "<x>"}')
    (path / "policy.hcl").write_text('path "a/*" { capabilities = ["read"] }\n')
    (path / "broken.hcl").write_text('path "a" { capabilities = \n')
    return path


@pytest.mark.parametrize("line", READING)
def test_reading(line: str, server: Mapping[str, str], directory: Path) -> None:
    ours, peer = both(line, server, directory)
    assert (ours.out, ours.status) == (peer.out, peer.status)
    assert_same_error(ours, peer)


def test_writing(server: Mapping[str, str], directory: Path) -> None:
    for line in WRITING:
        ours, peer = both(line, server, directory)
        assert (line, ours.out, ours.status) == (line, peer.out, peer.status), (ours.err, peer.err)
        assert_same_error(ours, peer)


def assert_same_error(ours: Outcome, peer: Outcome) -> None:
    """Check stderr; ours may add the server's own reason for a path that is not there."""
    if ours.err.startswith("No value found"):
        assert ours.err.startswith(peer.err)
    else:
        assert ours.err == peer.err


@pytest.mark.parametrize("line", REFUSED)
def test_refused(line: str, server: Mapping[str, str], directory: Path) -> None:
    ours, peer = both(line, server, directory)
    assert ours.status == peer.status, ours.err
    assert ours.err


def test_values_from_stdin(server: Mapping[str, str], directory: Path) -> None:
    for line, stdin in (
        ("write kv1/WHO a=-", b"text\n"),
        ("write kv1/WHO -", b'{"a": {"b": 1.50}, "c": ["<"]}'),
        ("policy write WHO -", b'path "x" { capabilities = ["read"] }'),
    ):
        ours, peer = both(line, server, directory, stdin)
        assert (ours.out, ours.status) == (peer.out, peer.status)
        ours, peer = both("read -format=json kv1/WHO", server, directory)
        assert ours == peer


def test_moving_an_engine_waits_until_it_has_moved(server: Mapping[str, str], directory: Path) -> None:
    assert run_ours(["secrets", "enable", "-path=before", "pki"], server).status == 0
    moved = run_ours(["secrets", "move", "before", "after"], server).normalized()
    assert moved.out.splitlines() == [
        "Started moving secrets engine before/ to after/, with migration ID UUID",
        "Success! Finished moving secrets engine before/ to after/, with migration ID UUID",
    ]
    assert run_ours(["secrets", "disable", "after"], server).status == 0


def test_formatting_a_policy(server: Mapping[str, str], tmp_path: Path) -> None:
    for name in ("ours.hcl", "peer.hcl"):
        (tmp_path / name).write_text(
            '# a\n\n# b\npath "x" { capabilities=["read",  "list"] # why\n policy = "read"\n\n\n'
            ' denied_parameters = { "p" = ["1"]\n "longer" = [\n"2", "3"] } }\n'
            'path "y/+/*" {\n  # in\n  capabilities = [\n "sudo" ]\n min_wrapping_ttl = "1s"\n'
            'max_wrapping_ttl="90s" }\npath "z" {\n}\n'
        )
    ours, peer = both("policy fmt WHO.hcl", server, tmp_path)
    assert ours == peer
    assert (tmp_path / "ours.hcl").read_text() == (tmp_path / "peer.hcl").read_text()


CURL = [
    "read pki/config/urls",
    "list -limit=2 -after=x pki/roles",
    "write pki/roles/x a=b c=it's",
    "patch pki/roles/x a=b",
    "delete pki/roles/x",
    "read -tls-skip-verify x",
    "policy read foo",
    "token lookup",
    "token revoke x",
    "token revoke -accessor x",
    "token revoke -mode=path auth/x",
    "operator seal",
    "secrets disable x",
    "secrets move a b",
    "write -wrap-ttl=1m -namespace=ns pki/x a=b",
]


@pytest.mark.parametrize("line", CURL)
def test_curl_commands(line: str, server: Mapping[str, str], directory: Path) -> None:
    """The same words in whatever order; ours names the content type, which curl would otherwise make up."""
    words = line.split()
    count = 2 if words[0] in {"policy", "token", "operator", "secrets"} else 1
    ours, peer = both(" ".join([*words[:count], "-output-curl-string", *words[count:]]), server, directory)
    assert ours.status == peer.status == 0
    assert _curl_words(ours.out) == _curl_words(peer.out.replace("$(bao ", "$(chancery "))


def _curl_words(text: str) -> list[str]:
    words = [word.lower() if word.startswith("X-") else word for word in shlex.split(text)]
    return sorted(word for word in words if word not in {"-H", "Content-Type: application/json"})
