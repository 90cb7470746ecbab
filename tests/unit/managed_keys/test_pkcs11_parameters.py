"""The parameters of pkcs11 keys, as clients of Vault send them."""

from typing import Any

import pytest

from chancery.kit.errors import BadInput
from managed_keys.keys import KeyAlgorithm, NewKey, Usage
from managed_keys.providers.pkcs11.parameters import Pkcs11Parameters

MINIMAL: dict[str, Any] = {
    "name": "k", "library": "softhsm", "token_label": "t", "pin": "1234", "key_label": "l", "mechanism": "0x1041",
}  # fmt: skip


def merged(*writes: dict[str, Any]) -> Pkcs11Parameters:
    """Apply writes one after the other, as the catalogue does."""
    parameters = Pkcs11Parameters.parse({"name": "k"})
    for write in writes:
        parameters = parameters.merged_with(write)
    return parameters


def refusal(**changes: Any) -> str:
    """Return why a write is refused."""
    with pytest.raises(BadInput) as caught:
        merged(MINIMAL | changes)
    return caught.value.message


def test_a_minimal_key_has_vaults_defaults() -> None:
    rendered = merged(MINIMAL).rendered()
    assert rendered == {
        "name": "k",
        "library": "softhsm",
        "token_label": "t",
        "slot": "",
        "pin": "redacted",
        "key_label": "l",
        "key_id": "",
        "mechanism": 0x1041,
        "key_bits": 0,
        "curve": "",
        "force_rw_session": False,
        "max_parallel": 1,
        "rsa_oaep_hash": "",
        "allow_generate_key": False,
        "allow_replace_key": False,
        "allow_store_key": False,
        "any_mount": False,
        "usages": ["sign", "verify"],
    }


def test_wire_leniencies() -> None:
    """What Terraform 3.x and the documentation's examples send."""
    write = {
        "uuid": "",
        "force_rw_session": "",
        "any_mount": "true",
        "allow_generate_key": "false",
        "key_bits": "2048",
        "mechanism": "0x0001",
        "usages": "sign, random,8,sign",
        "token_label": "",
        "slot": 1601102058,
        "key_id": "0xABcd",
    }
    parameters = merged(MINIMAL | write)
    assert parameters.any_mount
    assert not parameters.force_rw_session
    assert (parameters.mechanism, parameters.key_bits, parameters.slot) == (1, 2048, "1601102058")
    assert parameters.usages == (Usage.SIGN, Usage.GENERATE_RANDOM, Usage.MAC)
    assert parameters.key_id == "abcd"
    assert parameters.rendered()["slot"] == 1601102058
    assert parameters.rendered()["key_id"] == "redacted"


def test_writes_merge() -> None:
    parameters = merged(MINIMAL, {"any_mount": True}, {"max_parallel": 4})
    assert (parameters.any_mount, parameters.max_parallel, parameters.pin) == (True, 4, "1234")


def test_an_empty_value_takes_one_away() -> None:
    parameters = merged(MINIMAL, {"token_label": "", "slot": "5"})
    assert (parameters.token_label, parameters.slot) == ("", "5")
    with pytest.raises(BadInput, match="exclude each other"):
        merged(MINIMAL, {"slot": "5"})


def test_a_redacted_secret_written_back_stays() -> None:
    """Read, change, write: the client never saw the PIN."""
    before = merged(MINIMAL)
    assert merged(MINIMAL, before.rendered() | {"any_mount": True}).pin == "1234"


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        merged({"curve": "P999", "key_bits": 1000, "max_parallel": 0, "slot": "x", "key_id": "xyz"})
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"library", "pin", "slot", "key_id", "mechanism", "curve", "key_bits", "max_parallel"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"token_label": ""}, "one of token_label and slot"),
        ({"key_label": ""}, "one of key_label and key_id"),
        ({"slot": "-1", "token_label": ""}, "decimal"),
        ({"slot": str(2**64), "token_label": ""}, "decimal"),
        ({"token_label": "ü" * 17}, "32 bytes"),
        ({"mechanism": 2**64}, "mechanism"),
        ({"mechanism": "ecdsa"}, "whole number"),
        ({"usages": "sing"}, "unknown usage"),
        ({"any_mount": "maybe"}, "true or false"),
        ({"rsa_oaep_hash": "sha256"}, "only for the mechanism"),
        ({"mechanism": 9, "rsa_oaep_hash": "md5"}, "expected sha1"),
        ({"allow_generate_key": True}, "curve: required"),
        ({"allow_generate_key": True, "mechanism": 1}, "key_bits: required"),
        ({"name": "Upper"}, "lower case"),
        ({"name": "-x"}, "letters, digits"),
        ({"name": "a/b"}, "letters, digits"),
        ({"name": "x" * 300}, "256"),
    ],
)
def test_refusals(changes: dict[str, Any], reason: str) -> None:
    assert reason in refusal(**changes)


def test_refusals_never_repeat_the_pin() -> None:
    assert "s3cret" not in refusal(pin="s3cret", mechanism="0")
    assert "s3cret" not in repr(merged(MINIMAL | {"pin": "s3cret"}))


@pytest.mark.parametrize("slot", ["0", "18446744073709551615"])
def test_wide_slots(slot: str) -> None:
    assert merged(MINIMAL | {"slot": slot, "token_label": ""}).slot == slot


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mechanism": 0x1041, "curve": "p-384"}, NewKey(KeyAlgorithm.EC, 384)),
        ({"mechanism": 0x1046, "curve": "P521"}, NewKey(KeyAlgorithm.EC, 521)),
        ({"mechanism": 0x1, "key_bits": 4096}, NewKey(KeyAlgorithm.RSA, 4096)),
        ({"mechanism": 0x9, "key_bits": 2048}, NewKey(KeyAlgorithm.RSA, 2048)),
        ({"mechanism": 0x1057}, NewKey(KeyAlgorithm.ED25519, 0)),
    ],
)
def test_what_is_generated(changes: dict[str, Any], expected: NewKey) -> None:
    assert merged(MINIMAL | {"allow_generate_key": True} | changes).new_key() == expected


def test_what_cannot_be_generated() -> None:
    with pytest.raises(BadInput, match="key_id cannot be generated"):
        merged(MINIMAL | {"key_id": "01", "curve": "P256"}).new_key()
    with pytest.raises(BadInput, match="cannot generate a key for mechanism 0x1082"):
        merged(MINIMAL | {"mechanism": 0x1082}).new_key()
    with pytest.raises(BadInput, match="cannot generate a key for mechanism"):
        merged(MINIMAL).new_key()


def test_moves_are_told_from_other_changes() -> None:
    before = merged(MINIMAL)
    assert merged(MINIMAL, {"key_label": "other"}).relocated(before)
    assert not merged(MINIMAL, {"pin": "5678"}).relocated(before)
    assert merged(MINIMAL, {"usages": "sign", "any_mount": True}).connects_as(before)
    assert not merged(MINIMAL, {"pin": "5678"}).connects_as(before)
