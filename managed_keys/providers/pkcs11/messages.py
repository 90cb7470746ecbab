"""What the server and its signer processes say to each other: length-prefixed binary frames over a stream socket.

A request is `length:u32 kind:u8 body`, an answer `length:u32 failed:u8 body`; the length counts what follows it.
Answers come in the order of requests, so neither carries an identifier. `Introduce` and `Forget` have no answer.
Both sides are the same release of the same program: there is no version to negotiate.
"""

import dataclasses
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

from managed_keys.keys import KeyAlgorithm, SignatureScheme
from managed_keys.providers.pkcs11.ckr import Fault, Remedy

MAX_MESSAGE = 1 << 28
"""No larger message is signed: a CRL of 256 MiB names six million certificates."""
MAX_FRAME = MAX_MESSAGE + 1024

_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">IB")
_SIGN = struct.Struct(">IBIB")
_SIGN_BODY = struct.Struct(">IB")
_FAILURE = struct.Struct(">BBQ")
_U64 = struct.Struct(">Q")

SCHEMES = tuple(SignatureScheme)
SCHEME_CODES = {scheme: code for code, scheme in enumerate(SCHEMES)}


class Kind(IntEnum):
    """The requests."""

    SIGN = 1
    INTRODUCE = 2
    FORGET = 3
    LOGIN = 4
    FIND = 5
    GENERATE = 6
    WRAP = 7
    UNWRAP = 8


class Failure(Exception):
    """An operation failed inside a signer process. `text` is fit for a client."""

    def __init__(self, fault: Fault, text: str, *, remedy: Remedy = Remedy.NONE, code: int = 0) -> None:
        super().__init__(text)
        self.fault, self.text, self.remedy, self.code = fault, text, remedy, code

    def copy(self) -> "Failure":
        """Return an equal failure to raise once more: an exception that is raised twice drags its first life along."""
        return Failure(self.fault, self.text, remedy=self.remedy, code=self.code)

    def encode(self) -> bytes:
        """Return the body of a failed answer."""
        return _FAILURE.pack(self.remedy, self.fault, self.code) + self.text.encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body of a failed answer."""
        remedy, fault, code = _FAILURE.unpack_from(body)
        text = body[_FAILURE.size :].decode()
        return cls(Fault(fault), text, remedy=Remedy(remedy), code=code)


class Record:
    """A message of fields: `int` (64 bits, unsigned), `bool`, `str`, a `StrEnum`, `bytes` or `tuple[int, ...]`."""

    def encode(self) -> bytes:
        """Return the fields, each with its length before it."""
        parts: list[bytes] = []
        for item in dataclasses.fields(self):  # type: ignore[arg-type]  # every Record is a dataclass
            part = _field_bytes(getattr(self, item.name))
            parts += (_LENGTH.pack(len(part)), part)
        return b"".join(parts)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read what `encode` wrote."""
        values: dict[str, Any] = {}
        at = 0
        for item in dataclasses.fields(cls):  # type: ignore[arg-type]  # every Record is a dataclass
            (size,) = _LENGTH.unpack_from(body, at)
            start, at = at + _LENGTH.size, at + _LENGTH.size + size
            values[item.name] = _field_value(body[start:at], item.type)
        return cls(**values)


def _field_bytes(value: object) -> bytes:
    match value:
        case bytes():
            return value
        case str():
            return value.encode()
        case int():
            return _U64.pack(value)
        case tuple():
            return b"".join(_U64.pack(number) for number in value)
        case _:
            raise TypeError(f"no wire form for {type(value).__name__}")


def _field_value(part: bytes, kind: object) -> object:
    if kind is bytes:
        return part
    if kind is int or kind is bool:
        number: int = _U64.unpack(part)[0]
        return bool(number) if kind is bool else number
    if kind == tuple[int, ...]:
        return tuple(number for (number,) in _U64.iter_unpack(part))
    assert isinstance(kind, type)
    assert issubclass(kind, str), "no other field has a wire form"
    return kind(part.decode())


@dataclass(frozen=True, slots=True)
class Login(Record):
    """Load the module if it is not, find the token, open a session, log in. Answer: `TokenFacts`.

    Exactly one of `token_label` and `slot` (decimal text) is given.
    """

    kind: ClassVar[Kind] = Kind.LOGIN
    library: str
    initialization: str
    token_label: str
    slot: str
    pin: str = dataclasses.field(repr=False)
    read_write: bool
    reinitialise: bool


