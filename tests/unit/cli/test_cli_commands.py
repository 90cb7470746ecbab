"""The tree of commands: help, what each sends, how failures become exit codes, and how `server` is called."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from chancery.cli.command import GoCommand, LazyGroup
from chancery.cli.main import root
from tests.support.cli_listener import listening, reply
from tests.support.cli_programs import Outcome, run_ours


def every_command(group: LazyGroup = root, above: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command that is not a group."""
    found: list[tuple[str, ...]] = []
    for name, entry in group.entries.items():
        command = entry.load()
        if isinstance(command, LazyGroup):
            found += every_command(command, (*above, name))
        else:
            found.append((*above, name))
    return found


COMMANDS = every_command()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    helped = run_ours([*words, "-h"], {})
    assert (helped.status, helped.err) == (0, "")
    assert helped.out.startswith(f"Usage: chancery {' '.join(words)} ")
    assert len(helped.out.splitlines()) > 2


@pytest.mark.parametrize("words", [(), ("secrets",), ("operator",), ("policy",), ("token",), ("print",)], ids=" ".join)
def test_every_group_lists_its_commands(words: tuple[str, ...]) -> None:
    helped = run_ours([*words, "-help"], {})
    assert helped.status == 0
    bare = run_ours(words, {})
    assert (bare.status, bare.out, bare.err) == (1 if words else 127, "", helped.out)
    unknown = run_ours([*words, "nonsense"], {})
    assert unknown.err == f"unknown command: nonsense\n\n{helped.out}"


def test_flags_of_a_command_do_not_share_spellings() -> None:
    for words in COMMANDS:
        command: click.Command = root
        for word in words:
            assert isinstance(command, LazyGroup)
            command = command.entries[word].load()
        assert isinstance(command, GoCommand)
        spellings = [spelling for flag in command.flags for spelling in (flag.spelling, *flag.aliases)]
        assert len(spellings) == len(set(spellings)), words
        assert all(flag.help for flag in command.flags)


def sent(line: str, *, stdin: bytes = b"", status: str = "204 No Content") -> tuple[str, object]:
    """Run a command; return the method and target that it sent, and the body as JSON."""
    with listening(reply(status)) as listener:
        run_ours(line.split(), {"VAULT_ADDR": f"http://127.0.0.1:{listener.port}", "VAULT_TOKEN": "t"}, stdin=stdin)
    head, _, body = listener.requests[0].decode().partition("\r\n\r\n")
    return head.partition(" HTTP/")[0], json.loads(body) if body else None


