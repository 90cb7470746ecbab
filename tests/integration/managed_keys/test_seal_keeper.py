"""The keeper `pkcs11` over real tokens: what it wraps comes back, and what goes wrong is said clearly, once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chancery.kit.errors import BackendRefused, Corrupted, Unavailable
from chancery.kit.seal_keepers import SealKeeper, SealKeeperContext
from managed_keys.providers.pkcs11.keeper import PIN_VARIABLE, PKCS11_KEEPER
from tests.support.hsm_nss import make_nss_token
from tests.support.hsm_p11kit import P11KitServer
from tests.support.hsm_token import SoftToken, make_token

pytestmark = pytest.mark.slow

ROOT_KEY = bytearray(range(32))
AES = {"mechanism": "CKM_AES_GCM"}
OAEP = {"mechanism": "CKM_RSA_PKCS_OAEP", "rsa_oaep_hash": "sha1", "rsa_bits": 2048}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    """Make a token for the tests that leave it as it was."""
    return make_token(tmp_path_factory.mktemp("keeper"))


@pytest.fixture
def own(tmp_path: Path) -> SoftToken:
    """Make a token for one test to spoil."""
    return make_token(tmp_path / "hsm")


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """Return a key label that no other test uses."""
    return str(request.node.name)


def keeper_of(token: SoftToken, label: str, **options: object) -> SealKeeper:
    """Return the keeper of a server that knows the token's library."""
    given: dict[str, object] = {
        "library": token.library.name, "token_label": token.label, "pin": token.pin, "key_label": label,
        "generate_key": True,
    }  # fmt: skip
    merged = {name: value for name, value in (given | options).items() if value is not None}
    return PKCS11_KEEPER.open(merged, SealKeeperContext(lambda: [token.library]))


@contextmanager
def token_of(kind: str, directory: Path, shared: SoftToken) -> Iterator[SoftToken]:
    """Yield a token behind one module or another."""
    if kind == "network":
        with P11KitServer(shared, directory) as server:
            yield server.token
    else:
        yield shared if kind == "softhsm" else make_nss_token(directory)


@pytest.mark.parametrize("options", [AES, OAEP, {**OAEP, "rsa_oaep_hash": "sha256"}], ids=["gcm", "oaep", "oaep256"])
@pytest.mark.parametrize("kind", ["softhsm", "nss", "network"])
async def test_what_is_wrapped_comes_back(
    kind: str, options: dict[str, object], shared: SoftToken, tmp_path: Path, label: str
) -> None:
    with token_of(kind, tmp_path, shared) as token:
        keeper = keeper_of(token, label, **options)
        if kind == "network" and options is AES:
            with pytest.raises(BackendRefused, match="does not have CKM_AES_GCM"):  # p11-kit does not carry it
                await keeper.wrap(ROOT_KEY)
            return
        if options.get("rsa_oaep_hash") == "sha256" and kind != "nss":
            with pytest.raises(BackendRefused, match="C_DecryptInit"):  # SoftHSM knows OAEP with SHA-1 alone
                await keeper.unwrap(await keeper.wrap(ROOT_KEY))
            return
        wrapped = await keeper.wrap(ROOT_KEY)
        assert bytes(ROOT_KEY) not in wrapped
        assert await keeper_of(token, label, generate_key=False).unwrap(wrapped) == ROOT_KEY
        again = await keeper.wrap(ROOT_KEY)
        assert again != wrapped, "another nonce or another padding"
        assert json.loads(again)["cka_id"] == json.loads(wrapped)["cka_id"], "the key that was made is used again"


@pytest.mark.parametrize(("options", "kind"), [(AES, "secrkey"), (OAEP, "privkey")], ids=["gcm", "oaep"])
async def test_generated_keys_never_leave_the_token(
    shared: SoftToken, label: str, options: dict[str, object], kind: str
) -> None:
    await keeper_of(shared, label, **options).wrap(ROOT_KEY)
    listed = shared.pkcs11_tool("--list-objects", "--type", kind)
    assert label in listed
    for access in [line for line in listed.splitlines() if "Access:" in line]:
        assert "never extractable" in access
        assert "always sensitive" in access


async def test_a_key_that_is_absent_is_named(shared: SoftToken, label: str) -> None:
    with pytest.raises(BackendRefused, match=rf'no such secret key \(key_label "{label}"\).*generate_key'):
        await keeper_of(shared, label, generate_key=False).wrap(ROOT_KEY)


async def test_another_key_under_the_label_does_not_unwrap(shared: SoftToken, label: str) -> None:
    first = await keeper_of(shared, label).wrap(ROOT_KEY)
    shared.pkcs11_tool("--delete-object", "--type", "secrkey", "--label", label)
    second = await keeper_of(shared, label).wrap(ROOT_KEY)
    with pytest.raises(BackendRefused, match="no such secret key"):
        await keeper_of(shared, label).unwrap(first)
    mixed = json.dumps(json.loads(second) | {"ciphertext": json.loads(first)["ciphertext"]}).encode()
    with pytest.raises((Corrupted, BackendRefused, Unavailable)):
        await keeper_of(shared, label).unwrap(mixed)
    with pytest.raises(Corrupted, match="form"):
        await keeper_of(shared, label).unwrap(b"{}")


async def test_a_wrong_pin_is_tried_once(
    own: SoftToken, tmp_path: Path, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = own
    wrapped = await keeper_of(token, label).wrap(ROOT_KEY)
    pin_file = tmp_path / "pin"
    pin_file.write_text("00000000\n")
    keeper = keeper_of(token, label, pin=None, pin_file=str(pin_file))
    for _ in range(12):  # more often than a token allows
        with pytest.raises(BackendRefused, match=r"CKR_PIN_INCORRECT.*not tried again"):
            await keeper.unwrap(wrapped)
    await keeper.reload()
    with pytest.raises(BackendRefused, match="CKR_PIN_INCORRECT"):
        await keeper.unwrap(wrapped)
    pin_file.write_text(f"{token.pin}\n")
    assert await keeper.unwrap(wrapped) == ROOT_KEY, "another PIN needs no reload"
    pin_file.unlink()
    with pytest.raises(Unavailable, match="cannot be read: No such file"):
        await keeper.unwrap(wrapped)
    from_environment = keeper_of(token, label, pin=None)
    with pytest.raises(BackendRefused, match=f"no PIN.*{PIN_VARIABLE}"):
        await from_environment.unwrap(wrapped)
    monkeypatch.setenv(PIN_VARIABLE, token.pin)
    assert await from_environment.unwrap(wrapped) == ROOT_KEY


async def test_a_token_that_is_away_comes_back(shared: SoftToken, tmp_path: Path, label: str) -> None:
    server = P11KitServer(shared, tmp_path)
    with server:
        keeper = keeper_of(server.token, label, **OAEP)
        wrapped = await keeper.wrap(ROOT_KEY)
    with pytest.raises(Unavailable, match='seal pkcs11: token "test" of kms_library "network"'):
        await keeper.unwrap(wrapped)
    with server:
        assert await keeper.unwrap(wrapped) == ROOT_KEY


async def test_no_secret_shows(shared: SoftToken, label: str) -> None:
    keeper = keeper_of(shared, label)
    for shown in (repr(keeper), repr(vars(keeper)), (await keeper.wrap(ROOT_KEY)).decode()):
        assert shared.pin not in shown
