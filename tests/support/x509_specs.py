"""Strategies for names and certificates of every shape, and a typical leaf."""

from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network

from hypothesis import strategies as st

from ca.x509.extensions import AuthorityUrls, Extension, NameConstraints, Subtrees
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import ATTRIBUTES, DistinguishedName
from ca.x509.policies import CertificatePolicy
from ca.x509.serials import MAX_SERIAL
from ca.x509.spec import CertificateSpec
from ca.x509.usages import EXT_KEY_USAGES, KeyUsage
from tests.support.x509_keys import spki

PRINTABLE = st.text("ABCabc019 '()+,-./:=?", min_size=1)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=300)
OIDS = st.builds(
    lambda first, second, rest: ".".join(map(str, (first, second, *rest))),
    st.integers(0, 2),
    st.integers(0, 39),
    st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**70)), min_size=1, max_size=8),
)
SERIALS = st.one_of(st.integers(1, 300), st.integers(1, MAX_SERIAL))
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31, 23, 59, 59), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants naive bounds


def values(field: str) -> st.SearchStrategy[str]:
    """Return values that a field of a distinguished name accepts."""
    attribute = ATTRIBUTES[field]
    if attribute.exact:
        return st.text("ABCXYZ", min_size=2, max_size=2)
    texts = PRINTABLE if attribute.printable_only else st.one_of(PRINTABLE, TEXT)
    return texts.map(lambda text: text[: attribute.limit])


def several(field: str) -> st.SearchStrategy[tuple[str, ...]]:
    """Return zero to three values for a field that takes many, repetitions included."""
    return st.lists(values(field), max_size=3).map(tuple)


NAMES = st.builds(
    DistinguishedName,
    common_name=st.one_of(st.just(""), values("common_name")),
    serial_number=st.one_of(st.just(""), values("serial_number")),
    organization=several("organization"),
    organizational_unit=several("organizational_unit"),
    country=several("country"),
    locality=several("locality"),
    province=several("province"),
    street_address=several("street_address"),
    postal_code=several("postal_code"),
    user_ids=several("user_ids"),
)


def some(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """Return tuples of zero to three."""
    return st.lists(strategy, max_size=3).map(tuple)


ALTERNATIVE_NAMES = st.builds(
    SubjectAlternativeNames,
    dns=some(VISIBLE),
    emails=some(VISIBLE),
    ips=st.lists(st.ip_addresses(), max_size=3).map(tuple),
    uris=some(VISIBLE),
    other_names=st.one_of(st.just(()), st.lists(st.tuples(OIDS, TEXT), max_size=2).map(tuple)),
)
NETWORKS = st.one_of(
    st.builds(lambda ip, bits: IPv4Network((ip, bits), strict=False), st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(lambda ip, bits: IPv6Network((ip, bits), strict=False), st.ip_addresses(v=6), st.integers(0, 128)),
)
SUBTREES = st.builds(
    Subtrees, dns=some(VISIBLE), ips=st.lists(NETWORKS, max_size=2).map(tuple), emails=some(VISIBLE), uris=some(VISIBLE)
)
POLICIES = st.builds(CertificatePolicy, OIDS, cps=some(VISIBLE), notices=some(TEXT.map(lambda text: text[:200])))
URLS = st.builds(AuthorityUrls, some(VISIBLE), some(VISIBLE), some(VISIBLE), some(VISIBLE))
EXTRA = st.lists(
    st.builds(Extension, OIDS.map("1.3.9.".__add__), st.booleans(), st.binary(max_size=200)),
    max_size=2,
    unique_by=lambda one: one.oid,
).map(tuple)


@st.composite
def specs(draw: st.DrawFn) -> CertificateSpec:
    """Draw a certificate of any kind that the encoders must be able to write."""
    is_ca = draw(st.booleans())
    not_before, not_after = sorted((draw(MOMENTS), draw(MOMENTS)))
    return CertificateSpec(
        serial=draw(SERIALS),
        subject=draw(st.one_of(NAMES, NAMES.map(DistinguishedName.encode))),
        spki=spki(draw(st.sampled_from(("p-256", "rsa-2048", "ed25519")))),
        not_before=not_before,
        not_after=not_after,
        sans=draw(ALTERNATIVE_NAMES),
        is_ca=is_ca,
        path_length=draw(st.none() | st.integers(0, 2**31 - 1)) if is_ca else None,
        key_usages=draw(st.frozensets(st.sampled_from(KeyUsage))),
        ext_key_usages=draw(some(st.one_of(OIDS, st.sampled_from(list(EXT_KEY_USAGES.values()))))),
        policies=draw(st.lists(POLICIES, max_size=2).map(tuple)),
        name_constraints=draw(st.builds(NameConstraints, SUBTREES, SUBTREES)) if is_ca else NameConstraints(),
        urls=draw(URLS),
        basic_constraints_valid_for_non_ca=draw(st.booleans()),
        subject_key_identifier=draw(st.one_of(st.just(b""), st.binary(min_size=1, max_size=40))),
        extra_extensions=draw(EXTRA),
    )


def leaf_spec(host: str = "www.example.com", *, serial: int = 0x7A << 150, key: str = "p-256") -> CertificateSpec:
    """Return what most certificates look like: one server, one year."""
    return CertificateSpec(
        serial=serial,
        subject=DistinguishedName(common_name=host, organization=("Example",), country=("US",)),
        spki=spki(key),
        not_before=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        not_after=datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC),
        sans=SubjectAlternativeNames(dns=(host, f"alt.{host}")),
        key_usages=frozenset({KeyUsage.DIGITAL_SIGNATURE}),
        ext_key_usages=(EXT_KEY_USAGES["ServerAuth"], EXT_KEY_USAGES["ClientAuth"]),
        urls=AuthorityUrls(
            issuing_certificates=("http://ca.example.com/v1/pki/ca",),
            crl_distribution_points=("http://ca.example.com/v1/pki/crl",),
            ocsp_servers=("http://ca.example.com/v1/pki/ocsp",),
        ),
    )