@dataclass(frozen=True, slots=True)
class TokenFacts(Record):
    """The token behind a session."""

    label: str
    serial: str
    model: str
    mechanisms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Introduce(Record):
    """Give a key a number for later `SIGN` requests. It is searched for when it first signs.

    `mechanism` is the one configured; it limits the schemes that the key signs with.
    """

    kind: ClassVar[Kind] = Kind.INTRODUCE
    number: int
    cka_id: bytes
    label: str
    spki: bytes
    mechanism: int


@dataclass(frozen=True, slots=True)
class Forget(Record):
    """Take a number back."""

    kind: ClassVar[Kind] = Kind.FORGET
    number: int


@dataclass(frozen=True, slots=True)
class Find(Record):
    """Search for the one private key with this CKA_ID, this CKA_LABEL, or both; empty means any. Answer: `FoundKey`."""

    kind: ClassVar[Kind] = Kind.FIND
    cka_id: bytes
    label: str


@dataclass(frozen=True, slots=True)
class Generate(Record):
    """Generate a key pair under a CKA_ID that the token does not have yet. Answer: `FoundKey`.

    Idempotent by the CKA_ID: a key that has it already is the answer.
    """

    kind: ClassVar[Kind] = Kind.GENERATE
    cka_id: bytes
    label: str
    algorithm: KeyAlgorithm
    bits: int
    decrypts: bool
    """For CKM_RSA_PKCS_OAEP: the key may decrypt and nothing else. Otherwise it may sign and nothing else."""


@dataclass(frozen=True, slots=True)
class FoundKey(Record):
    """A private key in the token, with its public half."""

    cka_id: bytes
    label: str
    spki: bytes


@dataclass(frozen=True, slots=True)
class Wrap(Record):
    """Encrypt a secret under the key with this label. Answer: `Wrapped`.

    `mechanism` is CKM_AES_GCM or CKM_RSA_PKCS_OAEP, `digest` the name of OAEP's. `generate`: make the key when it is
    absent, with `cka_id` and, for RSA, of so many `bits`. Safe to repeat: the key that was made is found by its label.
    """

    kind: ClassVar[Kind] = Kind.WRAP
    label: str
    mechanism: int
    digest: str
    generate: bool
    cka_id: bytes
    bits: int
    secret: bytes = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True)
class Wrapped(Record):
    """A secret under the key with this CKA_ID. `nonce` is empty for RSA."""

    cka_id: bytes
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Unwrap(Record):
    """Decrypt what `Wrap` encrypted. Answer: the secret. The key is found by its CKA_ID or, without one, its label."""

    kind: ClassVar[Kind] = Kind.UNWRAP
    label: str
    mechanism: int
    digest: str
    cka_id: bytes
    nonce: bytes
    ciphertext: bytes


Control = Login | Introduce | Forget | Find | Generate | Wrap | Unwrap


def request(message: Control) -> bytes:
    """Return the frame of a control request."""
    body = message.encode()
    return _HEAD.pack(len(body) + 1, message.kind) + body


def sign_request(number: int, scheme: SignatureScheme, message: bytes) -> bytes:
    """Return the frame that asks for a signature. Answer: the signature in its X.509 encoding."""
    return _SIGN.pack(len(message) + 6, Kind.SIGN, number, SCHEME_CODES[scheme]) + message


def read_sign_request(body: bytes) -> tuple[int, SignatureScheme, bytes]:
    """Take the body of a SIGN request apart: the key's number, the scheme, the message."""
    number, code = _SIGN_BODY.unpack_from(body)
    return number, SCHEMES[code], body[_SIGN_BODY.size :]


def answer(body: bytes) -> bytes:
    """Return the frame of a good answer."""
    return _HEAD.pack(len(body) + 1, 0) + body


def failed_answer(failure: Failure) -> bytes:
    """Return the frame of a failed one."""
    body = failure.encode()
    return _HEAD.pack(len(body) + 1, 1) + body


class Frames:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = 0
        """Octets without which what is held cannot be a whole frame."""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind or failed, body) of each frame that is complete. Raises ValueError for an impossible length."""
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        at, size = 0, len(data)
        self._missing = 5
        while at + 5 <= size:
            length, kind = _HEAD.unpack_from(data, at)
            if not 1 <= length <= MAX_FRAME:
                raise ValueError(f"a frame of {length} bytes")
            end = at + 4 + length
            if end > size:
                self._missing = end - at
                break
            yield kind, data[at + 5 : end]
            at = end
            self._missing = 5
        if at < size:
            self._parts.append(data[at:])
            self._missing -= size - at
