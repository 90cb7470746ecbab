"""Which mechanism makes which signature. Pure.

A configured mechanism limits a key to some schemes; how a scheme is then carried out depends on what the token lists.
The digest is made here whenever the token takes one: raw mechanisms are what all modules share.
"""

from dataclasses import dataclass
from enum import Enum

from managed_keys.keys import KeyAlgorithm, SignatureScheme
from managed_keys.schemes import PARTS, Digest, Padding

RSA_PKCS_KEY_PAIR_GEN = 0x0
RSA_PKCS = 0x1
RSA_PKCS_OAEP = 0x9
RSA_PKCS_PSS = 0xD
EC_KEY_PAIR_GEN = 0x1040
ECDSA = 0x1041
EC_EDWARDS_KEY_PAIR_GEN = 0x1055
EDDSA = 0x1057
AES_KEY_GEN = 0x1080
AES_GCM = 0x1087

NAMES = {
    RSA_PKCS: "CKM_RSA_PKCS",
    RSA_PKCS_OAEP: "CKM_RSA_PKCS_OAEP",
    RSA_PKCS_PSS: "CKM_RSA_PKCS_PSS",
    ECDSA: "CKM_ECDSA",
    EDDSA: "CKM_EDDSA",
    AES_KEY_GEN: "CKM_AES_KEY_GEN",
    AES_GCM: "CKM_AES_GCM",
}

# Mechanisms that hash the message themselves, by the scheme they make.
_HASHING = {
    SignatureScheme.RSA_PKCS1_SHA1: 0x6,
    SignatureScheme.RSA_PKCS1_SHA224: 0x46,
    SignatureScheme.RSA_PKCS1_SHA256: 0x40,
    SignatureScheme.RSA_PKCS1_SHA384: 0x41,
    SignatureScheme.RSA_PKCS1_SHA512: 0x42,
    SignatureScheme.RSA_PSS_SHA1: 0xE,
    SignatureScheme.RSA_PSS_SHA224: 0x47,
    SignatureScheme.RSA_PSS_SHA256: 0x43,
    SignatureScheme.RSA_PSS_SHA384: 0x44,
    SignatureScheme.RSA_PSS_SHA512: 0x45,
    SignatureScheme.ECDSA_SHA1: 0x1042,
    SignatureScheme.ECDSA_SHA224: 0x1043,
    SignatureScheme.ECDSA_SHA256: 0x1044,
    SignatureScheme.ECDSA_SHA384: 0x1045,
    SignatureScheme.ECDSA_SHA512: 0x1046,
}
_SCHEME_OF_HASHING = {mechanism: scheme for scheme, mechanism in _HASHING.items()}

_RAW = {Padding.PKCS1: RSA_PKCS, Padding.PSS: RSA_PKCS_PSS, Padding.ECDSA: ECDSA, Padding.PURE: EDDSA}

HASH_NUMBERS = {
    Digest.SHA1: (0x220, 1),
    Digest.SHA224: (0x255, 5),
    Digest.SHA256: (0x250, 2),
    Digest.SHA384: (0x260, 3),
    Digest.SHA512: (0x270, 4),
    Digest.SHA3_224: (0x2B5, 6),
    Digest.SHA3_256: (0x2B0, 7),
    Digest.SHA3_384: (0x2C0, 8),
    Digest.SHA3_512: (0x2D0, 9),
}
"""CKM_<hash> and CKG_MGF1_<hash>, the parameters of PSS and OAEP."""

_ALGORITHMS = {
    RSA_PKCS: KeyAlgorithm.RSA,
    RSA_PKCS_OAEP: KeyAlgorithm.RSA,
    RSA_PKCS_PSS: KeyAlgorithm.RSA,
    ECDSA: KeyAlgorithm.EC,
    EDDSA: KeyAlgorithm.ED25519,
} | {
    mechanism: KeyAlgorithm.EC if PARTS[scheme].padding is Padding.ECDSA else KeyAlgorithm.RSA
    for mechanism, scheme in _SCHEME_OF_HASHING.items()
}


def name_of(mechanism: int) -> str:
    """Return the mechanism as people write it: `CKM_ECDSA (0x1041)`."""
    known = NAMES.get(mechanism)
    return f"{known} ({mechanism:#x})" if known else f"{mechanism:#x}"


def algorithm_of(mechanism: int) -> KeyAlgorithm | None:
    """Return the kind of key that a configured mechanism is for; None for one that this provider cannot sign with."""
    return _ALGORITHMS.get(mechanism)


def permitted(mechanism: int) -> frozenset[SignatureScheme]:
    """Return the schemes that a key configured with this mechanism signs with.

    CKM_RSA_PKCS stands for both paddings where the token has both: Vault would need a second entry for the same key.
    CKM_RSA_PKCS_PSS means PSS only, a hashing mechanism its one scheme, CKM_RSA_PKCS_OAEP none.
    """
    single = _SCHEME_OF_HASHING.get(mechanism)
    if single is not None:
        return frozenset({single})
    paddings = {
        RSA_PKCS: {Padding.PKCS1, Padding.PSS},
        RSA_PKCS_PSS: {Padding.PSS},
        ECDSA: {Padding.ECDSA},
        EDDSA: {Padding.PURE},
    }.get(mechanism, set())
    return frozenset(scheme for scheme, parts in PARTS.items() if parts.padding in paddings)


class Operand(Enum):
    """What C_Sign is given."""

    MESSAGE = "message"
    DIGEST = "digest"
    DIGEST_INFO = "digest-info"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to make one scheme with one token. `pss` is (hash, MGF, salt length) or None."""

    mechanism: int
    operand: Operand
    pss: tuple[int, int, int] | None = None


def plan(scheme: SignatureScheme, configured: int, available: frozenset[int]) -> Plan | None:
    """Choose the mechanism. None when the token has none for this scheme.

    The configured mechanism comes first if it makes the scheme, then the raw one, then the one that hashes.
    """
    parts = PARTS[scheme]
    pss = (*HASH_NUMBERS[parts.digest], parts.digest.size) if parts.padding is Padding.PSS and parts.digest else None
    raw, hashing = _RAW[parts.padding], _HASHING.get(scheme)
    candidates = [hashing, raw] if configured == hashing else [raw, hashing]
    chosen = next((mechanism for mechanism in candidates if mechanism in available), None)
    if chosen is None:
        return None
    if chosen == hashing or parts.padding is Padding.PURE:
        return Plan(chosen, Operand.MESSAGE, pss)
    return Plan(chosen, Operand.DIGEST_INFO if parts.padding is Padding.PKCS1 else Operand.DIGEST, pss)
