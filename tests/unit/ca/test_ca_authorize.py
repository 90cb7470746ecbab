"""Requests judged under roles. Every rule has a case that passes and one that is refused, in Vault's words."""

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ca.authorize import AskedCertificate, IssuancePlan, authorize
from ca.errors import RequestRefused
from ca.hostnames import AskedName
from ca.roles import WriteRole, complete
from ca.rules import RoleRules
from ca.validity import Limits
from tests.support.ca_requests import dns, parsed_csr

NOW = datetime(2030, 6, 1, tzinfo=UTC)
LIMITS = Limits(default_ttl=86400, max_ttl=86400 * 30, issuer_not_after=NOW + timedelta(days=365))
ANY = {"allow_any_name": True, "key_type": "ec"}
ONE_IP = (ipaddress.ip_address("10.1.2.3"),)


def rules(**settings: Any) -> RoleRules:
    return RoleRules.compile(complete(WriteRole.parse({"name": "r", **ANY, **settings})))


def plan(asked: AskedCertificate, **settings: Any) -> IssuancePlan:
    return authorize(rules(**settings), asked, LIMITS, NOW)


def refusal(asked: AskedCertificate, **settings: Any) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        plan(asked, **settings)
    return caught.value


def test_the_common_name_is_repeated_among_the_names_and_first() -> None:
    made = plan(AskedCertificate(common_name="a.com", alt_names=("z.com", "b.com", "a.com", "x@b.com", "10.0.0.1")))
    assert made.subject.common_name == "a.com"
    assert made.sans.dns == ("a.com", "z.com", "b.com")
    assert made.sans.emails == ("x@b.com",)
    assert made.sans.ips == (ipaddress.ip_address("10.0.0.1"),)


@pytest.mark.parametrize(
    ("common_name", "settings", "kind", "value"),
    [
        ("x@b.com", {}, "emails", ("x@b.com",)),
        ("10.0.0.1", {}, "ips", (ipaddress.ip_address("10.0.0.1"),)),
        ("bücher.example", {}, "dns", ("xn--bcher-kva.example",)),
        ("*.a.com", {}, "dns", ("*.a.com",)),
        ("Somebody Real", {"enforce_hostnames": False}, "dns", ()),
        ("a*.b.com", {}, "dns", ()),
    ],
)
def test_the_common_name_goes_where_it_belongs(
    common_name: str, settings: dict[str, Any], kind: str, value: tuple[object, ...]
) -> None:
    assert getattr(plan(AskedCertificate(common_name=common_name), **settings).sans, kind) == value


def test_the_common_name_can_be_kept_out() -> None:
    asked = AskedCertificate(common_name="a.com", alt_names=("b.com",), exclude_cn_from_sans=True)
    assert plan(asked).sans.dns == ("b.com",)