@pytest.mark.parametrize(
    ("line", "request_line", "body"),
    [
        ("secrets enable pki", "POST /v1/sys/mounts/pki", {"type": "pki", "config": {}}),
        (
            "secrets enable -path=a/b -allowed-managed-keys=k1 -allowed-managed-keys k2 -max-lease-ttl=87600h "
            "-description=d -options=x=y -version=2 -local -seal-wrap=false -force-no-cache=false pki",
            "POST /v1/sys/mounts/a/b",
            {
                "type": "pki",
                "description": "d",
                "config": {
                    "allowed_managed_keys": ["k1", "k2"],
                    "max_lease_ttl": "87600h0m0s",
                    "force_no_cache": False,
                },
                "options": {"x": "y", "version": "2"},
                "local": True,
            },
        ),
        ("secrets enable -plugin-name=mine plugin", "POST /v1/sys/mounts/mine", {"type": "mine", "config": {}}),
        (
            "secrets tune -allowed-managed-keys=learn-managed-key -default-lease-ttl=system pki",
            "POST /v1/sys/mounts/pki/tune",
            {"allowed_managed_keys": ["learn-managed-key"], "default_lease_ttl": "system"},
        ),
        ("secrets tune -description= pki/", "POST /v1/sys/mounts/pki/tune", {"description": ""}),
        ("secrets move a b/c", "POST /v1/sys/remount", {"from": "a/", "to": "b/c/"}),
        ("token create", "POST /v1/auth/token/create", {}),
        (
            "token create -renewable=false -orphan -policy=a -policy=b -ttl=1h -period=30 -use-limit=0 -metadata=k=v "
            "-no-default-policy -type=batch -entity-alias=e -role=r",
            "POST /v1/auth/token/create/r",
            {
                "renewable": False,
                "no_parent": True,
                "policies": ["a", "b"],
                "ttl": "1h0m0s",
                "period": "30s",
                "num_uses": 0,
                "meta": {"k": "v"},
                "no_default_policy": True,
                "type": "batch",
                "entity_alias": "e",
            },
        ),
        ("token renew -increment=90 x", "PUT /v1/auth/token/renew", {"token": "x", "increment": 90}),
        ("token renew", "PUT /v1/auth/token/renew-self", {}),
        ("token revoke -mode=path auth/x", "PUT /v1/sys/leases/revoke-prefix/auth/x", None),
        ("lease lookup a/b", "PUT /v1/sys/leases/lookup", {"lease_id": "a/b"}),
        ("lease renew -increment=3m a/b", "PUT /v1/sys/leases/renew", {"lease_id": "a/b", "increment": 180}),
        ("lease revoke a/b", "PUT /v1/sys/leases/revoke/a/b", {"sync": False}),
        ("lease revoke -sync -prefix a", "PUT /v1/sys/leases/revoke-prefix/a", {"sync": True}),
        ("lease revoke -f -prefix a", "PUT /v1/sys/leases/revoke-force/a", None),
        ("token capabilities a b/c", "POST /v1/sys/capabilities", {"token": "a", "path": "b/c"}),
        ("patch -f pki/roles/x", "PATCH /v1/pki/roles/x", {}),
        ("read pki/x a=b c=1 c=2", "GET /v1/pki/x?a=b&c=1&c=2", None),
        ("delete pki/x version=2", "DELETE /v1/pki/x?version=2", None),
        ("list -limit=-1 pki/roles/", "GET /v1/pki/roles?list=true", None),
        ("operator unseal -migrate abc", "PUT /v1/sys/unseal", {"key": "abc", "migrate": True}),
        ("operator unseal -reset", "PUT /v1/sys/unseal", {"reset": True}),
        (
            "login -method=approle role_id=r secret_id=s",
            "PUT /v1/auth/approle/login",
            {"role_id": "r", "secret_id": "s"},
        ),
        ("login -method=cert -path=tls name=n", "PUT /v1/auth/tls/login", {"name": "n"}),
        (
            "login -method=ldap -path=corp username=a/b password=p",
            "PUT /v1/auth/corp/login/a/b",
            {"password": "p"},
        ),
    ],
)
def test_what_is_sent(line: str, request_line: str, body: object) -> None:
    assert sent(line) == (request_line, body)


def test_a_login_does_not_send_the_token_in_effect() -> None:
    with listening(reply("200 OK", b"{}")) as listener:
        run_ours(["login", "-method=cert"], {"VAULT_ADDR": f"http://127.0.0.1:{listener.port}", "VAULT_TOKEN": "s.old"})
    assert b"s.old" not in listener.requests[0]


def answered(line: str, *replies: bytes) -> Outcome:
    """Run a command against prepared answers."""
    with listening(*replies) as listener:
        return run_ours(line.split(), {"VAULT_ADDR": f"http://127.0.0.1:{listener.port}"})


def test_failures_name_what_was_being_done() -> None:
    body = json.dumps({"errors": ["managed key learn-managed-key is not allowed on pki/"]}).encode()
    refused = answered("write pki/root/generate/kms managed_key_name=learn-managed-key", reply("403 Forbidden", body))
    assert refused.status == 2
    assert refused.err.startswith("Error writing data to pki/root/generate/kms: Error making API request.\n\nURL: PUT ")
    assert refused.err.endswith("Code: 403. Errors:\n\n* managed key learn-managed-key is not allowed on pki/\n")


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("status", 1, "Error checking seal status: cannot reach"),
        ("read x", 2, "Error reading x: cannot reach"),
        ("operator init", 2, "cannot reach"),
        ("login x", 2, "Error authenticating: error looking up token: cannot reach"),
    ],
)
def test_nobody_listens(line: str, status: int, words: str) -> None:
    failed = run_ours(line.split(), {"VAULT_ADDR": "http://127.0.0.1:1"})
    assert (failed.status, failed.out) == (status, "")
    assert failed.err.startswith(words)


