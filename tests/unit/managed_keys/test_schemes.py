"""Encodings against golden vectors and against pyca, which has its own."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from managed_keys.keys import KeyAlgorithm, PublicKey, SignatureScheme, choose_scheme
from managed_keys.schemes import PARTS, Digest, Padding, digest_info, ecdsa_der, ecdsa_raw, schemes_of
from managed_keys.software import PrivateKey, sign
from managed_keys.verification import Verifier, load_public_key, public_key_of, spki_of

# RFC 8017 section 9.2, note 1, and for SHA-3 the OIDs of NIST's CSOR.
DIGEST_INFO = {
    Digest.SHA1: "3021300906052b0e03021a05000414",
    Digest.SHA224: "302d300d06096086480165030402040500041c",
    Digest.SHA256: "3031300d060960864801650304020105000420",
    Digest.SHA384: "3041300d060960864801650304020205000430",
    Digest.SHA512: "3051300d060960864801650304020305000440",
    Digest.SHA3_224: "302d300d06096086480165030402070500041c",
    Digest.SHA3_256: "3031300d060960864801650304020805000420",
    Digest.SHA3_384: "3041300d060960864801650304020905000430",
    Digest.SHA3_512: "3051300d060960864801650304020a05000440",
}

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[Padding, PrivateKey] = {Padding.PKCS1: RSA, Padding.PSS: RSA, Padding.ECDSA: EC, Padding.PURE: ED}


@pytest.mark.parametrize("digest", Digest)
def test_digest_info_is_the_standards(digest: Digest) -> None:
    value = digest.of(b"message")
    assert digest_info(digest, value) == bytes.fromhex(DIGEST_INFO[digest]) + value
    assert len(value) == digest.size


def test_digests_are_the_named_functions() -> None:
    assert Digest.SHA1.of(b"") == hashlib.sha1().digest()
    assert Digest.SHA3_384.of(b"x") == hashlib.sha3_384(b"x").digest()
    assert Digest.SHA512.of(b"x") == hashlib.sha512(b"x").digest()


@pytest.mark.parametrize("digest", Digest)
def test_digest_info_is_what_pyca_pads(digest: Digest) -> None:
    """A PKCS #1 v1.5 signature opened with the bare public operation shows the DigestInfo inside."""
    scheme = SignatureScheme(f"rsa-pkcs1-{digest.value}")
    numbers = RSA.public_key().public_numbers()
    opened = pow(int.from_bytes(sign(RSA, b"message", scheme), "big"), numbers.e, numbers.n).to_bytes(256, "big")
    assert opened.endswith(b"\x00" + digest_info(digest, digest.of(b"message")))


@given(r=st.integers(1, 2**521 - 1), s=st.integers(1, 2**521 - 1))
def test_ecdsa_encoding_agrees_with_pyca(r: int, s: int) -> None:
    raw = r.to_bytes(66, "big") + s.to_bytes(66, "big")
    assert ecdsa_der(raw) == encode_dss_signature(r, s)
    assert ecdsa_raw(ecdsa_der(raw), 66) == raw


def test_ecdsa_golden_vectors() -> None:
    assert ecdsa_der(bytes.fromhex("01" + "80")).hex() == "3007020101020200" + "80"
    assert ecdsa_der(b"\x00\x00").hex() == "3006020100020100"
    assert ecdsa_der(b"\xff" * 132).hex().startswith("30818a024300ff")


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x01" * 65, b"\x01" * 134])
def test_ecdsa_refuses_odd_lengths(raw: bytes) -> None:
    with pytest.raises(ValueError, match="equal halves"):
        ecdsa_der(raw)


@pytest.mark.parametrize("der", ["", "30", "3006020101", "3007020101020101", "300702020001020101", "30060201010301ff"])
def test_ecdsa_raw_refuses_what_is_not_der(der: str) -> None:
    with pytest.raises(ValueError, match="ECDSA"):
        ecdsa_raw(bytes.fromhex(der), 32)


def test_ecdsa_raw_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ecdsa_raw(encode_dss_signature(2**300, 1), 32)


@given(st.binary(max_size=80))
def test_ecdsa_raw_survives_anything(der: bytes) -> None:
    try:
        raw = ecdsa_raw(der, 32)
    except ValueError:
        return
    assert ecdsa_der(raw) == der


@pytest.mark.parametrize("scheme", SignatureScheme)
def test_every_scheme_signs_and_verifies(scheme: SignatureScheme) -> None:
    parts = PARTS[scheme]
    key = KEYS[parts.padding]
    public = public_key_of(key.public_key())
    assert scheme in schemes_of(public)
    digest = parts.digest.of(b"message") if parts.digest else b""
    verifier = Verifier(public.spki)
    signature = sign(key, b"message", scheme)
    assert verifier.accepts(signature, scheme, b"message", digest)
    assert not verifier.accepts(signature[:-1] + bytes([signature[-1] ^ 1]), scheme, b"message", digest)


def test_verifier_refuses_schemes_of_other_keys() -> None:
    for scheme in (SignatureScheme.ED25519, SignatureScheme.ECDSA_SHA256, SignatureScheme.RSA_PKCS1_SHA256):
        fitting = KEYS[PARTS[scheme].padding]
        for key in (RSA, EC, ED):
            if key is not fitting:
                assert not Verifier(spki_of(key.public_key())).accepts(b"s", scheme, b"m", b"d" * 32)


def test_public_keys_are_described() -> None:
    assert load_public_key(spki_of(RSA.public_key())).bits == 2048
    assert load_public_key(spki_of(ED.public_key())).algorithm is KeyAlgorithm.ED25519
    other_curve = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
    with pytest.raises(ValueError, match="unsupported public key"):
        public_key_of(other_curve)


def test_choice_of_scheme() -> None:
    rsa_key = PublicKey(b"", KeyAlgorithm.RSA, 2048)
    assert choose_scheme(rsa_key) is SignatureScheme.RSA_PKCS1_SHA256
    assert choose_scheme(rsa_key, hash_bits=512, pss=True) is SignatureScheme.RSA_PSS_SHA512
    assert choose_scheme(PublicKey(b"", KeyAlgorithm.EC, 521), hash_bits=256) is SignatureScheme.ECDSA_SHA512
    with pytest.raises(ValueError, match="signature_bits"):
        choose_scheme(rsa_key, hash_bits=224)
