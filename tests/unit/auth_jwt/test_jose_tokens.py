"""Tokens that are verified, and everything that must not be."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from chancery.auth.jose.keys import VerificationKey, key_of_pem, keys_of_set
from chancery.auth.jose.tokens import ALGORITHMS, MAX_TOKEN, KeyMissing, TokenRefused, verified
from tests.support import auth_tokens as mint
from tests.support.auth_pki import authority

CLAIMS = {"sub": "somebody"}
KEYS = (key_of_pem(mint.public_pem(mint.RSA)),)
PEM = mint.public_pem(mint.RSA).encode()


def _named(*keys: dict[str, Any]) -> tuple[VerificationKey, ...]:
    return keys_of_set(mint.jwks(*keys))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *((mint.RSA, name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        *((mint.P256, "ES256"), (mint.P384, "ES384"), (mint.ED25519, "EdDSA"), (mint.ED25519, "Ed25519")),
    ],
)
def test_every_algorithm_verifies(key: mint.PrivateKey, algorithm: str) -> None:
    token = mint.token(CLAIMS, key, algorithm)
    assert verified(token, (key_of_pem(mint.public_pem(key)),), [algorithm]) == CLAIMS
    assert verified(token, _named(mint.jwk(key)), [algorithm]) == CLAIMS


FORGED = {
    "another key": mint.token(CLAIMS, mint.STRANGER),
    "no signature": mint.compact({"alg": "RS256"}, CLAIMS, lambda _: b""),
    "alg none": mint.compact({"alg": "none"}, CLAIMS, lambda _: b""),
    "alg None": mint.compact({"alg": "None"}, CLAIMS, lambda _: b""),
    "alg missing": mint.compact({}, CLAIMS, mint.signer(mint.RSA, "RS256")),
    "alg a list": mint.compact({"alg": ["RS256"]}, CLAIMS, mint.signer(mint.RSA, "RS256")),
    "alg of another case": mint.compact({"alg": "rs256"}, CLAIMS, mint.signer(mint.RSA, "RS256")),
    "HMAC with the public key": mint.compact({"alg": "HS256"}, CLAIMS, mint.hmac_signer(PEM)),
    "HMAC with the stripped public key": mint.compact({"alg": "HS256"}, CLAIMS, mint.hmac_signer(PEM.strip())),
    "HMAC with nothing": mint.compact({"alg": "HS256"}, CLAIMS, mint.hmac_signer(b"")),
    "an algorithm that is not allowed": mint.token(CLAIMS, algorithm="RS512"),
    "PSS under the name of PKCS#1": mint.compact({"alg": "RS256"}, CLAIMS, mint.signer(mint.RSA, "PS256")),
    "its own key in the header": mint.compact(
        {"alg": "RS256", "jwk": mint.jwk(mint.STRANGER)}, CLAIMS, mint.signer(mint.STRANGER, "RS256")
    ),
    "its own key set in the header": mint.compact(
        {"alg": "RS256", "jku": "https://stranger.example/keys"}, CLAIMS, mint.signer(mint.STRANGER, "RS256")
    ),
    "critical extension": mint.token(CLAIMS, crit=["exp"], exp=1),
    "unencoded payload": mint.token(CLAIMS, crit=["b64"], b64=False),
    "b64 without crit": mint.token(CLAIMS, b64=False),
    "kid no text": mint.token(CLAIMS, kid=7),
    "claims a list": mint.compact({"alg": "RS256"}, b"[1]", mint.signer(mint.RSA, "RS256")),
    "claims no JSON": mint.compact({"alg": "RS256"}, b"{", mint.signer(mint.RSA, "RS256")),
    "claims not UTF-8": mint.compact({"alg": "RS256"}, b'{"a":"\xff"}', mint.signer(mint.RSA, "RS256")),
    "claims with NaN": mint.compact({"alg": "RS256"}, b'{"exp":NaN}', mint.signer(mint.RSA, "RS256")),
    "claims nested without end": mint.compact(
        {"alg": "RS256"}, b'{"a":' * 5000 + b"1" + b"}" * 5000, mint.signer(mint.RSA, "RS256")
    ),
    "header nested without end": mint.compact(
        b'{"alg":"RS256","a":' + b"[" * 3000 + b"]" * 3000 + b"}", CLAIMS, mint.signer(mint.RSA, "RS256")
    ),
    "header nested to the limit": mint.compact(
        b'{"alg":"RS256","a":' + b"[" * 990 + b"]" * 990 + b"}", CLAIMS, mint.signer(mint.STRANGER, "RS256")
    ),
    "header a list": mint.compact(b'["alg"]', CLAIMS, mint.signer(mint.RSA, "RS256")),
    "header too large": mint.token(CLAIMS, x5c=["A" * 20_000]),
    "too long": mint.token({"a": "b" * MAX_TOKEN}),
    "empty": "",
    "dots": "..",
    "two parts": "a.b",
    "five parts (JWE)": "a.b.c.d.e",
    "not ASCII": "é.é.é",
    "JSON serialization": json.dumps({"payload": "", "signatures": []}),
    "with spaces": mint.token(CLAIMS).replace(".", " ."),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_nothing_forged_is_believed(forged: str) -> None:
    with pytest.raises(TokenRefused):
        verified(forged, KEYS, ["RS256"])


def test_a_changed_character_anywhere_is_noticed() -> None:
    token = mint.token(CLAIMS)
    header, payload, signature = token.split(".")
    other = mint.token({"sub": "root"}).split(".")[1]
    for changed in (f"{header}.{other}.{signature}", f"{header}.{payload}.{signature[:-8]}AAAAAAAA", f"{token}AA"):
        with pytest.raises(TokenRefused):
            verified(changed, KEYS, ["RS256"])


def test_configuration_cannot_allow_what_is_unsafe() -> None:
    assert not {"none", "HS256", "HS384", "HS512"}.intersection(ALGORITHMS)
    with pytest.raises(TokenRefused):
        verified(FORGED["HMAC with the public key"], KEYS, ["HS256"])
    with pytest.raises(TokenRefused):
        verified(FORGED["alg none"], KEYS, ["none"])


def test_the_kid_chooses_the_key() -> None:
    keys = _named(mint.jwk(mint.RSA, kid="one"), mint.jwk(mint.STRANGER, kid="two"))
    assert verified(mint.token(CLAIMS, kid="one"), keys, ["RS256"]) == CLAIMS
    with pytest.raises(TokenRefused) as caught:
        verified(mint.token(CLAIMS, kid="two"), keys, ["RS256"])
    assert not isinstance(caught.value, KeyMissing)


def test_an_unknown_kid_says_that_a_newer_set_may_help() -> None:
    with pytest.raises(KeyMissing):
        verified(mint.token(CLAIMS, kid="three"), _named(mint.jwk(mint.RSA, kid="one")), ["RS256"])


def test_without_a_kid_every_key_is_tried() -> None:
    keys = _named(mint.jwk(mint.STRANGER, kid="two"), mint.jwk(mint.RSA, kid="one"))
    assert verified(mint.token(CLAIMS), keys, ["RS256"]) == CLAIMS


def test_a_key_is_used_for_its_own_algorithm_only() -> None:
    keys = _named(mint.jwk(mint.RSA, alg="RS512"))
    with pytest.raises(TokenRefused):
        verified(mint.token(CLAIMS), keys, ["RS256", "RS512"])
    with pytest.raises(TokenRefused):
        verified(mint.token(CLAIMS, mint.P384, "ES384"), _named(mint.jwk(mint.P256)), ["ES384", "ES256"])


def test_a_set_gives_only_keys_that_verify() -> None:
    small = rsa.generate_private_key(65537, 1024)
    unfit: list[dict[str, Any]] = [
        {"kty": "oct", "k": mint.encode(b"secret")},
        mint.jwk(mint.RSA, use="enc"),
        mint.jwk(mint.RSA, key_ops=["encrypt"]),
        mint.jwk(mint.RSA, kid=5),
        mint.jwk(small),
        mint.jwk(mint.P256) | {"crv": "secp256k1"},
        mint.jwk(mint.P256) | {"y": mint.jwk(mint.P256)["x"]},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": ["RSA"]},
        {"kty": "RSA"},
    ]
    found = keys_of_set(mint.jwks(*unfit, mint.jwk(mint.ED25519, kid="good", use="sig", key_ops=["verify"])))
    assert [key.kid for key in found] == ["good"]


def test_private_members_are_not_even_read() -> None:
    (found,) = keys_of_set(mint.jwks(mint.jwk(mint.P256, d=mint.encode(bytes(32)), kid="k")))
    assert not found.key.is_private


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 1}', mint.jwks(*[{"kty": "RSA"}] * 101)])
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="key set"):
        keys_of_set(body)


def test_pem_keys_and_certificates_are_read() -> None:
    holder = authority()
    token = mint.token(CLAIMS, holder.key, "ES256")
    assert verified(token, (key_of_pem(holder.pem),), ["ES256"]) == CLAIMS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        mint.public_pem(rsa.generate_private_key(65537, 1024)),
        mint.public_pem(ec.generate_private_key(ec.SECP256K1())),
        authority().key_pem,
    ],
)
def test_unfit_pem_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        key_of_pem(text)


@given(st.text(max_size=200) | st.builds(".".join, st.lists(st.text("abcdefABCDEF_-09=", max_size=40), max_size=5)))
def test_no_text_does_more_than_being_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        verified(text, KEYS, ["RS256"])
