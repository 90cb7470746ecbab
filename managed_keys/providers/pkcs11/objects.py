"""Key objects of a token: what identifies them, their public halves, and how new ones must look."""

import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from managed_keys.keys import KeyAlgorithm
from managed_keys.providers.pkcs11 import cryptoki as c
from managed_keys.providers.pkcs11 import mechanisms
from managed_keys.providers.pkcs11.ckr import Fault
from managed_keys.providers.pkcs11.messages import Failure, Generate
from managed_keys.schemes import curve_width
from managed_keys.verification import CURVES, normalised_spki, spki_of

CURVE_OIDS: Final = {
    224: bytes.fromhex("06052b81040021"),
    256: bytes.fromhex("06082a8648ce3d030107"),
    384: bytes.fromhex("06052b81040022"),
    521: bytes.fromhex("06052b81040023"),
}
"""DER of the curves' object identifiers, as CKA_EC_PARAMS holds them."""

_CURVES: Final = {oid: CURVES[bits]() for bits, oid in CURVE_OIDS.items()}
ED25519_PARAMETERS: Final = (bytes.fromhex("06032b6570"), b"\x13\x0cedwards25519")
"""RFC 8410's identifier, and the name that PKCS #11 v3.0 had before: modules take the one or the other."""

_PUBLIC_EXPONENT: Final = b"\x01\x00\x01"

_PUBLIC_PARTS: Final = (
    c.CKA_KEY_TYPE, c.CKA_MODULUS, c.CKA_PUBLIC_EXPONENT, c.CKA_EC_PARAMS, c.CKA_EC_POINT, c.CKA_PUBLIC_KEY_INFO,
)  # fmt: skip


def private_key_template(cka_id: bytes, label: str) -> c.Template:
    """Return what to search private keys by; an empty part means any."""
    return key_template(c.CKO_PRIVATE_KEY, cka_id, label)


def key_template(kind: int, cka_id: bytes, label: str) -> c.Template:
    """Return what to search keys of a class by; an empty part means any."""
    template = [(c.CKA_CLASS, c.number(kind))]
    if cka_id:
        template.append((c.CKA_ID, cka_id))
    if label:
        template.append((c.CKA_LABEL, label.encode()))
    return template


def spki_of_private_key(module: c.Module, session: int, handle: int) -> bytes:
    """Return the public half of a private key as DER SubjectPublicKeyInfo.

    Taken from the private object where it has it, otherwise from the public object with the same CKA_ID or label.
    Raises Failure when neither is there.
    """
    values = module.read(session, handle, (*_PUBLIC_PARTS, c.CKA_ID, c.CKA_LABEL))
    spki = _spki(values)
    if spki is not None:
        return spki
    for kind in (c.CKA_ID, c.CKA_LABEL):
        if not values.get(kind):
            continue
        for public in module.find(session, [(c.CKA_CLASS, c.number(c.CKO_PUBLIC_KEY)), (kind, values[kind])]):
            spki = _spki(module.read(session, public, _PUBLIC_PARTS))
            if spki is not None:
                return spki
    raise Failure(
        Fault.REFUSED,
        "the private key has no public key object with the same CKA_ID or label beside it: put one into the token",
    )


def _spki(values: dict[int, bytes]) -> bytes | None:
    kind = int.from_bytes(values.get(c.CKA_KEY_TYPE, b"\xff"), "little")
    modulus, exponent = values.get(c.CKA_MODULUS), values.get(c.CKA_PUBLIC_EXPONENT)
    parameters, point = values.get(c.CKA_EC_PARAMS, b""), values.get(c.CKA_EC_POINT)
    if kind == c.CKK_RSA and modulus and exponent:
        numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
        return spki_of(numbers.public_key())
    if kind == c.CKK_EC and point and parameters in _CURVES:
        curve = _CURVES[parameters]
        encoded = _unwrapped(point, 2 * curve_width(curve.key_size) + 1)
        return spki_of(ec.EllipticCurvePublicKey.from_encoded_point(curve, encoded))
    if kind == c.CKK_EC_EDWARDS and point:
        return spki_of(ed25519.Ed25519PublicKey.from_public_bytes(_unwrapped(point, 32)))
    information = values.get(c.CKA_PUBLIC_KEY_INFO)
    return normalised_spki(information) if information else None