def test_misplaced_flags_are_pointed_out() -> None:
    noted = run_ours(["secrets", "enable", "pki", "-path=x"], {})
    assert noted.err == (
        "Flags come before arguments; taken as arguments: -path=x\nToo many arguments (expected 1, got 2)\n"
    )


def test_raw_answers_are_printed_byte_for_byte() -> None:
    der = bytes(range(256))
    with listening(reply("200 OK", der, Content_Type="application/pkix-cert")) as listener:
        program = [sys.executable, "-m", "chancery.cli.main", "read", "-format=raw", "pki/ca"]
        finished = subprocess.run(
            [sys.executable, "-c", "from chancery.cli.main import main; main()", *program[3:]],
            env={"VAULT_ADDR": f"http://127.0.0.1:{listener.port}", "HOME": "/nonexistent"},
            capture_output=True,
            timeout=20,
            check=False,
        )
    assert finished.stdout == der + b"\n", finished.stderr


def test_version() -> None:
    for words in (["version"], ["-v"], ["-version"], ["--version"], ["version", "whatever"]):
        assert run_ours(words, {}).out.startswith("Chancery v")


class TestServer:
    """`chancery server`, without a server."""

    @pytest.fixture(autouse=True)
    def _no_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import chancery.dev
        import chancery.server

        self.calls: list[object] = []

        def called_with(value: object) -> int:
            self.calls.append(value)
            return 3

        monkeypatch.setattr(chancery.dev, "run_dev", called_with)
        monkeypatch.setattr(chancery.server, "run_config", called_with)

    def test_configuration(self) -> None:
        assert run_ours(["server", "-config", "c.yaml"], {}).status == 3
        assert self.calls == [Path("c.yaml")]

    def test_development(self) -> None:
        from chancery.dev import DevOptions

        run_ours(["server", "--dev"], {})
        run_ours(
            [
                "server",
                "-dev",
                "-dev-root-token-id=r",
                "--dev-listen-address",
                "127.0.0.1:1",
                "-dev-data=d",
                "-log-level=DEBUG",
            ],
            {},
        )
        run_ours(["server", "-dev"], {"VAULT_DEV_ROOT_TOKEN_ID": "v", "BAO_DEV_LISTEN_ADDRESS": "127.0.0.1:2"})
        assert self.calls == [
            DevOptions(),
            DevOptions(root_token_id="r", listen_address="127.0.0.1:1", data=Path("d"), log_level="debug"),
            DevOptions(root_token_id="v", listen_address="127.0.0.1:2"),
        ]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "Must specify a configuration file with -config, or -dev"),
            (["-dev", "-config=c"], "exclude each other"),
            (["-config=c", "-dev-data=d", "-dev-root-token-id=r"], "-dev-root-token-id, -dev-data: only with -dev"),
            (["-config=c", "-log-level=debug"], "-log-level: only with -dev"),
            (["-dev", "x"], "Too many arguments"),
        ],
    )
    def test_contradictions(self, words: list[str], message: str) -> None:
        refused = run_ours(["server", *words], {})
        assert (refused.status, self.calls) == (1, [])
        assert message in refused.err


@pytest.mark.slow
def test_a_question_to_a_server_imports_little() -> None:
    """Start-up is most of what a command costs: none of the server and none of its libraries may come along."""
    program = "import sys; from chancery.cli.main import run; run(['status']); print(*sorted(sys.modules))"
    with listening(reply("200 OK", b'{"sealed": true}')) as listener:
        finished = subprocess.run(
            [sys.executable, "-c", program],
            env={"VAULT_ADDR": f"http://127.0.0.1:{listener.port}", "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    loaded = {module.partition(".")[0] for module in finished.stdout.splitlines()[-1].split()}
    heavy = {"aiohttp", "asyncio", "asn1crypto", "cryptography", "pydantic", "rich", "sqlalchemy", "yaml", "uvloop"}
    assert not loaded & heavy
