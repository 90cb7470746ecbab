"""The same requests to our server and to OpenBao's: the same statuses, fields and values. And hvac on ours."""

import re
from collections.abc import Iterator
from typing import Any

import hvac
import pytest

from chancery.seal import one_time_password
from tests.support.seal_openbao import Sealed, initialise, open_openbao
from tests.support.server_process import ConfiguredServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHARE = re.compile(r"[0-9a-f]{64,66}|[A-Za-z0-9+/]{43,44}=*")


class _Ours(ConfiguredServer):
    made: Sealed

    def make_ready(self) -> None:
        """Initialise with three shares."""
        self.made = initialise(self.address)
        self.token = self.made.token


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """Run our server."""
    with _Ours(tmp_path_factory.mktemp("ours")) as server:
        yield server.made


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """Run OpenBao."""
    with open_openbao(tmp_path_factory.mktemp("peer")) as server:
        yield server


class Side:
    """One server; what it answers is remembered without what differs from call to call."""

    def __init__(self, server: Sealed) -> None:
        self.server = server
        self.said: list[Any] = []

    def __call__(self, method: str, path: str, *, token: bool = False, **body: Any) -> dict[str, Any]:
        with self.server.client(token=token) as client:
            answer = client.request(method, f"sys/{path}", body or None)
        self.said.append((method, path, answer.status, _normal(answer.body)))
        return answer.body

    def agree(self, path: str, nonce: str) -> dict[str, Any]:
        """Enter two shares."""
        for share in self.server.shares[:2]:
            answer = self("PUT", path, key=share, nonce=nonce)
        return answer


