"""The vocabulary of keys: what a key is, what it can sign with, and the door through which engines reach one.

A key is a handle plus its pinned public key. Keys take the MESSAGE and return the X.509 encoding of the signature
(DER `ECDSA-Sig-Value` for ECDSA, the octets of RFC 8017 for RSA, of RFC 8032 for Ed25519).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # signer processes import this module, and must not pay for the host's kit
    from chancery.kit.engine import Mount


class KeyAlgorithm(StrEnum):
    """The kinds of key, as Vault's `key_type` spells them."""

    RSA = "rsa"
    EC = "ec"
    ED25519 = "ed25519"


class SignatureScheme(Enum):
    """A signature algorithm with its digest. PSS uses MGF1 with the same digest and a salt as long as the digest.

    Certificates use SHA-256, SHA-384 and SHA-512; the other digests are there for callers that name one themselves.
    """

    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PKCS1_SHA384 = "rsa-pkcs1-sha384"
    RSA_PKCS1_SHA512 = "rsa-pkcs1-sha512"
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    RSA_PSS_SHA384 = "rsa-pss-sha384"
    RSA_PSS_SHA512 = "rsa-pss-sha512"
    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"
    ECDSA_SHA512 = "ecdsa-sha512"
    ED25519 = "ed25519"
    RSA_PKCS1_SHA1 = "rsa-pkcs1-sha1"
    RSA_PKCS1_SHA224 = "rsa-pkcs1-sha224"
    RSA_PKCS1_SHA3_224 = "rsa-pkcs1-sha3-224"
    RSA_PKCS1_SHA3_256 = "rsa-pkcs1-sha3-256"
    RSA_PKCS1_SHA3_384 = "rsa-pkcs1-sha3-384"
    RSA_PKCS1_SHA3_512 = "rsa-pkcs1-sha3-512"
    RSA_PSS_SHA1 = "rsa-pss-sha1"
    RSA_PSS_SHA224 = "rsa-pss-sha224"
    RSA_PSS_SHA3_224 = "rsa-pss-sha3-224"
    RSA_PSS_SHA3_256 = "rsa-pss-sha3-256"
    RSA_PSS_SHA3_384 = "rsa-pss-sha3-384"
    RSA_PSS_SHA3_512 = "rsa-pss-sha3-512"
    ECDSA_SHA1 = "ecdsa-sha1"
    ECDSA_SHA224 = "ecdsa-sha224"
    ECDSA_SHA3_224 = "ecdsa-sha3-224"
    ECDSA_SHA3_256 = "ecdsa-sha3-256"
    ECDSA_SHA3_384 = "ecdsa-sha3-384"
    ECDSA_SHA3_512 = "ecdsa-sha3-512"


class Usage(StrEnum):
    """What a managed key may be used for."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    SIGN = "sign"
    VERIFY = "verify"
    WRAP = "wrap"
    UNWRAP = "unwrap"
    GENERATE_RANDOM = "generate_random"
    MAC = "mac"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as DER SubjectPublicKeyInfo, with the facts that callers choose schemes by."""

    spki: bytes
    algorithm: KeyAlgorithm
    bits: int
    """RSA: length of the modulus. EC: 224, 256, 384 or 521. Ed25519: 0."""


@dataclass(frozen=True, slots=True)
class ManagedKeyReference:
    """How an engine remembers a registered key: the UUID is the identity, the name is for people."""

    uuid: str
    name: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """What to generate. `bits` as in PublicKey."""

    algorithm: KeyAlgorithm
    bits: int


class ManagedKey(Protocol):
    """An open key. Safe for concurrent use; holding one holds no session and no lock."""

    @property
    def public_key(self) -> PublicKey:
        """Return the pinned public key."""
        ...

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the message. The signature has been verified under the pinned public key.

        Raises Unavailable (HSM or KMS away, may be retried) or BackendRefused (it answered no).
        """
        ...


class KeyRegistry(Protocol):
    """The only door to keys. Offered to engines as a service.

    Every key handed out wears the same guard: deadline, pinned public key, verified signatures, translated errors.
    """

    async def reference(
        self, mount: "Mount", *, name: str = "", uuid: str = "", usage: Usage = Usage.SIGN
    ) -> ManagedKeyReference:
        """Find a registered key that this mount may use, without contacting the backend.

        Exactly one of name and uuid is given. Raises BadInput: `no managed key found with name ...` or `... uuid ...`;
        refused grants say which mount lacks the key in its allowed_managed_keys and how to allow it; a usage that the
        key does not have is named.
        """
        ...

    async def open(self, mount: "Mount", uuid: str, usage: Usage = Usage.SIGN) -> ManagedKey:
        """Open a registered key; generates it in the backend when it is absent and allow_generate_key is set.

        Checks the grant and the usage each time (cheap once warm; the backend is contacted on first use only).
        Raises as `reference` does, and Unavailable or BackendRefused.
        """
        ...

    async def describe(self, mount: "Mount", uuid: str) -> ManagedKeyReference:
        """Return the present name of a key. Raises BadInput when it was deleted."""
        ...

    async def generate_software(self, mount: "Mount", key: NewKey, context: str) -> "SoftwareKey":
        """Make a software key (`internal`, `exported`), its material sealed by the barrier to mount and context."""
        ...

    async def open_software(self, mount: "Mount", sealed: bytes, context: str) -> ManagedKey:
        """Open a software key from its sealed material; cached. Raises Corrupted when it is not what was sealed."""
        ...


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """A software key just made: what the engine stores, and the key itself.

    `pkcs8` is the private key in DER, for the one answer that exports it; it is stored nowhere.
    """

    sealed: bytes
    key: ManagedKey
    pkcs8: bytes = field(repr=False)


RSA_BITS = (2048, 3072, 4096, 8192)
EC_BITS = (224, 256, 384, 521)

_DEFAULT_SCHEMES: Mapping[tuple[KeyAlgorithm, int], SignatureScheme] = {
    (KeyAlgorithm.EC, 224): SignatureScheme.ECDSA_SHA256,
    (KeyAlgorithm.EC, 256): SignatureScheme.ECDSA_SHA256,
    (KeyAlgorithm.EC, 384): SignatureScheme.ECDSA_SHA384,
    (KeyAlgorithm.EC, 521): SignatureScheme.ECDSA_SHA512,
    (KeyAlgorithm.ED25519, 0): SignatureScheme.ED25519,
}

HashBits = Literal[0, 256, 384, 512]


def choose_scheme(key: PublicKey, *, hash_bits: int = 0, pss: bool = False) -> SignatureScheme:
    """Return the scheme for a key as Vault's `signature_bits` and `use_pss` ask.

    EC keys have the digest of their curve and Ed25519 has none: `hash_bits` and `pss` concern RSA only. 0 is SHA-256.
    Raises ValueError for a combination that does not exist.
    """
    if key.algorithm is not KeyAlgorithm.RSA:
        try:
            return _DEFAULT_SCHEMES[key.algorithm, key.bits]
        except KeyError:
            raise ValueError(f"no signature scheme for {key.algorithm} keys of {key.bits} bits") from None
    if hash_bits not in {0, 256, 384, 512}:
        raise ValueError("signature_bits must be 256, 384 or 512")
    return SignatureScheme(f"rsa-{'pss' if pss else 'pkcs1'}-sha{hash_bits or 256}")