REFUSALS: list[tuple[AskedCertificate, dict[str, Any], str, str]] = [
    (
        AskedCertificate(common_name="foo.com"),
        {"allow_any_name": False},
        "common_name",
        "common name foo.com not allowed by this role",
    ),
    (
        AskedCertificate(common_name="a.com", alt_names=("foo.com",)),
        {"allow_any_name": False, "allowed_domains": "a.com", "allow_bare_domains": True},
        "alt_names",
        "subject alternate name foo.com not allowed by this role",
    ),
    (
        AskedCertificate(common_name="a.com", alt_names=("x@foo.com",)),
        {"allow_any_name": False, "allowed_domains": "a.com", "allow_bare_domains": True},
        "alt_names",
        "email address x@foo.com not allowed by this role",
    ),
    (
        AskedCertificate(common_name="a.com", alt_names=("sp ace",)),
        {},
        "alt_names",
        "subject alternate name sp ace is neither a host name nor an email address",
    ),
    (
        AskedCertificate(common_name="a.com", ips=ONE_IP),
        {"allow_ip_sans": False},
        "ip_sans",
        "IP Subject Alternative Names are not allowed in this role, but was provided via the API",
    ),
    (
        AskedCertificate(common_name="a.com", ips=ONE_IP),
        {"allowed_ip_sans_cidr": "192.168.0.0/16"},
        "ip_sans",
        'the IP address "10.1.2.3" is not allowed in this role',
    ),
    (
        AskedCertificate(common_name="10.1.2.3"),
        {"allowed_ip_sans_cidr": "192.168.0.0/16"},
        "ip_sans",
        'the IP address "10.1.2.3" is not allowed in this role',
    ),
    (
        AskedCertificate(common_name="a.com", uris=("spiffe://a/b",)),
        {},
        "uri_sans",
        "URI Subject Alternative Names are not allowed in this role, but were provided via the API",
    ),
    (
        AskedCertificate(common_name="a.com", uris=("spiffe://a/b",)),
        {"allowed_uri_sans": "spiffe://a/c"},
        "uri_sans",
        "URI Subject Alternative Names were provided via the API which are not valid for this role",
    ),
    (
        AskedCertificate(common_name="a.com", uris=("%%%",)),
        {"allowed_uri_sans": "*"},
        "uri_sans",
        'the provided URI Subject Alternative Name "%%%" is not a valid URI',
    ),
    (
        AskedCertificate(common_name="a.com", other_names=(("1.2.3", "foo"),)),
        {"allowed_other_sans": "1.2.4;utf8:*"},
        "other_sans",
        "other SAN OID 1.2.3 not allowed by this role",
    ),
    (
        AskedCertificate(common_name="a.com", other_names=(("1.2.3", "foo"),)),
        {"allowed_other_sans": "1.2.3;UTF8:b*"},
        "other_sans",
        "other SAN foo not allowed for OID 1.2.3 by this role",
    ),
    (
        AskedCertificate(common_name="a.com", serial_number="7"),
        {},
        "serial_number",
        "serial_number 7 not allowed by this role",
    ),
    (
        AskedCertificate(common_name="a.com", user_ids=("bob", "bobo")),
        {"allowed_user_ids": "bob"},
        "user_ids",
        "user_id bobo is not allowed by this role",
    ),
    (
        AskedCertificate(),
        {},
        "common_name",
        'the common_name field is required, or must be provided in a CSR with "use_csr_common_name" set to true, '
        'unless "require_cn" is set to false',
    ),
    (
        AskedCertificate(),
        {"require_cn": False},
        "common_name",
        "a certificate needs a common name or a subject alternative name",
    ),
    (
        AskedCertificate(common_name="a.com"),
        {"cn_validations": "email"},
        "common_name",
        "common name a.com not allowed by this role",
    ),
    (
        AskedCertificate(common_name="x@a.com"),
        {"cn_validations": "hostname"},
        "common_name",
        "common name x@a.com not allowed by this role",
    ),
    (AskedCertificate(csr=parsed_csr("a.com", key="rsa-2048")), {}, "csr", "role requires keys of type ec"),
    (
        AskedCertificate(csr=parsed_csr("a.com", key="p-256")),
        {"key_bits": 384},
        "csr",
        "role requires a minimum of a 384-bit key, but CSR's key is 256 bits",
    ),
    (
        AskedCertificate(csr=parsed_csr("a.com", (x509.IPAddress(ONE_IP[0]),))),
        {"allow_ip_sans": False},
        "ip_sans",
        "IP Subject Alternative Names are not allowed in this role, but was provided via CSR",
    ),
    (
        AskedCertificate(csr=parsed_csr("a.com", (x509.UniformResourceIdentifier("urn:x"),))),
        {},
        "uri_sans",
        "URI Subject Alternative Names are not allowed in this role, but were provided via CSR",
    ),
    (
        AskedCertificate(csr=parsed_csr("a.com", serial_number="77")),
        {},
        "serial_number",
        "serial_number 77 not allowed by this role",
    ),
    (
        AskedCertificate(csr=parsed_csr("a.com", user_id="bob")),
        {},
        "user_ids",
        "user_id bob is not allowed by this role",
    ),
]


@pytest.mark.parametrize(("asked", "settings", "field", "reason"), REFUSALS)
def test_refusals_name_field_and_reason(
    asked: AskedCertificate, settings: dict[str, Any], field: str, reason: str
) -> None:
    refused = refusal(asked, **settings)
    assert [(problem.field, problem.reason) for problem in refused.problems] == [(field, reason)]
    assert refused.message == reason


