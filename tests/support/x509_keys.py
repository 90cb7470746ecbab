"""Software keys and signatures for tests of encodings: one key for each scheme, made when first asked for."""

from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from ca.x509.names import DistinguishedName
from ca.x509.public_keys import ski, spki_of
from ca.x509.spec import IssuerIdentity
from managed_keys.keys import SignatureScheme

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

KEY_TYPES = ("rsa-2048", "rsa-3072", "p-224", "p-256", "p-384", "p-521", "ed25519")

_CURVES = {"p-224": ec.SECP224R1(), "p-256": ec.SECP256R1(), "p-384": ec.SECP384R1(), "p-521": ec.SECP521R1()}
_DIGESTS = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


@cache
def private_key(kind: str) -> PrivateKey:
    """Return the test run's one key of a kind from KEY_TYPES."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[kind])


def spki(kind: str) -> bytes:
    """Return the DER SubjectPublicKeyInfo of the key of a kind."""
    return spki_of(private_key(kind).public_key())


def key_for(scheme: SignatureScheme) -> PrivateKey:
    """Return a key that can sign with the scheme."""
    if scheme is SignatureScheme.ED25519:
        return private_key("ed25519")
    if scheme.value.startswith("rsa"):
        return private_key("rsa-2048")
    return private_key({"256": "p-256", "384": "p-384", "512": "p-521"}[scheme.value[-3:]])


def sign(message: bytes, scheme: SignatureScheme) -> bytes:
    """Sign as a managed key would: the message, with the X.509 encoding of the signature as the answer."""
    key = key_for(scheme)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    digest = _DIGESTS[scheme.value.rpartition("-")[2]]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(digest))
    if "pss" in scheme.value:
        return key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(message, padding.PKCS1v15(), digest)


def issuer(scheme: SignatureScheme) -> IssuerIdentity:
    """Return the identity of the issuer whose key `sign` uses for this scheme."""
    name = DistinguishedName(common_name=f"Test CA {scheme.value}", organization=("Chancery tests",))
    return IssuerIdentity(name.encode(), ski(spki_of(key_for(scheme).public_key())))
