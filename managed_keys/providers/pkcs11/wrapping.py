"""Secrets wrapped under a key of a token, inside a signer process: AES-GCM, or RSA-OAEP with only the private half
in the token.

The key never leaves the token; what is wrapped does, as ciphertext. Errors are `Failure`.
"""

import ctypes
import secrets
from collections.abc import Callable
from ctypes import Structure, c_ulong, c_void_p
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from managed_keys.keys import KeyAlgorithm
from managed_keys.providers.pkcs11 import cryptoki as c
from managed_keys.providers.pkcs11 import objects
from managed_keys.providers.pkcs11.ckr import Fault
from managed_keys.providers.pkcs11.mechanisms import AES_GCM, AES_KEY_GEN, HASH_NUMBERS, RSA_PKCS_OAEP, name_of
from managed_keys.providers.pkcs11.messages import Failure, FoundKey, Generate, Unwrap, Wrap, Wrapped
from managed_keys.schemes import Digest
from managed_keys.verification import HASHES

AES_KEY_BYTES: Final = 32
_NONCE_BYTES = 12
_TAG_BITS = 128
_DATA_SPECIFIED = 1  # CKZ_DATA_SPECIFIED
_AAD: Final = b"chancery seal 1"


class _GcmParameters(Structure):
    _fields_ = [
        ("iv", c_void_p),
        ("iv_length", c_ulong),
        ("iv_bits", c_ulong),
        ("aad", c_void_p),
        ("aad_length", c_ulong),
        ("tag_bits", c_ulong),
    ]


class _OaepParameters(Structure):
    _fields_ = [
        ("hash", c_ulong),
        ("mgf", c_ulong),
        ("source", c_ulong),
        ("source_data", c_void_p),
        ("source_length", c_ulong),
    ]


class _GcmMechanism(c.Mechanism):
    """CKM_AES_GCM with a nonce; keeps what its parameter points to."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = ctypes.create_string_buffer(nonce, len(nonce))
        self._aad = ctypes.create_string_buffer(_AAD, len(_AAD))
        parameters = _GcmParameters(
            ctypes.addressof(self._nonce), len(nonce), 8 * len(nonce), ctypes.addressof(self._aad), len(_AAD), _TAG_BITS
        )
        super().__init__(AES_GCM, bytes(parameters))


def _oaep(digest: Digest) -> c.Mechanism:
    number, mgf = HASH_NUMBERS[digest]
    return c.Mechanism(RSA_PKCS_OAEP, bytes(_OaepParameters(number, mgf, _DATA_SPECIFIED, None, 0)))


@dataclass(frozen=True, slots=True)
class OpenToken:
    """A token that somebody is logged in to."""

    module: c.Module
    slot: int
    session: int
    mechanisms: frozenset[int]
    search: Callable[[c.Template], int]
    """Finds the one object with these attributes. Raises Failure KEY_ABSENT or AMBIGUOUS."""
    generate_pair: Callable[[Generate], FoundKey]


def wrap(token: OpenToken, order: Wrap) -> Wrapped:
    """Encrypt a secret under the key with the order's label, generating it if the order allows that."""
    _demand_mechanism(token, order.mechanism)
    try:
        key = token.search(_template(order.mechanism, b"", order.label))
    except Failure as failure:
        if failure.fault is not Fault.KEY_ABSENT or not order.generate:
            raise
        key = _generate(token, order)
    cka_id = token.module.read(token.session, key, (c.CKA_ID,)).get(c.CKA_ID, b"")
    if order.mechanism == RSA_PKCS_OAEP:
        spki = objects.spki_of_private_key(token.module, token.session, key)
        return Wrapped(cka_id, b"", _encrypt_to(spki, order.secret, Digest(order.digest)))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return Wrapped(cka_id, nonce, token.module.encrypt(token.session, key, _GcmMechanism(nonce), order.secret))