def test_all_problems_are_named_at_once() -> None:
    asked = AskedCertificate(common_name="foo.com", alt_names=("b.org",), ips=ONE_IP, serial_number="7")
    refused = refusal(asked, allow_any_name=False, allow_ip_sans=False)
    assert [problem.field for problem in refused.problems] == [
        *("common_name", "alt_names", "ip_sans", "serial_number"),
    ]


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        (AskedCertificate(common_name="a.com", uris=("spiffe://a/b",)), {"allowed_uri_sans": "spiffe://*"}),
        (AskedCertificate(common_name="a.com", other_names=(("1.2.3", "x"),)), {"allowed_other_sans": "*"}),
        (AskedCertificate(common_name="a.com", other_names=(("1.2.3", "x"),)), {"allowed_other_sans": "1.2.3;utf8:x"}),
        (AskedCertificate(common_name="a.com", serial_number="abc"), {"allowed_serial_numbers": "a*"}),
        (AskedCertificate(common_name="a.com", user_ids=("bob",)), {"allowed_user_ids": "*"}),
        (AskedCertificate(common_name="a.com", ips=ONE_IP), {"allowed_ip_sans_cidr": "10.0.0.0/8"}),
        (AskedCertificate(common_name="Anything At All"), {"cn_validations": "disabled", "allow_any_name": False}),
        (AskedCertificate(alt_names=("a.com",)), {"require_cn": False}),
        (AskedCertificate(csr=parsed_csr("a.com", key="p-384")), {}),
        (AskedCertificate(csr=parsed_csr("a.com", key="ed25519")), {"key_type": "any"}),
        (AskedCertificate(csr=parsed_csr("a.com", key="rsa-2048")), {"key_type": "any"}),
        (AskedCertificate(csr=parsed_csr("a.com", key="ed25519")), {"key_type": "ed25519"}),
        (AskedCertificate(csr=parsed_csr("a.com", serial_number="7")), {"serial_number_source": "json"}),
    ],
)
def test_what_a_role_allows_passes(asked: AskedCertificate, settings: dict[str, Any]) -> None:
    plan(asked, **settings)


def test_names_come_from_the_csr_or_from_the_request() -> None:
    request = parsed_csr("csr.com", dns("b.com", "csr.com", "a.com"))
    asked = AskedCertificate(common_name="api.com", alt_names=("c.com",), csr=request)
    from_csr = plan(asked)
    assert from_csr.subject.common_name == "csr.com"
    assert from_csr.sans.dns == ("b.com", "csr.com", "a.com")
    assert from_csr.warnings == (
        'the common_name field was provided but the role is set with "use_csr_common_name" set to true',
        'the alt_names field was provided but the role is set with "use_csr_sans" set to true',
    )
    from_request = plan(asked, use_csr_common_name=False, use_csr_sans=False)
    assert (from_request.subject.common_name, from_request.sans.dns) == ("api.com", ("api.com", "c.com"))
    assert from_request.warnings == ()


def test_names_of_unsupported_kinds_are_told() -> None:
    request = parsed_csr("a.com", (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), x509.DNSName("a.com")))
    assert "registeredID is not supported" in plan(AskedCertificate(csr=request)).warnings[0]


def test_the_subject_is_the_role_s() -> None:
    request = parsed_csr("a.com")
    subject = plan(AskedCertificate(csr=request), country="DE", ou="x,y", organization="Org").subject
    assert (subject.country, subject.organizational_unit, subject.organization) == (("DE",), ("x", "y"), ("Org",))


NAMES = st.one_of(
    st.sampled_from(["a.example.com", "example.com", "evil.org", "*.example.com", "x@example.com", "10.0.0.1", "::1"]),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.from_regex(r"[a-z*.@-]{1,12}\.example\.com", fullmatch=True),
)


@given(NAMES, st.lists(NAMES, max_size=3), st.booleans())
def test_whatever_is_planned_was_allowed(common_name: str, alt_names: list[str], exclude: bool) -> None:
    asked = AskedCertificate(common_name=common_name, alt_names=tuple(alt_names), exclude_cn_from_sans=exclude)
    judged = rules(allow_any_name=False, allowed_domains="example.com", allow_subdomains=True, allow_localhost=False)
    try:
        made = authorize(judged, asked, LIMITS, NOW)
    except RequestRefused:
        return
    for name in (made.subject.common_name, *made.sans.dns, *made.sans.emails):
        parsed = AskedName.parse(name)
        assert parsed is not None
        assert parsed.domain.endswith(".example.com") or (parsed.is_wildcard and parsed.domain == "example.com")
