"""The table of Cryptoki's return values."""

import pytest

from managed_keys.providers.pkcs11 import ckr
from managed_keys.providers.pkcs11.ckr import RETURN_VALUES, Fault, Remedy, meaning

REMEDIES = [
    (0x01, Remedy.RETRY, Fault.AWAY),
    (0x05, Remedy.REINITIALISE, Fault.AWAY),
    (0x30, Remedy.REINITIALISE, Fault.AWAY),
    (0x32, Remedy.REINITIALISE, Fault.AWAY),
    (0x50, Remedy.RETRY, Fault.AWAY),
    (0x60, Remedy.SEARCH, Fault.AWAY),
    (0x82, Remedy.SEARCH, Fault.AWAY),
    (0x90, Remedy.REOPEN, Fault.AWAY),
    (0xB0, Remedy.REOPEN, Fault.AWAY),
    (0xB3, Remedy.REOPEN, Fault.AWAY),
    (0xE0, Remedy.REINITIALISE, Fault.AWAY),
    (0x101, Remedy.REOPEN, Fault.AWAY),
    (0x190, Remedy.REINITIALISE, Fault.AWAY),
    (0x02, Remedy.RESTART, Fault.AWAY),
    (0xA0, Remedy.NONE, Fault.PIN),
    (0xA4, Remedy.NONE, Fault.PIN),
    (0x70, Remedy.NONE, Fault.UNSUPPORTED),
    (0x68, Remedy.NONE, Fault.REFUSED),
    (0xD1, Remedy.NONE, Fault.REFUSED),
    (0x80000001, Remedy.REOPEN, Fault.REFUSED),
    (0x1234, Remedy.REOPEN, Fault.REFUSED),
]


@pytest.mark.parametrize(("code", "remedy", "fault"), REMEDIES)
def test_each_value_has_its_remedy(code: int, remedy: Remedy, fault: Fault) -> None:
    assert (meaning(code).remedy, meaning(code).fault) == (remedy, fault)


def test_a_wrong_pin_is_never_tried_again() -> None:
    assert all(value.remedy is Remedy.NONE for value in RETURN_VALUES.values() if value.fault is Fault.PIN)


def test_what_cannot_be_cured_is_not_away() -> None:
    assert all(value.fault is Fault.AWAY for value in RETURN_VALUES.values() if value.remedy is not Remedy.NONE)


def test_constants_are_in_the_table() -> None:
    assert meaning(ckr.PIN_INCORRECT).name == "CKR_PIN_INCORRECT"
    assert meaning(ckr.PIN_LOCKED).name == "CKR_PIN_LOCKED"
    assert meaning(ckr.CANT_LOCK).name == "CKR_CANT_LOCK"
    assert meaning(ckr.DEVICE_REMOVED).name == "CKR_DEVICE_REMOVED"
    assert meaning(ckr.TOKEN_NOT_PRESENT).name == "CKR_TOKEN_NOT_PRESENT"
    assert meaning(ckr.USER_NOT_LOGGED_IN).name == "CKR_USER_NOT_LOGGED_IN"
    assert meaning(ckr.USER_ALREADY_LOGGED_IN).name == "CKR_USER_ALREADY_LOGGED_IN"
    assert meaning(ckr.ALREADY_INITIALIZED).name == "CKR_CRYPTOKI_ALREADY_INITIALIZED"
    assert meaning(ckr.FUNCTION_NOT_SUPPORTED).name == "CKR_FUNCTION_NOT_SUPPORTED"
