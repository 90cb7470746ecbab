"""PKCS #11 v2.40 through ctypes: as much as signing needs, each failure with its number.

Its own binding, because what a CA needs is what the ready-made ones lack: C_Initialize with arguments (some modules
refuse NULL, NSS wants a string), any mechanism number of any width, C_Sign called once, and CKR_* as numbers.
Structures are those of 64-bit Unix: natural alignment, CK_ULONG as wide as a pointer. Not thread-safe. Runs in signer
processes only.
"""

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_ubyte, c_ulong, c_void_p
from dataclasses import dataclass
from typing import Any

from managed_keys.providers.pkcs11 import ckr
from managed_keys.providers.pkcs11.ckr import Fault
from managed_keys.providers.pkcs11.messages import Failure

CKU_SO, CKU_USER = 0, 1
CKF_RW_SESSION, CKF_SERIAL_SESSION = 0x2, 0x4
CKF_TOKEN_INITIALIZED, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED = 0x400, 0x20000, 0x40000
CKF_OS_LOCKING_OK = 0x2
USER_STATES = frozenset({1, 3})  # CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS
UNAVAILABLE_INFORMATION = c_ulong(-1).value

CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY = 2, 3, 4
CKK_RSA, CKK_EC, CKK_AES, CKK_EC_EDWARDS = 0x0, 0x3, 0x1F, 0x40

CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL = 0x0, 0x1, 0x2, 0x3
CKA_KEY_TYPE, CKA_ID, CKA_SENSITIVE, CKA_ENCRYPT = 0x100, 0x102, 0x103, 0x104
CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_VERIFY = 0x105, 0x106, 0x107, 0x108, 0x10A
CKA_MODULUS, CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT = 0x120, 0x121, 0x122
CKA_PUBLIC_KEY_INFO, CKA_VALUE_LEN, CKA_EXTRACTABLE, CKA_LOCAL = 0x129, 0x161, 0x162, 0x163
CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE = 0x164, 0x165
CKA_EC_PARAMS, CKA_EC_POINT = 0x180, 0x181

Template = Sequence[tuple[int, bytes]]
"""Attributes with their values as octets."""

_SIGNATURE_ROOM = 2048


def flag(value: bool) -> bytes:
    """Encode CK_BBOOL."""
    return b"\x01" if value else b"\x00"


def number(value: int) -> bytes:
    """Encode CK_ULONG."""
    return bytes(c_ulong(value))


class _Version(Structure):
    _fields_ = [("major", c_ubyte), ("minor", c_ubyte)]


class _FunctionList(Structure):
    _fields_ = [("version", _Version), ("functions", c_void_p * 68)]


class _InitializeArguments(Structure):
    # The last two: the standard has pReserved alone; NSS reads its string there and wants a null pointer behind it.
    _fields_ = [
        ("mutexes", c_void_p * 4),
        ("flags", c_ulong),
        ("parameters", c_char_p),
        ("reserved", c_void_p),
    ]


class _TokenInfo(Structure):
    _fields_ = [
        ("label", c_char * 32),
        ("manufacturer", c_char * 32),
        ("model", c_char * 16),
        ("serial", c_char * 16),
        ("flags", c_ulong),
        ("counters", c_ulong * 10),
        ("hardware", _Version),
        ("firmware", _Version),
        ("time", c_char * 16),
    ]


class _SessionInfo(Structure):
    _fields_ = [("slot", c_ulong), ("state", c_ulong), ("flags", c_ulong), ("device_error", c_ulong)]


