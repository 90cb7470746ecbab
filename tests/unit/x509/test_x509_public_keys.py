"""Public keys: what they are, their identifiers, and the weak ones."""

from math import prod

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.x509 import der
from ca.x509.public_keys import describe, describe_unchecked, load, ski, spki_of
from ca.x509.weak_rsa import refuse_weak_modulus
from managed_keys.keys import KeyAlgorithm, PublicKey
from tests.support.x509_keys import KEY_TYPES, private_key, spki

RSA_ENCRYPTION = der.sequence(der.oid("1.2.840.113549.1.1.1"), b"\x05\x00")
EC_P256 = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"))


def rsa_spki(modulus: int, exponent: int = 65537) -> bytes:
    """Return an RSA key that need not be one that anybody would make."""
    return der.sequence(RSA_ENCRYPTION, der.bit_string(der.sequence(der.integer(modulus), der.integer(exponent))))


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_good_keys(kind: str) -> None:
    family, _, size = kind.partition("-")
    algorithm = {"rsa": KeyAlgorithm.RSA, "p": KeyAlgorithm.EC, "ed25519": KeyAlgorithm.ED25519}[family]
    assert describe(spki(kind)) == PublicKey(spki(kind), algorithm, int(size or 0))
    assert describe_unchecked(spki(kind)) == describe(spki(kind))
    assert spki_of(load(spki(kind))) == spki(kind)
    key = private_key(kind).public_key()
    assert ski(spki(kind)) == x509.SubjectKeyIdentifier.from_public_key(key).digest


def test_rsa_keys_for_pss_only_are_keys() -> None:
    pss = spki("rsa-2048").replace(RSA_ENCRYPTION, der.sequence(der.oid("1.2.840.113549.1.1.10")))
    body = pss[4:]
    assert describe(der.tlv(der.SEQUENCE, body)).bits == 2048


MODULUS = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (rsa_spki((1 << 2046) + 1), "must have 2048 to 8192 bits, this one has 2047"),
        (rsa_spki((1 << 1023) + 1), "this one has 1024"),
        (rsa_spki((1 << 8192) + 1), "this one has 8193"),
        (rsa_spki(MODULUS, 1), "malformed, unsafe"),
        (rsa_spki(MODULUS, 65536), "malformed, unsafe"),
        (rsa_spki(MODULUS, (1 << 256) + 1), "exponent must be odd"),
        (rsa_spki((1 << 2047) + 2), "divisible by a small prime"),
        (rsa_spki(751 * ((1 << 2047) // 751) + 751), "divisible by a small prime"),
        (der.sequence(EC_P256, der.bit_string(b"\x00")), "malformed"),
        (der.sequence(EC_P256, der.bit_string(b"\x04" + bytes(63) + b"\x01")), "malformed"),
        (der.sequence(EC_P256, der.bit_string(b"")), "malformed"),
        (b"", "malformed"),
        (b"\x30\x00", "malformed"),
        (spki("p-256") + b"\x00", "malformed"),
    ],
    ids=range(14),
)
def test_bad_keys(key: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe(key)


def test_other_kinds_of_key() -> None:
    for key in (x25519.X25519PrivateKey.generate(), dsa.generate_private_key(1024)):
        with pytest.raises(ValueError, match="key type is not supported"):
            describe(spki_of(key.public_key()))
    for curve in (ec.SECP256K1(), ec.BrainpoolP256R1()):
        with pytest.raises(ValueError, match="elliptic curve is not supported; use P-224, P-256, P-384, P-521"):
            describe(spki_of(ec.generate_private_key(curve).public_key()))


def test_compressed_points_are_refused() -> None:
    public = private_key("p-256").public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    with pytest.raises(ValueError, match="uncompressed"):
        describe(der.sequence(EC_P256, der.bit_string(point)))


def test_the_fingerprint_of_a_broken_generator() -> None:
    primes = [p for p in range(2, 168) if all(p % q for q in range(2, p))]
    product = prod(primes)
    modulus = pow(65537, 12345, product) + product * ((1 << 1800) + 1)
    while not modulus % 2 or any(modulus % p == 0 for p in range(3, 752, 2)):
        modulus += product
    with pytest.raises(ValueError, match="CVE-2017-15361"):
        refuse_weak_modulus(modulus)
    refuse_weak_modulus(MODULUS)


@pytest.mark.parametrize("malformed", [b"", b"\x30\x00", b"\x05\x00", der.sequence(EC_P256, b"\x03\x02\x01\x00")])
def test_identifiers_of_what_is_no_key(malformed: bytes) -> None:
    with pytest.raises(ValueError, match=r"malformed DER|not a SubjectPublicKeyInfo"):
        ski(malformed)
