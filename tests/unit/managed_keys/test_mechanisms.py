"""Which mechanism makes which signature."""

import pytest

from managed_keys.keys import KeyAlgorithm, SignatureScheme
from managed_keys.providers.pkcs11.mechanisms import Operand, Plan, algorithm_of, name_of, permitted, plan

S = SignatureScheme
SOFTHSM = frozenset({0x1, 0x9, 0xD, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x1041, 0x1057})
HASHING_ONLY = frozenset({0x40, 0x43, 0x1044})

PLANS = [
    (S.RSA_PKCS1_SHA256, 0x1, SOFTHSM, Plan(0x1, Operand.DIGEST_INFO)),
    (S.RSA_PKCS1_SHA256, 0x40, SOFTHSM, Plan(0x40, Operand.MESSAGE)),
    (S.RSA_PKCS1_SHA256, 0x1, HASHING_ONLY, Plan(0x40, Operand.MESSAGE)),
    (S.RSA_PSS_SHA384, 0xD, SOFTHSM, Plan(0xD, Operand.DIGEST, (0x260, 3, 48))),
    (S.RSA_PSS_SHA256, 0x43, SOFTHSM, Plan(0x43, Operand.MESSAGE, (0x250, 2, 32))),
    (S.RSA_PSS_SHA3_256, 0xD, SOFTHSM, Plan(0xD, Operand.DIGEST, (0x2B0, 7, 32))),
    (S.ECDSA_SHA256, 0x1041, SOFTHSM, Plan(0x1041, Operand.DIGEST)),
    (S.ECDSA_SHA256, 0x1041, HASHING_ONLY, Plan(0x1044, Operand.MESSAGE)),
    (S.ECDSA_SHA3_512, 0x1041, HASHING_ONLY, None),
    (S.ED25519, 0x1057, SOFTHSM, Plan(0x1057, Operand.MESSAGE)),
    (S.ED25519, 0x1057, HASHING_ONLY, None),
]


@pytest.mark.parametrize(("scheme", "configured", "available", "expected"), PLANS)
def test_plans(scheme: SignatureScheme, configured: int, available: frozenset[int], expected: Plan | None) -> None:
    assert plan(scheme, configured, available) == expected


def test_the_mechanism_limits_the_schemes() -> None:
    both = permitted(0x1)
    assert {S.RSA_PKCS1_SHA256, S.RSA_PSS_SHA512} <= both
    assert permitted(0xD) == {scheme for scheme in both if scheme.value.startswith("rsa-pss")}
    assert permitted(0x41) == {S.RSA_PKCS1_SHA384}
    assert permitted(0x1045) == {S.ECDSA_SHA384}
    assert permitted(0x9) == permitted(0x1082) == frozenset()
    assert permitted(0x1057) == {S.ED25519}


def test_mechanisms_tell_the_kind_of_key() -> None:
    assert algorithm_of(0x9) is KeyAlgorithm.RSA
    assert algorithm_of(0x1044) is KeyAlgorithm.EC
    assert algorithm_of(0x1057) is KeyAlgorithm.ED25519
    assert algorithm_of(0x1082) is None


def test_mechanisms_have_names_for_people() -> None:
    assert name_of(0x1041) == "CKM_ECDSA (0x1041)"
    assert name_of(0x80000123) == "0x80000123"
