"""Cryptoki's return values: their names, what cures each, and what each means to a caller. The one table.

Source: PKCS #11 v2.40 and v3.0, section "Function return values"; habits of modules as measured.
"""

from dataclasses import dataclass
from enum import IntEnum


class Remedy(IntEnum):
    """What to do before the operation is tried once more. Ordered: a later remedy includes the earlier ones."""

    NONE = 0
    """Nothing helps: the answer is the answer."""
    RETRY = 1
    """The same call again."""
    SEARCH = 2
    """Forget the object handle and search for the key again."""
    REOPEN = 3
    """Close the sessions, open one, log in."""
    REINITIALISE = 4
    """C_Finalize, C_Initialize, then as REOPEN."""
    RESTART = 5
    """End the process and start another."""


class Fault(IntEnum):
    """What a failure means to a caller."""

    REFUSED = 1
    """The token answered, and refused."""
    AWAY = 2
    """The token or its device cannot be reached now."""
    PIN = 3
    """The token refused the PIN, or refuses to be asked."""
    KEY_ABSENT = 4
    AMBIGUOUS = 5
    """Several objects or tokens fit."""
    UNSUPPORTED = 6
    """The token lacks the mechanism, the curve or the size."""
    LIBRARY = 7
    """The shared object cannot be loaded or is not a PKCS#11 module."""
    UNVERIFIED = 8
    """A signature came that does not verify under the pinned public key."""


@dataclass(frozen=True, slots=True)
class ReturnValue:
    """One CKR_*."""

    name: str
    remedy: Remedy
    fault: Fault


_REFUSED = {
    0x009: "NEED_TO_CREATE_THREADS",
    0x007: "ARGUMENTS_BAD",
    0x00A: "CANT_LOCK",
    0x010: "ATTRIBUTE_READ_ONLY",
    0x011: "ATTRIBUTE_SENSITIVE",
    0x012: "ATTRIBUTE_TYPE_INVALID",
    0x013: "ATTRIBUTE_VALUE_INVALID",
    0x01B: "ACTION_PROHIBITED",
    0x020: "DATA_INVALID",
    0x021: "DATA_LEN_RANGE",
    0x031: "DEVICE_MEMORY",
    0x040: "ENCRYPTED_DATA_INVALID",
    0x041: "ENCRYPTED_DATA_LEN_RANGE",
    0x054: "FUNCTION_NOT_SUPPORTED",
    0x068: "KEY_FUNCTION_NOT_PERMITTED",
    0x0B5: "SESSION_READ_ONLY",
    0x0B7: "SESSION_READ_ONLY_EXISTS",
    0x0C0: "SIGNATURE_INVALID",
    0x0C1: "SIGNATURE_LEN_RANGE",
    0x0D0: "TEMPLATE_INCOMPLETE",
    0x0D1: "TEMPLATE_INCONSISTENT",
    0x0E2: "TOKEN_WRITE_PROTECTED",
    0x150: "BUFFER_TOO_SMALL",
    0x200: "FUNCTION_REJECTED",
}

_UNSUPPORTED = {
    0x062: "KEY_SIZE_RANGE",
    0x063: "KEY_TYPE_INCONSISTENT",
    0x070: "MECHANISM_INVALID",
    0x071: "MECHANISM_PARAM_INVALID",
    0x130: "DOMAIN_PARAMS_INVALID",
    0x140: "CURVE_NOT_SUPPORTED",
}

_PIN = {
    0x0A0: "PIN_INCORRECT",
    0x0A1: "PIN_INVALID",
    0x0A2: "PIN_LEN_RANGE",
    0x0A3: "PIN_EXPIRED",
    0x0A4: "PIN_LOCKED",
    0x102: "USER_PIN_NOT_INITIALIZED",
}

