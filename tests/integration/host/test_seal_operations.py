"""Rotating, rekeying and generating root tokens over HTTP: shapes as Vault's, and who may do what."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chancery.seal import one_time_password
from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path) as world:
        yield world


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[HostWorld]:
    """Return a server where every attempt needs a token."""
    async with host_world(tmp_path, seal={"type": "shamir", "unauthenticated": []}) as world:
        yield world


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


async def test_rotate_and_key_status(world: HostWorld) -> None:
    status, before = await world.call("GET", "sys/key-status")
    assert status == 200
    assert before["data"] == {name: before[name] for name in ("term", "install_time", "encryptions")}
    for path in ("sys/rotate", "sys/rotate/keyring"):
        assert await world.call("POST", path) == (204, None)
    _, after = await world.call("GET", "sys/key-status")
    assert (before["term"], after["term"]) == (1, 3)
    assert after["encryptions"] < 5
    _, mounts = await world.call("GET", "sys/mounts")
    assert mounts["data"], "what older keys encrypted is still read"


async def test_rotate_config(world: HostWorld) -> None:
    for path in ("sys/rotate/config", "sys/rotate/keyring/config"):
        _, body = await world.call("GET", path)
        assert body["data"] == {"enabled": True, "max_operations": 3865470566, "interval": 0}
    assert (await world.call("POST", "sys/rotate/config", {"interval": "48h", "enabled": False}))[0] == 204
    _, body = await world.call("GET", "sys/rotate/config")
    assert body["data"] == {"enabled": False, "max_operations": 3865470566, "interval": "48h0m0s"}
    assert (await world.call("POST", "sys/rotate/config", {"max_operations": 2_000_000}))[0] == 204
    _, body = await world.call("GET", "sys/rotate/config")
    assert (body["data"]["max_operations"], body["data"]["interval"]) == (2_000_000, "48h0m0s")
    status, body = await world.call("POST", "sys/rotate/config", {"max_operations": 1, "interval": "1h"})
    assert (status, len(body["errors"])) == (400, 2)


async def test_rekey_without_a_token(world: HostWorld) -> None:
    idle = {
        "nonce": "", "started": False, "t": 0, "n": 0, "progress": 0, "required": 1, "pgp_fingerprints": None,
        "backup": False, "verification_required": False,
    }  # fmt: skip
    assert await world.call("GET", "sys/rekey/init", token="") == (200, idle)
    order = {"secret_shares": 2, "secret_threshold": 2, "require_verification": True}
    status, began = await world.call("PUT", "sys/rekey/init", order, token="")
    running = idle | {
        "nonce": began["nonce"], "started": True, "t": 2, "n": 2, "verification_required": True,
    }  # fmt: skip
    assert (status, began) == (200, running)
    share = {"key": world.unseal_key.hex(), "nonce": began["nonce"]}
    status, done = await world.call("PUT", "sys/rekey/update", share, token="")
    assert status == 200
    assert [bytes.fromhex(key) for key in done["keys"]] == [base64.b64decode(key) for key in done["keys_base64"]]
    nonce = done["verification_nonce"]
    assert done | {"keys": [], "keys_base64": []} == {
        "nonce": began["nonce"], "complete": True, "keys": [], "keys_base64": [], "pgp_fingerprints": None,
        "backup": False, "verification_required": True, "verification_nonce": nonce,
    }  # fmt: skip
    waiting = {"nonce": nonce, "started": True, "t": 2, "n": 2, "progress": 0}
    assert await world.call("GET", "sys/rekey/verify", token="") == (200, waiting)
    first, second = ({"key": key, "nonce": nonce} for key in done["keys"])
    assert (await world.call("PUT", "sys/rekey/verify", first, token=""))[1] == waiting | {"progress": 1}
    status, restarted = await world.call("DELETE", "sys/rekey/verify", token="")
    assert (status, restarted["progress"], restarted["nonce"] == nonce) == (200, 0, False)
    for share in (first, second):
        status, verified = await world.call("PUT", "sys/rekey/verify", share | {"nonce": restarted["nonce"]}, token="")
    assert verified == {"nonce": restarted["nonce"], "complete": True}
    _, seal = await world.call("GET", "sys/seal-status", token="")
    assert (seal["t"], seal["n"]) == (2, 2)

    await world.call("PUT", "sys/seal")
    for key in done["keys"]:
        status, seal = await world.call("PUT", "sys/unseal", {"key": key}, token="")
    assert seal["sealed"] is False


async def test_openbaos_paths_share_the_attempt_and_want_a_token(world: HostWorld) -> None:
    for method, path in (("GET", "sys/rotate/root/init"), ("GET", "sys/generate-root-token/attempt")):
        assert (await world.call(method, path, token=""))[0] == 403
    order = {"secret_shares": 1, "secret_threshold": 1}
    _, began = await world.call("POST", "sys/rotate/root/init", order)
    assert began["data"]["started"] is True
    assert (await world.call("GET", "sys/rekey/init", token=""))[1]["nonce"] == began["data"]["nonce"]
    share = {"key": encoded(world.unseal_key), "nonce": began["data"]["nonce"]}
    status, done = await world.call("POST", "sys/rotate/root/update", share)
    assert (status, done["data"]["complete"], len(done["data"]["keys"])) == (200, True, 1)


async def test_generate_root_without_a_token(world: HostWorld) -> None:
    _, began = await world.call("PUT", "sys/generate-root/attempt", {}, token="")
    assert (began["started"], began["otp_length"], len(began["otp"])) == (True, 36, 36)
    _, status = await world.call("GET", "sys/generate-root/attempt", token="")
    assert (status["nonce"], status["otp"]) == (began["nonce"], "")
    share = {"key": encoded(world.unseal_key), "nonce": began["nonce"]}
    _, done = await world.call("PUT", "sys/generate-root/update", share, token="")
    assert (done["complete"], done["encoded_token"]) == (True, done["encoded_root_token"])
    _, decoded = await world.call(
        "PUT", "sys/decode-token", {"encoded_token": done["encoded_token"], "otp": began["otp"]}, token=""
    )
    token = one_time_password.decode(done["encoded_token"], began["otp"])
    assert decoded["data"] == {"token": token}
    _, looked = await world.call("GET", "auth/token/lookup-self", token=token)
    assert (looked["data"]["policies"], looked["data"]["orphan"]) == (["root"], True)


REFUSED = [
    ("PUT", "sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["x"]}, "pgp_keys"),
    ("PUT", "sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1, "backup": True}, "backup"),
    ("PUT", "sys/rekey/init", {"secret_shares": 3, "secret_threshold": 5}, "cannot be larger than shares"),
    ("PUT", "sys/rekey/update", {"key": "00" * 32, "nonce": ""}, "no barrier rekey in progress"),
    ("PUT", "sys/rekey/update", {"nonce": ""}, "'key' must be specified"),
    ("PUT", "sys/rekey/update", {"key": "zz"}, "hex or base64"),
    ("GET", "sys/rekey/verify", None, "no rekey configuration found"),
    ("GET", "sys/rekey-recovery-key/init", None, "recovery rekeying not supported"),
    ("GET", "sys/rekey/backup", None, "no backed-up keys found"),
    ("PUT", "sys/generate-root/attempt", {"pgp_key": "x"}, "pgp_key"),
    ("PUT", "sys/generate-root/attempt", {"otp": "short"}, "incorrect length"),
    ("PUT", "sys/generate-root/update", {"key": "00" * 32}, "no root generation in progress"),
    ("PUT", "sys/decode-token", {}, "is empty"),
    ("PUT", "sys/decode-token", {"encoded_token": "!!", "otp": "x"}, "base64"),
    ("DELETE", "sys/rekey/init?nonce=x", None, "another attempt"),
]


@pytest.mark.parametrize(("method", "path", "body", "reason"), REFUSED)
async def test_what_is_refused_says_why(world: HostWorld, method: str, path: str, body: Any, reason: str) -> None:
    status, answer = await world.call(method, path, body)
    assert status == 400
    assert reason in " ".join(answer["errors"])


async def test_deleting_what_is_not_there_is_fine(world: HostWorld) -> None:
    for path in ("rekey/init", "rekey/backup", "rekey/recovery-key-backup", "generate-root/attempt"):
        assert await world.call("DELETE", f"sys/{path}") == (204, None)


ATTEMPTS = [
    ("GET", "sys/rekey/init"), ("PUT", "sys/rekey/init"), ("DELETE", "sys/rekey/init"), ("PUT", "sys/rekey/update"),
    ("PUT", "sys/rekey/verify"), ("PUT", "sys/rekey-recovery-key/init"), ("GET", "sys/generate-root/attempt"),
    ("PUT", "sys/generate-root/attempt"), ("DELETE", "sys/generate-root"), ("PUT", "sys/generate-root/update"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ATTEMPTS)
async def test_settings_can_ask_for_tokens(closed: HostWorld, method: str, path: str) -> None:
    assert (await closed.call(method, path, {}, token=""))[0] == 403
    assert (await closed.call(method, path, {}))[0] in {200, 204, 400}


PROTECTED = [
    ("GET", "sys/key-status"),
    ("POST", "sys/rotate"),
    ("GET", "sys/rotate/config"),
    ("GET", "sys/rekey/backup"),
]


async def test_only_those_who_may(world: HostWorld) -> None:
    await world.call(
        "PUT", "sys/policies/acl/near", {"policy": 'path "sys/rotat" { capabilities = ["sudo", "update"] }'}
    )
    await world.call(
        "PUT", "sys/policies/acl/no-sudo", {"policy": 'path "sys/*" { capabilities = ["read", "update"] }'}
    )
    tokens = {}
    for name in ("near", "no-sudo"):
        _, made = await world.call("POST", "auth/token/create", {"policies": [name]})
        tokens[name] = made["auth"]["client_token"]
    for method, path in PROTECTED:
        for token in ("", "x", tokens["near"]):
            assert (await world.call(method, path, token=token))[0] == 403
    assert (await world.call("POST", "sys/rotate", token=tokens["no-sudo"]))[0] == 403
    assert (await world.call("GET", "sys/key-status"))[1]["term"] == 1


async def test_only_in_the_root_namespace(world: HostWorld) -> None:
    assert (await world.call("PUT", "sys/namespaces/team"))[0] == 200
    for method, path in (*PROTECTED, *ATTEMPTS):
        for token in (ROOT_TOKEN, ""):
            status, _ = await world.call(method, path, {}, token=token, headers={"X-Vault-Namespace": "team"})
            assert status in {400, 403}, path


async def test_nothing_of_it_while_sealed(world: HostWorld) -> None:
    await world.call("PUT", "sys/seal")
    for method, path in (*PROTECTED, *ATTEMPTS):
        assert (await world.call(method, path, {}))[0] == 503, path
