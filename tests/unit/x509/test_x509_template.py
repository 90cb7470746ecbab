"""The template makes the bytes of the reference, for whatever can be asked, and refuses what it refuses."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509 import tbs
from ca.x509.algorithms import SCHEMES
from ca.x509.extensions import Extension
from ca.x509.names import DistinguishedName
from ca.x509.spec import CertificateSpec, IssuerIdentity
from ca.x509.template import Template, TemplateCache
from managed_keys.keys import SignatureScheme
from tests.support.x509_keys import issuer
from tests.support.x509_specs import NAMES, leaf_spec, specs

P256 = SignatureScheme.ECDSA_SHA256
ISSUERS = st.builds(IssuerIdentity, NAMES.map(DistinguishedName.encode), st.none() | st.binary(min_size=1, max_size=30))


@settings(max_examples=30)
@given(specs(), ISSUERS, st.sampled_from(sorted(SCHEMES, key=str)))
def test_template_equals_the_reference(
    spec: CertificateSpec, identity: IssuerIdentity, scheme: SignatureScheme
) -> None:
    assert TemplateCache().build(spec, identity, scheme) == tbs.build(spec, identity, scheme)


def test_one_template_serves_all_certificates_of_a_role() -> None:
    cache = TemplateCache()
    for number in range(1, 50):
        spec = leaf_spec(f"host{number}.example.com", serial=number)
        assert cache.build(spec, issuer(P256), P256) == tbs.build(spec, issuer(P256), P256)
    assert cache.compiled() == 1


def test_issuer_scheme_and_profile_each_have_a_template_of_their_own() -> None:
    cache = TemplateCache()
    one, other = leaf_spec(), replace(leaf_spec(), ext_key_usages=())
    for spec in (one, other):
        for identity in (issuer(P256), issuer(SignatureScheme.ED25519)):
            for scheme in (P256, SignatureScheme.ED25519):
                assert cache.build(spec, identity, scheme) == tbs.build(spec, identity, scheme)
    assert cache.compiled() == 8


def test_the_cache_is_bounded() -> None:
    cache = TemplateCache(size=3)
    for number in range(10):
        cache.build(replace(leaf_spec(), ext_key_usages=(f"1.2.{number}",)), issuer(P256), P256)
    assert cache.compiled() == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            replace(leaf_spec(), subject=DistinguishedName(common_name="x" * 65)),
            "common_name: must not be longer than 64",
        ),
        (
            replace(leaf_spec(), extra_extensions=(Extension("2.5.29.17", False, b"\x30\x00"),)),
            "extension 2.5.29.17 is given twice",
        ),
        (replace(leaf_spec(), extra_extensions=(Extension("2.5.29.14", False, b""),)), "2.5.29.14 is given twice"),
        (
            replace(leaf_spec(), extra_extensions=(Extension("1.2.3", False, b"a"), Extension("1.2.3", False, b"b"))),
            "extension 1.2.3 is given twice",
        ),
        (replace(leaf_spec(), ext_key_usages=("serverAuth",)), "is not an object identifier"),
        (replace(leaf_spec(), spki=b"\x30\x00"), "public key is not a SubjectPublicKeyInfo"),
    ],
)
def test_both_refuse_alike(spec: CertificateSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tbs.build(spec, issuer(P256), P256)
    with pytest.raises(ValueError, match=message):
        TemplateCache().build(spec, issuer(P256), P256)


def test_a_template_can_be_filled_by_hand() -> None:
    spec = leaf_spec()
    filled = Template.compile(issuer(P256), P256, spec.profile()).fill(
        serial=spec.serial,
        subject_der=spec.subject_der(),
        spki=spec.spki,
        ski=b"k" * 20,
        not_before=spec.not_before,
        not_after=spec.not_after,
        san_der=spec.sans.encode(),
    )
    assert filled == tbs.build(replace(spec, subject_key_identifier=b"k" * 20), issuer(P256), P256)


@pytest.mark.slow
@settings(max_examples=300)
@given(specs(), ISSUERS, st.sampled_from(sorted(SCHEMES, key=str)))
def test_template_equals_the_reference_at_length(
    spec: CertificateSpec, identity: IssuerIdentity, scheme: SignatureScheme
) -> None:
    assert TemplateCache().build(spec, identity, scheme) == tbs.build(spec, identity, scheme)