# These may pass, and each has its cure.
_AWAY = {
    0x001: ("CANCEL", Remedy.RETRY),
    0x002: ("HOST_MEMORY", Remedy.RESTART),
    0x003: ("SLOT_ID_INVALID", Remedy.REINITIALISE),
    0x005: ("GENERAL_ERROR", Remedy.REINITIALISE),
    0x006: ("FUNCTION_FAILED", Remedy.REOPEN),
    0x030: ("DEVICE_ERROR", Remedy.REINITIALISE),
    0x032: ("DEVICE_REMOVED", Remedy.REINITIALISE),
    0x050: ("FUNCTION_CANCELED", Remedy.RETRY),
    0x051: ("FUNCTION_NOT_PARALLEL", Remedy.REOPEN),
    0x060: ("KEY_HANDLE_INVALID", Remedy.SEARCH),
    0x082: ("OBJECT_HANDLE_INVALID", Remedy.SEARCH),
    0x090: ("OPERATION_ACTIVE", Remedy.REOPEN),
    0x091: ("OPERATION_NOT_INITIALIZED", Remedy.REOPEN),
    0x0B0: ("SESSION_CLOSED", Remedy.REOPEN),
    0x0B1: ("SESSION_COUNT", Remedy.REOPEN),
    0x0B3: ("SESSION_HANDLE_INVALID", Remedy.REOPEN),
    0x0B6: ("SESSION_EXISTS", Remedy.REOPEN),
    0x0B8: ("SESSION_READ_WRITE_SO_EXISTS", Remedy.REINITIALISE),
    0x0E0: ("TOKEN_NOT_PRESENT", Remedy.REINITIALISE),
    0x0E1: ("TOKEN_NOT_RECOGNIZED", Remedy.REINITIALISE),
    0x100: ("USER_ALREADY_LOGGED_IN", Remedy.REOPEN),
    0x101: ("USER_NOT_LOGGED_IN", Remedy.REOPEN),
    0x103: ("USER_TYPE_INVALID", Remedy.REINITIALISE),
    0x104: ("USER_ANOTHER_ALREADY_LOGGED_IN", Remedy.REINITIALISE),
    0x105: ("USER_TOO_MANY_TYPES", Remedy.REINITIALISE),
    0x190: ("CRYPTOKI_NOT_INITIALIZED", Remedy.REINITIALISE),
    0x191: ("CRYPTOKI_ALREADY_INITIALIZED", Remedy.REINITIALISE),
    0x1A0: ("MUTEX_BAD", Remedy.RESTART),
    0x1A1: ("MUTEX_NOT_LOCKED", Remedy.RESTART),
}

RETURN_VALUES = (
    {code: ReturnValue(f"CKR_{name}", Remedy.NONE, Fault.REFUSED) for code, name in _REFUSED.items()}
    | {code: ReturnValue(f"CKR_{name}", Remedy.NONE, Fault.UNSUPPORTED) for code, name in _UNSUPPORTED.items()}
    | {code: ReturnValue(f"CKR_{name}", Remedy.NONE, Fault.PIN) for code, name in _PIN.items()}
    | {code: ReturnValue(f"CKR_{name}", remedy, Fault.AWAY) for code, (name, remedy) in _AWAY.items()}
)

OK = 0
PIN_INCORRECT = 0xA0
PIN_LOCKED = 0xA4
CANT_LOCK = 0x0A
DEVICE_REMOVED = 0x32
ENCRYPTED_DATA = frozenset({0x40, 0x41})
"""The ciphertext is not what this key made."""
FUNCTION_NOT_SUPPORTED = 0x54
TOKEN_NOT_PRESENT = 0xE0
USER_ALREADY_LOGGED_IN = 0x100
USER_NOT_LOGGED_IN = 0x101
ALREADY_INITIALIZED = 0x191


def meaning(code: int) -> ReturnValue:
    """Look a return value up. A vendor's own or unknown one is taken for a device in trouble: sessions are reopened."""
    known = RETURN_VALUES.get(code)
    if known is not None:
        return known
    vendor = "CKR_VENDOR_DEFINED" if code & 0x80000000 else "CKR"
    return ReturnValue(f"{vendor}_{code:#x}", Remedy.REOPEN, Fault.REFUSED)