def _normal(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {
                key: _normal(item, key)
                for key, item in sorted(value.items())
                if key not in {"request_id", "mount_type"}  # OpenBao has no mount_type, Vault has
            }
        case list():
            return [_normal(item, name) for item in value]
        case str() if name in {"otp", "encoded_token", "encoded_root_token", "install_time", "token"} and value:
            return name
        case int() if name in {"encryptions", "otp_length", "term"} and not isinstance(value, bool):
            return name if value else 0
        case str():
            return SHARE.sub("SHARE", UUID.sub("UUID", value))
        case _:
            return value


def rekey(side: Side) -> None:
    """Everything that can be asked of an attempt, in and out of order."""
    side("GET", "rekey/init")
    side("GET", "rekey/verify")
    side("PUT", "rekey/update", key="00" * 32, nonce="x")
    side("DELETE", "rekey/init")
    side("PUT", "rekey/init", secret_shares=2, secret_threshold=2, backup=True)
    nonce = side("PUT", "rekey/init", secret_shares=3, secret_threshold=2, require_verification=True)["nonce"]
    side("PUT", "rekey/init", secret_shares=3, secret_threshold=2)
    side("GET", "rekey/init")
    side("GET", "rekey/verify")
    side("PUT", "rekey/verify", key="00" * 32, nonce="x")
    side("PUT", "rekey/update", nonce=nonce)
    side("PUT", "rekey/update", key="zz", nonce=nonce)
    side("PUT", "rekey/update", key="00" * 32, nonce="x")
    side("PUT", "rekey/update", key=side.server.shares[0], nonce=nonce)
    side("PUT", "rekey/update", key=side.server.shares[0], nonce=nonce)
    made = side("PUT", "rekey/update", key=side.server.shares[1], nonce=nonce)
    side("GET", "rekey/init")
    side("PUT", "rekey/update", key=side.server.shares[2], nonce=nonce)
    waiting = made["verification_nonce"]
    side("GET", "rekey/verify")
    side("PUT", "rekey/verify", key=made["keys"][0], nonce="x")
    side("PUT", "rekey/verify", key=made["keys"][0], nonce=waiting)
    again = side("DELETE", "rekey/verify")["nonce"]
    side("PUT", "rekey/verify", key=made["keys"][0], nonce=again)
    side("PUT", "rekey/verify", key=side.server.shares[0], nonce=again)
    again = side("GET", "rekey/verify")["nonce"]
    side.server.shares[:] = made["keys"]
    side.agree("rekey/verify", again)
    side("GET", "rekey/init")
    side("DELETE", "rekey/verify")
    side("GET", "rekey-recovery-key/init")
    side("PUT", "rekey-recovery-key/init", secret_shares=1, secret_threshold=1)


def rotate_root(side: Side) -> None:
    """OpenBao's names."""
    nonce = side("PUT", "rotate/root/init", token=True, secret_shares=3, secret_threshold=2)["data"]["nonce"]
    for share in side.server.shares[:2]:
        made = side("PUT", "rotate/root/update", token=True, key=share, nonce=nonce)
    side.server.shares[:] = made["data"]["keys"]
    side("GET", "rotate/root/backup", token=True)
    side("DELETE", "rotate/root/init", token=True)
    side("GET", "rotate/root/init")
    side("GET", "rekey/backup", token=True)
    side("DELETE", "rekey/backup", token=True)
    side("DELETE", "rekey/recovery-key-backup", token=True)


def generate_root(side: Side) -> None:
    """From nothing to a token."""
    side("GET", "generate-root/attempt")
    side("PUT", "generate-root/update", key="00" * 32, nonce="x")
    began = side("PUT", "generate-root/attempt")
    side("GET", "generate-root/attempt")
    side("PUT", "generate-root/update", key=side.server.shares[0], nonce="x")
    done = side.agree("generate-root/update", began["nonce"])
    side("GET", "generate-root/attempt")
    side("PUT", "decode-token", encoded_token=done["encoded_token"], otp=began["otp"])
    side("PUT", "decode-token")
    side("DELETE", "generate-root/attempt")
    side("GET", "generate-root-token/attempt")


def rotate(side: Side) -> None:
    """The keyring."""
    side("GET", "key-status")
    side("PUT", "rotate")
    side("PUT", "rotate", token=True)
    side("PUT", "rotate/keyring", token=True)
    side("GET", "key-status", token=True)
    for path in ("rotate/config", "rotate/keyring/config"):
        side("GET", path, token=True)
        side("PUT", path, token=True, interval="48h", enabled=False)
        side("GET", path, token=True)
        side("PUT", path, token=True, interval="0", enabled=True, max_operations=3865470566)


@pytest.mark.parametrize("script", [rekey, generate_root, rotate], ids=lambda script: script.__name__)
def test_both_answer_alike(ours: Sealed, peer: Sealed, script: Any) -> None:
    sides = Side(ours), Side(peer)
    for side in sides:
        script(side)
    for mine, theirs in zip(sides[0].said, sides[1].said, strict=True):
        assert mine == theirs


def test_under_openbaos_names_nothing_is_missing(ours: Sealed, peer: Sealed) -> None:
    sides = Side(ours), Side(peer)
    for side in sides:
        rotate_root(side)
    for mine, theirs in zip(sides[0].said, sides[1].said, strict=True):
        assert mine[:3] == theirs[:3]
        known, wanted = mine[3].get("data") or {}, theirs[3].get("data") or {}
        said = {name for name, value in wanted.items() if value != ""}
        assert {name: known[name] for name in said} == {name: wanted[name] for name in said}


def test_hvac(ours: Sealed) -> None:
    client = hvac.Client(ours.address, token=ours.token)
    term = client.sys.get_encryption_key_status()["data"]["term"]
    client.sys.rotate_encryption_key()
    assert client.read("sys/key-status")["data"]["term"] == term + 1

    began = client.sys.start_root_token_generation()
    for share in ours.shares[:2]:
        done = client.sys.generate_root(key=share, nonce=began["nonce"])
    assert one_time_password.decode(done["encoded_root_token"], began["otp"]).startswith("hvs.")
    assert client.sys.read_root_generation_progress()["started"] is False
    client.sys.start_root_token_generation()
    client.sys.cancel_root_generation()

    nonce = client.sys.start_rekey(secret_shares=3, secret_threshold=2, require_verification=True)["nonce"]
    made = client.sys.rekey_multi(ours.shares[:2], nonce=nonce)
    assert client.sys.read_rekey_verify_progress()["started"] is True
    client.sys.rekey_verify_multi(made["keys"][:2], nonce=made["verification_nonce"])
    ours.shares[:] = made["keys"]
    client.sys.start_rekey(secret_shares=1, secret_threshold=1)
    client.sys.cancel_rekey()

    client.sys.seal()
    status = client.sys.submit_unseal_keys(ours.shares[1:])
    assert status["sealed"] is False
