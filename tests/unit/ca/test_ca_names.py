"""Names: told apart, normalised, and allowed or not. The tables were checked against OpenBao 2.7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.globs import Glob, Globs
from ca.hostnames import AskedName, certifiable, ip_address, is_hostname
from ca.name_rules import ANONYMOUS, Identity, NameRules
from ca.roles import Role

HOSTNAMES = ["a", "a.com", "A-1.b.C", "10.0.0.1", "xn--bcher-kva.example", "bücher.example", "a" * 63 + ".com", "1-1"]
NO_HOSTNAMES = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "-a.com",
    "a-.com",
    "a_b.com",
    "a b",
    "*.a.com",
    "a" * 64,
    "a." * 127 + "a",
]


@pytest.mark.parametrize("text", HOSTNAMES)
def test_host_names(text: str) -> None:
    assert is_hostname(text)


@pytest.mark.parametrize("text", [*NO_HOSTNAMES, "a/b", "a:1", "é_.com", "\u202e.com", "[::1]", "a\n"])
def test_what_is_no_host_name(text: str) -> None:
    assert not is_hostname(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.example.com", "a.example.com"),
        ("*.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("a*.example.com", None),
        ("*", None),
        ("10.0.0.1", None),
        ("a b", None),
        ("a.example.com.", None),
    ],
)
def test_what_a_dns_name_can_hold(text: str, expected: str | None) -> None:
    assert certifiable(text) == expected


@pytest.mark.parametrize("text", ["x@y@z", "@y", "x@*.com", "a.*.com", "foo.*", "**.a.com", "*.*.com", "x@"])
def test_names_that_no_rule_allows(text: str) -> None:
    everything = NameRules.compile(Role(allow_any_name=True, enforce_hostnames=text == "x@"))
    assert not everything.allow(text)


def test_the_parts_of_a_name() -> None:
    email = AskedName.parse("Me@Example.COM")
    wildcard = AskedName.parse("*.Example.com")
    assert email is not None
    assert wildcard is not None
    assert (email.domain, email.is_email) == ("example.com", True)
    assert (wildcard.domain, wildcard.is_wildcard) == ("example.com", True)


@pytest.mark.parametrize("text", ["1.2.3.4", "::1", "fd00::7"])
def test_addresses(text: str) -> None:
    assert str(ip_address(text)) == text


@pytest.mark.parametrize("text", ["1.2.3", "fe80::1%eth0", "a.com", "", "1.2.3.4.5", "0x7f000001"])
def test_what_is_no_address(text: str) -> None:
    assert ip_address(text) is None


DOMAINS = {
    "allowed_domains": ["example.com", "*.glob.org", "me@mail.org"],
    "allow_bare_domains": True,
    "allow_subdomains": True,
    "allow_glob_domains": True,
}
ALLOWED = [
    *("example.com", "a.example.com", "*.example.com", "*.a.example.com", "foo*.example.com", "EXAMPLE.COM"),
    *("a.EXAMPLE.com", "a.glob.org", "a.b.glob.org", "*.glob.org", "A.GLOB.org"),
    *("me@mail.org", "x@example.com", "x@a.example.com", "x@a.glob.org"),
    *("localhost", "*.localhost", "a.localhost", "x@localhost", "a.localdomain", "bücher.example.com"),
]
REFUSED = [
    *("glob.org", "you@mail.org", "x@glob.org", "mail.org", "exaample.com", "example.com.evil.org", "xexample.com"),
    *("com", "*.com", "a_b.example.com", "a b.example.com", "-a.example.com", ".example.com", "a..example.com"),
    *("example.com\n", "a.example.com\x00", "x@example.com@evil.org", "", "*", "*."),
]


@pytest.mark.parametrize("name", ALLOWED)
def test_names_within_the_allowed_domains(name: str) -> None:
    assert NameRules.compile(Role.model_validate(DOMAINS)).allow(name)


@pytest.mark.parametrize("name", REFUSED)
def test_names_outside_the_allowed_domains(name: str) -> None:
    assert not NameRules.compile(Role.model_validate(DOMAINS)).allow(name)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"allow_bare_domains": False}, "example.com"),
        ({"allow_bare_domains": False}, "x@example.com"),
        ({"allow_subdomains": False}, "a.example.com"),
        ({"allow_subdomains": False}, "*.example.com"),
        ({"allow_subdomains": False}, "a.localhost"),
        ({"allow_glob_domains": False}, "a.glob.org"),
        ({"allow_wildcard_certificates": False}, "*.example.com"),
        ({"allow_localhost": False}, "localhost"),
        ({"allow_localhost": False}, "a.localhost"),
        ({"allowed_domains": []}, "example.com"),
    ],
)
def test_each_setting_takes_away_what_it_gave(settings: dict[str, object], name: str) -> None:
    assert NameRules.compile(Role.model_validate(DOMAINS)).allow(name)
    assert not NameRules.compile(Role.model_validate(DOMAINS | settings)).allow(name)


def test_any_name_still_means_host_names_unless_that_is_switched_off() -> None:
    strict = NameRules.compile(Role(allow_any_name=True))
    loose = NameRules.compile(Role(allow_any_name=True, enforce_hostnames=False))
    assert [strict.allow(name) for name in ("a.com", "a b", "::1", "*.com")] == [True, False, False, True]
    assert all(loose.allow(name) for name in ("a.com", "a b", "::1", "*"))


def test_templates_are_filled_for_the_caller_alone() -> None:
    role = Role(
        allowed_domains=["{{identity.entity.id}}.a.com", "{{identity.entity.name}}.b.com", "c.com"],
        allowed_domains_template=True,
        allow_bare_domains=True,
    )
    known = NameRules.compile(role, Identity({"identity.entity.id": "e1"}))
    assert [known.allow(name) for name in ("e1.a.com", "e2.a.com", ".b.com", "b.com", "c.com")] == [
        *(True, False, False, False, True),
    ]
    assert not NameRules.compile(role, ANONYMOUS).allow("e1.a.com")


def test_a_template_cannot_smuggle_a_wildcard() -> None:
    role = Role(
        allowed_domains=["{{identity.entity.id}}.a.com"],
        allowed_domains_template=True,
        allow_bare_domains=True,
        allow_glob_domains=True,
    )
    assert not NameRules.compile(role, Identity({"identity.entity.id": "*"})).allow("x.a.com")


TEXT = st.text("ab*.@", max_size=12)


@given(TEXT, TEXT)
def test_globs_agree_with_a_regular_expression(pattern: str, text: str) -> None:
    import re

    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
    assert Glob.compile(pattern).matches(text) is expected
    assert Globs.compile([pattern]).match(text) is (expected and pattern != "")


@given(st.text(max_size=40), st.sampled_from(["example.com", "b.org"]))
def test_nothing_but_names_below_the_domain_is_allowed(text: str, domain: str) -> None:
    rules = NameRules.compile(Role(allowed_domains=[domain], allow_subdomains=True, allow_localhost=False))
    for name in (text, f"{text}.{domain}", f"{text}@{domain}", f"{domain}.{text}"):
        if rules.allow(name):
            assert name.lower().endswith("." + domain)
            assert "@" not in name or name.count("@") == 1
