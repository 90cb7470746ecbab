"""Public keys read and signatures verified, by pyca/cryptography. Imported by signer processes as well."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from managed_keys.keys import KeyAlgorithm, PublicKey, SignatureScheme
from managed_keys.schemes import PARTS, Digest, Padding

PycaPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

CURVES: dict[int, type[ec.EllipticCurve]] = {
    224: ec.SECP224R1,
    256: ec.SECP256R1,
    384: ec.SECP384R1,
    521: ec.SECP521R1,
}
"""The curves that exist here, by their length in bits."""

HASHES: dict[Digest, hashes.HashAlgorithm] = {
    Digest.SHA1: hashes.SHA1(),  # noqa: S303  # clients of test/sign and transit may name it; certificates never do
    Digest.SHA224: hashes.SHA224(),
    Digest.SHA256: hashes.SHA256(),
    Digest.SHA384: hashes.SHA384(),
    Digest.SHA512: hashes.SHA512(),
    Digest.SHA3_224: hashes.SHA3_224(),
    Digest.SHA3_256: hashes.SHA3_256(),
    Digest.SHA3_384: hashes.SHA3_384(),
    Digest.SHA3_512: hashes.SHA3_512(),
}

PSS = {digest: padding.PSS(padding.MGF1(algorithm), digest.size) for digest, algorithm in HASHES.items()}
"""The one form of PSS used: MGF1 with the same digest, salt as long as the digest."""

_PREHASHED = {digest: Prehashed(algorithm) for digest, algorithm in HASHES.items()}
_ECDSA = {digest: ec.ECDSA(prehashed) for digest, prehashed in _PREHASHED.items()}
_PKCS1 = padding.PKCS1v15()


def spki_of(key: PycaPublicKey) -> bytes:
    """Return DER SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem_of(key: PublicKey) -> str:
    """Return the public key as PEM."""
    loaded = serialization.load_der_public_key(key.spki)
    return loaded.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def public_key_of(key: PycaPublicKey) -> PublicKey:
    """Describe a public key. Raises ValueError for a curve that is not offered here."""
    spki = spki_of(key)
    match key:
        case rsa.RSAPublicKey():
            return PublicKey(spki, KeyAlgorithm.RSA, key.key_size)
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, CURVES.get(key.key_size, ())):
                raise ValueError(f"unsupported public key: curve {key.curve.name}")
            return PublicKey(spki, KeyAlgorithm.EC, key.key_size)
        case _:
            return PublicKey(spki, KeyAlgorithm.ED25519, 0)


def load_public_key(spki: bytes) -> PublicKey:
    """Read DER SubjectPublicKeyInfo. Raises ValueError when it is not a key of a kind offered here."""
    return public_key_of(_load(spki))


def normalised_spki(spki: bytes) -> bytes:
    """Encode a SubjectPublicKeyInfo anew, so that equal keys are equal octets. Raises ValueError as load_public_key."""
    return spki_of(_load(spki))


def _load(spki: bytes) -> PycaPublicKey:
    key = serialization.load_der_public_key(spki)
    if not isinstance(key, PycaPublicKey):
        raise ValueError(f"unsupported public key: {type(key).__name__}")
    return key


class Verifier:
    """Verifies signatures under one pinned public key."""

    def __init__(self, spki: bytes) -> None:
        self._key = _load(spki)

    def accepts(self, signature: bytes, scheme: SignatureScheme, message: bytes, digest: bytes) -> bool:
        """Tell whether the signature is good. `digest` is the message's under the scheme's hash, empty for Ed25519."""
        parts = PARTS[scheme]
        key = self._key
        try:
            if parts.digest is None:
                if not isinstance(key, ed25519.Ed25519PublicKey):
                    return False
                key.verify(signature, message)
            elif parts.padding is Padding.ECDSA:
                if not isinstance(key, ec.EllipticCurvePublicKey):
                    return False
                key.verify(signature, digest, _ECDSA[parts.digest])
            else:
                if not isinstance(key, rsa.RSAPublicKey):
                    return False
                form = PSS[parts.digest] if parts.padding is Padding.PSS else _PKCS1
                key.verify(signature, digest, form, _PREHASHED[parts.digest])
        except InvalidSignature:
            return False
        return True
