"""What the settings of the keeper `pkcs11` may say."""

import json
from pathlib import Path

import pytest

from chancery.kit.engine import KmsLibrary
from chancery.kit.errors import BadInput
from chancery.kit.seal_keepers import SealKeeper, SealKeeperContext
from managed_keys.providers.pkcs11.keeper import PKCS11_KEEPER
from managed_keys.providers.pkcs11.messages import Unwrap, Wrap, Wrapped

LIBRARIES = [KmsLibrary("softhsm", "pkcs11", Path("/m.so")), KmsLibrary("cloud", "awskms", Path("/a.so"))]
GOOD = {"library": "softhsm", "token_label": "t", "pin": "4711", "key_label": "k"}


def keeper(**options: object) -> SealKeeper:
    """Open a keeper with the good settings and these."""
    merged = {name: value for name, value in (GOOD | options).items() if value is not None}
    return PKCS11_KEEPER.open(merged, SealKeeperContext(lambda: LIBRARIES))


def problems(**options: object) -> set[str]:
    """Return the settings that are refused."""
    with pytest.raises(BadInput) as caught:
        keeper(**options)
    assert "4711" not in str(caught.value)
    return {problem.field for problem in caught.value.problems}


@pytest.mark.parametrize("mechanism", ["CKM_AES_GCM", "aes-gcm", "0x1087", 4231, "RSA-OAEP", "CKM_RSA_PKCS_OAEP", 9])
def test_mechanisms_are_read_as_people_write_them(mechanism: object) -> None:
    assert keeper(mechanism=mechanism).type == "pkcs11"


@pytest.mark.parametrize("mechanism", ["CKM_AES_KEY_WRAP", "", "x", 1, True, None, [], 0x1085])
def test_other_mechanisms_are_refused(mechanism: object) -> None:
    if mechanism is None:
        assert keeper(mechanism=None).type == "pkcs11"
    else:
        assert problems(mechanism=mechanism) == {"mechanism"}


def test_every_wrong_setting_is_named() -> None:
    wrong = {
        "library": "cloud", "token_label": None, "slot": "x", "pin_file": "relative", "key_label": None,
        "rsa_bits": 1024, "rsa_oaep_hash": "md5",
    }  # fmt: skip
    assert problems(**wrong) == {"library", "slot", "pin", "pin_file", "key_label", "rsa_bits", "rsa_oaep_hash"}
    assert problems(slot=1) == {"token_label"}
    assert problems(token_label="x" * 33) == {"token_label"}
    assert problems(colour="blue") == {"colour"}
    assert keeper(token_label=None, slot=0).type == "pkcs11"


def test_it_recognises_its_own() -> None:
    wrapped = {
        "library": "SoftHSM", "token_label": "t", "slot": "", "key_label": "k", "mechanism": 0x1087,
        "rsa_oaep_hash": "sha256", "cka_id": "", "nonce": "", "ciphertext": "",
    }  # fmt: skip
    assert keeper().recognises(json.dumps(wrapped).encode())
    assert not keeper(key_label="other").recognises(json.dumps(wrapped).encode())
    for foreign in (b"shamir", b"{}", b""):
        assert not keeper().recognises(foreign)


def test_messages_survive_the_wire_and_hide_the_secret() -> None:
    order = Wrap("k", 0x1087, "sha256", True, b"id", 3072, b"root key")
    assert Wrap.decode(order.encode()) == order
    assert "root key" not in repr(order)
    for message in (Wrapped(b"id", b"", b"c"), Unwrap("k", 9, "sha1", b"", b"n", b"c")):
        assert type(message).decode(message.encode()) == message
