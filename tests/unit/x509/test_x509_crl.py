"""CRLs: equal to asn1crypto's, read by pyca, and fast enough for a bad day."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import core, crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.x509.algorithms import SCHEMES, algorithm_identifier
from ca.x509.crl import IssuingDistributionPoint, RevocationReason, RevokedEntry, assemble, build_crl_tbs
from managed_keys.keys import SignatureScheme
from tests.support.x509_keys import issuer, key_for, sign
from tests.support.x509_specs import SERIALS

P256 = SignatureScheme.ECDSA_SHA256
THIS = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEXT = THIS + timedelta(days=3)
REVOKED = [
    RevokedEntry(0x1234, THIS - timedelta(days=1)),
    RevokedEntry((1 << 159) - 1, THIS - timedelta(days=2), RevocationReason.KEY_COMPROMISE),
]

MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants naive bounds
ENTRIES = st.lists(st.builds(RevokedEntry, SERIALS, MOMENTS, st.sampled_from(RevocationReason)), max_size=5)


def as_time(moment: datetime) -> asn1_x509.Time:
    """Return the asn1crypto Time of a moment."""
    whole = moment.replace(microsecond=0)
    if whole.year < 2050:
        return asn1_x509.Time("utc_time", core.UTCTime(whole))
    return asn1_x509.Time("general_time", core.GeneralizedTime(whole))


def reference(revoked: Sequence[RevokedEntry], number: int, base: int | None, point: str) -> bytes:
    """Build the same list with asn1crypto alone."""
    identity = issuer(P256)
    extensions: list[dict[str, object]] = [
        {
            "extn_id": "authority_key_identifier",
            "critical": False,
            "extn_value": {"key_identifier": identity.key_identifier},
        },
        {"extn_id": "crl_number", "critical": False, "extn_value": number},
    ]
    if base is not None:
        extensions.append({"extn_id": "delta_crl_indicator", "critical": True, "extn_value": base})
    if point:
        name = asn1_x509.GeneralName("uniform_resource_identifier", point)
        value = {"distribution_point": asn1_x509.DistributionPointName("full_name", [name])}
        extensions.append({"extn_id": "issuing_distribution_point", "critical": True, "extn_value": value})
    entries = [
        {
            "user_certificate": one.serial,
            "revocation_date": as_time(one.revoked_at),
            **(
                {"crl_entry_extensions": [{"extn_id": "crl_reason", "extn_value": crl.CRLReason(int(one.reason))}]}
                if one.reason
                else {}
            ),
        }
        for one in revoked
    ]
    fields = {
        "version": "v2",
        "signature": asn1_x509.SignedDigestAlgorithm.load(algorithm_identifier(P256)),
        "issuer": asn1_x509.Name.load(identity.name_der),
        "this_update": as_time(THIS),
        "next_update": as_time(NEXT),
        "crl_extensions": extensions,
    }
    return bytes(crl.TbsCertList(fields | ({"revoked_certificates": entries} if entries else {})).dump())


@settings(max_examples=50)
@given(ENTRIES, st.integers(1, 1 << 70), st.booleans(), st.sampled_from(("", "http://ca.example.com/crl")))
def test_equals_asn1crypto(revoked: list[RevokedEntry], number: int, delta: bool, point: str) -> None:
    base = number - 1 if delta else None
    built = build_crl_tbs(
        issuer(P256),
        P256,
        number=number,
        this_update=THIS,
        next_update=NEXT,
        revoked=revoked,
        base_crl_number=base,
        issuing_distribution_point=IssuingDistributionPoint(urls=(point,)) if point else None,
    )
    assert built == reference(revoked, number, base, point)


@pytest.mark.parametrize("scheme", sorted(SCHEMES, key=str))
def test_pyca_reads_and_verifies(scheme: SignatureScheme) -> None:
    tbs = build_crl_tbs(issuer(scheme), scheme, number=7, this_update=THIS, next_update=NEXT, revoked=REVOKED)
    loaded = x509.load_der_x509_crl(assemble(tbs, scheme, sign(tbs, scheme)))
    assert loaded.is_signature_valid(key_for(scheme).public_key())
    assert loaded.issuer.public_bytes() == issuer(scheme).name_der
    assert (loaded.last_update_utc, loaded.next_update_utc) == (THIS, NEXT)
    assert loaded.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert [one.serial_number for one in loaded] == [one.serial for one in REVOKED]
    assert not list(loaded[0].extensions)
    reason = loaded[1].extensions.get_extension_for_class(x509.CRLReason)
    assert reason.value.reason is x509.ReasonFlags.key_compromise
    assert not reason.critical


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (IssuingDistributionPoint(only_user_certificates=True), (True, False)),
        (IssuingDistributionPoint(only_ca_certificates=True, urls=("http://x/crl",)), (False, True)),
    ],
)
def test_issuing_distribution_points(point: IssuingDistributionPoint, expected: tuple[bool, bool]) -> None:
    tbs = build_crl_tbs(
        issuer(P256),
        P256,
        number=1,
        this_update=THIS,
        next_update=NEXT,
        revoked=[],
        issuing_distribution_point=point,
    )
    loaded = x509.load_der_x509_crl(assemble(tbs, P256, sign(tbs, P256)))
    extension = loaded.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert extension.critical
    assert (extension.value.only_contains_user_certs, extension.value.only_contains_ca_certs) == expected
    assert len(loaded) == 0


def test_a_hundred_thousand_entries() -> None:
    revoked = (RevokedEntry(serial, THIS, RevocationReason.SUPERSEDED) for serial in range(1, 100_001))
    tbs = build_crl_tbs(issuer(P256), P256, number=1, this_update=THIS, next_update=NEXT, revoked=revoked)
    loaded = x509.load_der_x509_crl(assemble(tbs, P256, sign(tbs, P256)))
    assert len(loaded) == 100_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"next_update": THIS - timedelta(seconds=1)}, "next_update must not be before this_update"),
        ({"base_crl_number": 7}, "a delta CRL must be newer than its base"),
        ({"issuing_distribution_point": IssuingDistributionPoint()}, "must say something"),
        (
            {"issuing_distribution_point": IssuingDistributionPoint(("http://ä",))},
            "distribution point 'http://ä' must be",
        ),
        (
            {"issuing_distribution_point": IssuingDistributionPoint((), True, True)},
            "cannot be for user certificates only and for CA certificates only",
        ),
        ({"revoked": [RevokedEntry(-1, THIS)]}, "negative"),
        ({"this_update": datetime(2026, 1, 1)}, "must be in UTC"),  # noqa: DTZ001  # a naive time is the point
        ({"scheme": SignatureScheme.ECDSA_SHA1}, "nothing of X"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    arguments = {"scheme": P256, "number": 7, "this_update": THIS, "next_update": THIS, "revoked": []} | change
    if "this_update" in change:
        arguments["next_update"] = change["this_update"]
    with pytest.raises(ValueError, match=message):
        build_crl_tbs(issuer(P256), **arguments)  # type: ignore[arg-type]  # a table of arguments of many types
