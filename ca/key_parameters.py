"""Which keys may be made or certified: types, sizes and what is too weak. Pure."""

from typing import Final

from chancery.kit.errors import BadInput, Problem
from managed_keys.keys import EC_BITS, RSA_BITS, KeyAlgorithm, NewKey

_DEFAULT_BITS: Final = {"rsa": 2048, "ec": 256, "ed25519": 0, "any": 0}


def default_bits(key_type: str) -> int:
    """Return the size that stands for 0 bits of a key type."""
    return _DEFAULT_BITS.get(key_type, 0)


def key_problem(key_type: str, bits: int, *, allow_any: bool = False) -> str:
    """Return what is wrong with a key type and size, in Vault's words, or the empty string."""
    match key_type:
        case "rsa" if bits < min(RSA_BITS):
            return f"RSA keys < {min(RSA_BITS)} bits are unsafe and not supported: got {bits}"
        case "rsa" if bits not in RSA_BITS:
            return f"unsupported bit length for RSA key: {bits}"
        case "ec" if bits not in EC_BITS:
            return f"unsupported bit length for EC key: {bits}"
        case "rsa" | "ec" | "ed25519":
            return ""
        case "any" if allow_any:
            return ""
        case _:
            return f"unknown key type {key_type[:80]}"


def problem_field(reason: str) -> str:
    """Return the field that a reason of `key_problem` is about."""
    return "key_type" if reason.startswith("unknown key type") else "key_bits"


def new_key(key_type: str, bits: int) -> NewKey:
    """Return what to generate. Raises BadInput for an unknown type or size."""
    size = bits or default_bits(key_type)
    reason = key_problem(key_type, size)
    if reason:
        raise BadInput(reason, problems=[Problem(problem_field(reason), reason)])
    return NewKey(KeyAlgorithm(key_type), 0 if key_type == "ed25519" else size)