def unwrap(token: OpenToken, order: Unwrap) -> bytes:
    """Decrypt with the key that has the order's CKA_ID, or its label where the key has no CKA_ID."""
    _demand_mechanism(token, order.mechanism)
    key = token.search(_template(order.mechanism, order.cka_id, "" if order.cka_id else order.label))
    mechanism = _oaep(Digest(order.digest)) if order.mechanism == RSA_PKCS_OAEP else _GcmMechanism(order.nonce)
    return token.module.decrypt(token.session, key, mechanism, order.ciphertext)


def _demand_mechanism(token: OpenToken, mechanism: int) -> None:
    if mechanism not in token.mechanisms:
        raise Failure(Fault.UNSUPPORTED, f"the token does not have {name_of(mechanism)}")


def _template(mechanism: int, cka_id: bytes, label: str) -> c.Template:
    kind = c.CKO_PRIVATE_KEY if mechanism == RSA_PKCS_OAEP else c.CKO_SECRET_KEY
    return objects.key_template(kind, cka_id, label)


def _encrypt_to(spki: bytes, secret: bytes, digest: Digest) -> bytes:
    key = serialization.load_der_public_key(spki)
    if not isinstance(key, rsa.RSAPublicKey):
        raise Failure(Fault.UNSUPPORTED, "the key with this label is not an RSA key")
    algorithm = HASHES[digest]
    return key.encrypt(secret, padding.OAEP(padding.MGF1(algorithm), algorithm, None))


def _generate(token: OpenToken, order: Wrap) -> int:
    if order.mechanism == RSA_PKCS_OAEP:
        pair = Generate(order.cka_id, order.label, KeyAlgorithm.RSA, order.bits, decrypts=True)
        token.generate_pair(pair)
        return token.search(_template(order.mechanism, order.cka_id, ""))
    _demand_mechanism(token, AES_KEY_GEN)
    session = token.module.open_session(token.slot, read_write=True)
    try:
        key = token.module.generate_key(session, c.Mechanism(AES_KEY_GEN), _secret_template(order))
        complaints = objects.complaints(token.module, session, key, _WANTED)
        if complaints:
            token.module.destroy(session, key)
            raise Failure(Fault.REFUSED, f"the generated key {', '.join(complaints)}; it was destroyed again")
    finally:
        token.module.close_session(session)
    return token.search(_template(order.mechanism, order.cka_id, ""))


def _secret_template(order: Wrap) -> c.Template:
    """Return the attributes of a new AES key. Explicit throughout: what modules assume by themselves differs."""
    return [
        (c.CKA_CLASS, c.number(c.CKO_SECRET_KEY)),
        (c.CKA_KEY_TYPE, c.number(c.CKK_AES)),
        (c.CKA_VALUE_LEN, c.number(AES_KEY_BYTES)),
        (c.CKA_ID, order.cka_id),
        (c.CKA_LABEL, order.label.encode()),
        *((kind, c.flag(wanted)) for kind, (_, wanted) in _WANTED.items() if kind not in _CONSEQUENCES),
    ]


_WANTED: Final = {
    c.CKA_TOKEN: ("a token object", True),
    c.CKA_PRIVATE: ("private", True),
    c.CKA_SENSITIVE: ("sensitive", True),
    c.CKA_EXTRACTABLE: ("extractable", False),
    c.CKA_ENCRYPT: ("allowed to encrypt", True),
    c.CKA_DECRYPT: ("allowed to decrypt", True),
    c.CKA_WRAP: ("allowed to wrap", False),
    c.CKA_UNWRAP: ("allowed to unwrap", False),
    c.CKA_ALWAYS_SENSITIVE: ("always sensitive", True),
    c.CKA_NEVER_EXTRACTABLE: ("never extractable", True),
}
_CONSEQUENCES: Final = {c.CKA_ALWAYS_SENSITIVE, c.CKA_NEVER_EXTRACTABLE}
"""What the token says of a key by itself, and no template may."""