def _unwrapped(point: bytes, size: int) -> bytes:
    """Take the DER OCTET STRING off a point of `size` octets; some modules put none round it."""
    header = b"\x04" + (bytes((size,)) if size < 0x80 else bytes((0x81, size)))
    return point.removeprefix(header) if len(point) == len(header) + size else point


def key_pair_mechanisms(request: Generate) -> list[tuple[int, c.Template]]:
    """Return the ways to generate such a pair, best first: the mechanism and what the public template must say."""
    if request.algorithm is KeyAlgorithm.RSA:
        parts = [(c.CKA_MODULUS_BITS, c.number(request.bits)), (c.CKA_PUBLIC_EXPONENT, _PUBLIC_EXPONENT)]
        return [(mechanisms.RSA_PKCS_KEY_PAIR_GEN, parts)]
    if request.algorithm is KeyAlgorithm.EC:
        return [(mechanisms.EC_KEY_PAIR_GEN, [(c.CKA_EC_PARAMS, CURVE_OIDS[request.bits])])]
    return [(mechanisms.EC_EDWARDS_KEY_PAIR_GEN, [(c.CKA_EC_PARAMS, name)]) for name in ED25519_PARAMETERS]


def public_template(request: Generate) -> c.Template:
    """Return the attributes of a new public key."""
    return [
        (c.CKA_TOKEN, c.flag(True)),
        (c.CKA_ID, request.cka_id),
        (c.CKA_LABEL, request.label.encode()),
        (c.CKA_VERIFY, c.flag(not request.decrypts)),
        (c.CKA_ENCRYPT, c.flag(request.decrypts)),
    ]


def private_template(request: Generate) -> c.Template:
    """Return the attributes of a new private key. Explicit throughout: what modules assume by themselves differs."""
    return [
        (c.CKA_TOKEN, c.flag(True)),
        (c.CKA_PRIVATE, c.flag(True)),
        (c.CKA_SENSITIVE, c.flag(True)),
        (c.CKA_EXTRACTABLE, c.flag(False)),
        (c.CKA_ID, request.cka_id),
        (c.CKA_LABEL, request.label.encode()),
        (c.CKA_SIGN, c.flag(not request.decrypts)),
        (c.CKA_DECRYPT, c.flag(request.decrypts)),
        (c.CKA_UNWRAP, c.flag(False)),
    ]


# Not CKA_LOCAL: NSS leaves it false for what it generated itself, and who called C_GenerateKeyPair knows anyway.
_WANTED: Final = {
    c.CKA_TOKEN: ("a token object", True),
    c.CKA_PRIVATE: ("private", True),
    c.CKA_SENSITIVE: ("sensitive", True),
    c.CKA_EXTRACTABLE: ("extractable", False),
    c.CKA_ALWAYS_SENSITIVE: ("always sensitive", True),
    c.CKA_NEVER_EXTRACTABLE: ("never extractable", True),
    c.CKA_UNWRAP: ("allowed to unwrap", False),
}


def disregarded(module: c.Module, session: int, handle: int, request: Generate) -> list[str]:
    """Read a new private key back and say, in words, which demands the module did not honour."""
    wanted = _WANTED | {
        c.CKA_SIGN: ("allowed to sign", not request.decrypts),
        c.CKA_DECRYPT: ("allowed to decrypt", request.decrypts),
    }
    found = complaints(module, session, handle, wanted)
    cka_id = module.read(session, handle, (c.CKA_ID,)).get(c.CKA_ID, b"")
    return found if hmac.compare_digest(cka_id, request.cka_id) else [*found, "has another CKA_ID"]


def complaints(module: c.Module, session: int, handle: int, wanted: Mapping[int, tuple[str, bool]]) -> list[str]:
    """Read a key's properties and say, in words, which are not as wanted. What it does not reveal is passed over."""
    values = module.read(session, handle, wanted)
    return [
        f"is {'not ' if expected else ''}{words}"
        for kind, (words, expected) in wanted.items()
        if kind in values and any(values[kind]) is not expected
    ]