class _Attribute(Structure):
    _fields_ = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class _Mechanism(Structure):
    _fields_ = [("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class Mechanism:
    """A mechanism with its parameter, kept alive for the module."""

    def __init__(self, kind: int, parameter: bytes = b"") -> None:
        self.kind = kind
        self._parameter = ctypes.create_string_buffer(parameter, len(parameter)) if parameter else None
        address = ctypes.addressof(self._parameter) if self._parameter is not None else None
        self._structure = _Mechanism(kind, address, len(parameter))
        self.pointer = byref(self._structure)


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What C_GetTokenInfo says."""

    label: str
    model: str
    serial: str
    flags: int


_U, _P, _S = c_ulong, c_void_p, c_char_p
# Place in CK_FUNCTION_LIST, and the types of the arguments.
_FUNCTIONS: Mapping[str, tuple[int, tuple[Any, ...]]] = {
    "C_Initialize": (0, (_P,)),
    "C_Finalize": (1, (_P,)),
    "C_GetSlotList": (4, (c_ubyte, _P, _P)),
    "C_GetTokenInfo": (6, (_U, _P)),
    "C_GetMechanismList": (7, (_U, _P, _P)),
    "C_InitToken": (9, (_U, _S, _U, _S)),
    "C_InitPIN": (10, (_U, _S, _U)),
    "C_OpenSession": (12, (_U, _U, _P, _P, _P)),
    "C_CloseSession": (13, (_U,)),
    "C_CloseAllSessions": (14, (_U,)),
    "C_GetSessionInfo": (15, (_U, _P)),
    "C_Login": (18, (_U, _U, _S, _U)),
    "C_Logout": (19, (_U,)),
    "C_DestroyObject": (22, (_U, _U)),
    "C_GetAttributeValue": (24, (_U, _U, _P, _U)),
    "C_FindObjectsInit": (26, (_U, _P, _U)),
    "C_FindObjects": (27, (_U, _P, _U, _P)),
    "C_FindObjectsFinal": (28, (_U,)),
    "C_EncryptInit": (29, (_U, _P, _U)),
    "C_Encrypt": (30, (_U, _S, _U, _P, _P)),
    "C_DecryptInit": (33, (_U, _P, _U)),
    "C_Decrypt": (34, (_U, _S, _U, _P, _P)),
    "C_SignInit": (42, (_U, _P, _U)),
    "C_Sign": (43, (_U, _S, _U, _P, _P)),
    "C_GenerateKey": (58, (_U, _P, _P, _U, _P)),
    "C_GenerateKeyPair": (59, (_U, _P, _P, _U, _P, _U, _P, _P)),
}


def _raise(function: str, code: int) -> None:
    meaning = ckr.meaning(code)
    raise Failure(meaning.fault, f"{function} answered {meaning.name}", remedy=meaning.remedy, code=code)


class _Attributes:
    """A template as the module wants it: CK_ATTRIBUTE structures that point into one block of octets."""

    def __init__(self, template: Template) -> None:
        octets = b"".join(value for _, value in template)
        self._block = ctypes.create_string_buffer(octets, max(len(octets), 1))
        self.array = (_Attribute * len(template))()
        at = ctypes.addressof(self._block)
        for place, (kind, value) in zip(self.array, template, strict=True):
            place.type, place.value, place.length = kind, at, len(value)
            at += len(value)


def _absent(*_: Any) -> int:
    """Stand in for a function that the module's list leaves null."""
    return ckr.FUNCTION_NOT_SUPPORTED


def _text(field: bytes) -> str:
    return field.decode("utf-8", "replace").rstrip(" \x00")


class Module:
    """One loaded module. Every method raises Failure with the CKR_* that the module answered."""

    def __init__(self, path: str) -> None:
        """Load the shared object; does not initialise it."""
        try:
            self._library = ctypes.CDLL(path)
            get_function_list = self._library.C_GetFunctionList
        except OSError as error:
            raise Failure(Fault.LIBRARY, f"cannot be loaded: {error}") from None
        except AttributeError:
            raise Failure(Fault.LIBRARY, "is not a PKCS#11 module: it has no C_GetFunctionList") from None
        listed = POINTER(_FunctionList)()
        get_function_list.restype = c_ulong
        code = get_function_list(byref(listed))
        if code != ckr.OK:
            raise Failure(Fault.LIBRARY, f"C_GetFunctionList answered {ckr.meaning(code).name}", code=code)
        addresses = listed.contents.functions
        self._functions = {
            name: ctypes.CFUNCTYPE(c_ulong, *types)(addresses[place]) if addresses[place] else _absent
            for name, (place, types) in _FUNCTIONS.items()
        }
        self._sign_init, self._sign = self._functions["C_SignInit"], self._functions["C_Sign"]
        self._room = ctypes.create_string_buffer(_SIGNATURE_ROOM)
        self._length = c_ulong()
        self._length_reference = byref(self._length)

    def _call(self, function: str, *arguments: Any) -> None:
        code = self._functions[function](*arguments)
        if code != ckr.OK:
            _raise(function, code)

    def initialize(self, parameters: str = "") -> None:
        """C_Initialize with the system's locks allowed, or without a word about locks where that is refused."""
        text = parameters.encode() or None
        for flags in (CKF_OS_LOCKING_OK, 0):
            arguments = _InitializeArguments(flags=flags, parameters=text)
            code = self._functions["C_Initialize"](byref(arguments))
            if code != ckr.CANT_LOCK:
                break
        if code not in {ckr.OK, ckr.ALREADY_INITIALIZED}:
            _raise("C_Initialize", code)

    def finalize(self) -> None:
        """C_Finalize, whatever it answers: it is followed by C_Initialize or by the end of the process."""
        self._functions["C_Finalize"](None)

    def slots(self) -> list[int]:
        """Return the slots that hold a token."""
        return self._counted("C_GetSlotList", 1)

    def mechanisms(self, slot: int) -> tuple[int, ...]:
        """Return the mechanisms of the token."""
        return tuple(self._counted("C_GetMechanismList", slot))

    def _counted(self, function: str, argument: int) -> list[int]:
        count = c_ulong()
        self._call(function, argument, None, byref(count))
        array = (c_ulong * count.value)()
        if count.value:
            self._call(function, argument, array, byref(count))
        return list(array)[: count.value]

    def token(self, slot: int) -> TokenInfo:
        """C_GetTokenInfo."""
        info = _TokenInfo()
        self._call("C_GetTokenInfo", slot, byref(info))
        return TokenInfo(_text(info.label), _text(info.model), _text(info.serial), info.flags)

    def init_token(self, slot: int, so_pin: str, label: str) -> None:
        """C_InitToken: erases whatever the token held."""
        pin = so_pin.encode()
        self._call("C_InitToken", slot, pin, len(pin), label.encode().ljust(32))

    def init_pin(self, session: int, pin: str) -> None:
        """C_InitPIN, in a session of the security officer."""
        self._call("C_InitPIN", session, pin.encode(), len(pin.encode()))

    def open_session(self, slot: int, *, read_write: bool) -> int:
        """C_OpenSession. Return the handle."""
        handle = c_ulong()
        flags = CKF_SERIAL_SESSION | (CKF_RW_SESSION if read_write else 0)
        self._call("C_OpenSession", slot, flags, None, None, byref(handle))
        return handle.value

    def close_session(self, session: int) -> None:
        """C_CloseSession, whatever it answers."""
        self._functions["C_CloseSession"](session)

    def close_all_sessions(self, slot: int) -> None:
        """C_CloseAllSessions, whatever it answers: sessions that are lost already cannot be closed."""
        self._functions["C_CloseAllSessions"](slot)

    def login(self, session: int, pin: str, user: int = CKU_USER) -> None:
        """C_Login. To be logged in already is fine."""
        secret = pin.encode()
        code = self._functions["C_Login"](session, user, secret, len(secret))
        if code not in {ckr.OK, ckr.USER_ALREADY_LOGGED_IN}:
            _raise("C_Login", code)

    def session_state(self, session: int) -> int:
        """Return CK_STATE of the session."""
        info = _SessionInfo()
        self._call("C_GetSessionInfo", session, byref(info))
        return int(info.state)

    def find(self, session: int, template: Template, limit: int = 16) -> list[int]:
        """Return up to `limit` objects that have all these attributes."""
        attributes = _Attributes(template)
        self._call("C_FindObjectsInit", session, attributes.array, len(template))
        try:
            found, count, total = (c_ulong * limit)(), c_ulong(), 0
            while total < limit:
                place = ctypes.addressof(found) + total * ctypes.sizeof(c_ulong)
                self._call("C_FindObjects", session, place, limit - total, byref(count))
                if not count.value:
                    break
                total += count.value
        finally:
            self._functions["C_FindObjectsFinal"](session)
        return list(found)[:total]

    def read(self, session: int, handle: int, kinds: Iterable[int]) -> dict[int, bytes]:
        """Return the attributes that the object has and reveals; the others are left out."""
        values: dict[int, bytes] = {}
        for kind in kinds:
            attribute = _Attribute(type=kind)
            code = self._functions["C_GetAttributeValue"](session, handle, byref(attribute), 1)
            if code != ckr.OK:
                if ckr.meaning(code).remedy is not ckr.Remedy.NONE:
                    _raise("C_GetAttributeValue", code)
                continue
            if attribute.length == UNAVAILABLE_INFORMATION:
                continue
            room = ctypes.create_string_buffer(max(attribute.length, 1))
            attribute.value = ctypes.addressof(room)
            self._call("C_GetAttributeValue", session, handle, byref(attribute), 1)
            values[kind] = room.raw[: attribute.length]
        return values

    def generate_pair(self, session: int, mechanism: Mechanism, public: Template, private: Template) -> tuple[int, int]:
        """C_GenerateKeyPair. Return the handles, public first."""
        handles = c_ulong(), c_ulong()
        first, second = _Attributes(public), _Attributes(private)
        self._call(
            "C_GenerateKeyPair", session, mechanism.pointer, first.array, len(public), second.array, len(private),
            byref(handles[0]), byref(handles[1]),
        )  # fmt: skip
        return handles[0].value, handles[1].value

    def generate_key(self, session: int, mechanism: Mechanism, template: Template) -> int:
        """C_GenerateKey. Return the handle."""
        handle, attributes = c_ulong(), _Attributes(template)
        self._call("C_GenerateKey", session, mechanism.pointer, attributes.array, len(template), byref(handle))
        return handle.value

    def encrypt(self, session: int, key: int, mechanism: Mechanism, data: bytes) -> bytes:
        """C_EncryptInit and C_Encrypt."""
        return self._cipher("Encrypt", session, key, mechanism, data)

    def decrypt(self, session: int, key: int, mechanism: Mechanism, data: bytes) -> bytes:
        """C_DecryptInit and C_Decrypt."""
        return self._cipher("Decrypt", session, key, mechanism, data)

    def _cipher(self, what: str, session: int, key: int, mechanism: Mechanism, data: bytes) -> bytes:
        self._call(f"C_{what}Init", session, mechanism.pointer, key)
        room, length = ctypes.create_string_buffer(_SIGNATURE_ROOM), c_ulong(_SIGNATURE_ROOM)
        self._call(f"C_{what}", session, data, len(data), room, byref(length))
        result = room.raw[: length.value]
        ctypes.memset(room, 0, _SIGNATURE_ROOM)
        return result

    def destroy(self, session: int, handle: int) -> None:
        """C_DestroyObject."""
        self._call("C_DestroyObject", session, handle)

    def sign(self, session: int, key: int, mechanism: Mechanism, data: bytes) -> bytes:
        """C_SignInit and C_Sign, once each."""
        code = self._sign_init(session, mechanism.pointer, key)
        if code != ckr.OK:
            _raise("C_SignInit", code)
        self._length.value = _SIGNATURE_ROOM
        code = self._sign(session, data, len(data), self._room, self._length_reference)
        if code != ckr.OK:
            _raise("C_Sign", code)
        return ctypes.string_at(self._room, self._length.value)
