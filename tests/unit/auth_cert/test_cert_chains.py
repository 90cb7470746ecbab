"""Chains that hold, and every way in which one may not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chancery.auth.cert.chains import Anchors, demand_constrained_subject, validated_chain
from chancery.auth.cert.identity import CertificateRefused, holder_of, read_certificate
from tests.support.auth_pki import Authority, Holder, authority, self_signed

NOW = datetime.now(UTC)
ROOT = authority("Root")
OTHER = authority("Other")
MIDDLE = ROOT.issue_authority("Middle")


def chain(leaf: Holder, trusted: Sequence[Holder], sent: Sequence[Holder] = (), now: datetime = NOW) -> int:
    """Validate, and return the length of the chain."""
    anchors = Anchors.parse("".join(each.pem for each in trusted))
    found = validated_chain(leaf.certificate, [each.certificate for each in sent], anchors, now)
    demand_constrained_subject(holder_of(leaf.certificate), found)
    return len(found)


def test_chains_that_hold() -> None:
    assert chain(ROOT.issue("a"), [ROOT]) == 2
    assert chain(MIDDLE.issue("a"), [ROOT], [MIDDLE]) == 3
    assert chain(MIDDLE.issue("a"), [MIDDLE]) == 2
    assert chain(ROOT.issue("a", usages=()), [authority("other"), ROOT]) == 2
    assert chain(ROOT.issue("a", usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), [ROOT]) == 2
    names = [x509.DNSName("a_b.x"), x509.UniformResourceIdentifier("spiffe://a/b"), x509.RFC822Name("a@b.c")]
    assert chain(ROOT.issue("a", names=names), [ROOT]) == 2


def test_a_certificate_may_be_trusted_by_itself() -> None:
    alone, pinned = self_signed("alone"), ROOT.issue("pinned")
    assert chain(alone, [alone]) == 1
    assert chain(pinned, [alone, pinned]) == 1
    assert chain(Holder(ROOT.certificate, ROOT.key), [ROOT]) == 1


def _unknown_critical() -> Sequence[tuple[x509.ExtensionType, bool]]:
    return [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]


Case = tuple[Holder, Sequence[Holder], Sequence[Holder]]
"""A client's certificate, what is trusted, what the client sends along."""


def _below_a_leaf() -> Case:
    impostor = ROOT.issue("impostor")
    return Authority(impostor.certificate, impostor.key).issue("a"), [ROOT], [impostor]


def _too_deep() -> Case:
    shallow = ROOT.issue_authority("shallow", path_length=0)
    below = shallow.issue_authority("below")
    return below.issue("a"), [ROOT], [shallow, below]


def _constrained(*permitted: x509.GeneralName, **leaf: Any) -> Case:
    constraint = x509.NameConstraints(list(permitted), None)
    middle = ROOT.issue_authority("constrained", extensions=[(constraint, True)])
    common_name = leaf.pop("common_name", "a.good.example")
    return middle.issue(common_name, **leaf), [ROOT], [middle]


GOOD, BAD = x509.DNSName("a.good.example"), x509.DNSName("a.bad.example")
PERMITTED = x509.DNSName("good.example")

ADDRESSES, STRANGE_ADDRESS = x509.IPAddress(ip_network("10.0.0.0/8")), x509.IPAddress(ip_address("8.8.8.8"))
URI, STRANGE_URI = x509.UniformResourceIdentifier(".x"), x509.UniformResourceIdentifier("https://y")

REFUSED: dict[str, Case] = {
    "another root": (ROOT.issue("a"), [authority("Other")], []),
    "the same name and another key": (authority("Root").issue("a"), [ROOT], []),
    "the root sent along": (OTHER.issue("a"), [ROOT], [OTHER]),
    "a missing link": (MIDDLE.issue("a"), [ROOT], []),
    "another certificate than the pinned one": (ROOT.issue("a"), [ROOT.issue("a")], []),
    "expired": (ROOT.issue("a", start=NOW - timedelta(2), end=NOW - timedelta(1)), [ROOT], []),
    "not valid yet": (ROOT.issue("a", start=NOW + timedelta(hours=1), end=NOW + timedelta(2)), [ROOT], []),
    "for servers": (ROOT.issue("a", usages=(ExtendedKeyUsageOID.SERVER_AUTH,)), [ROOT], []),
    "unknown critical extension": (ROOT.issue("a", extensions=_unknown_critical()), [ROOT], []),
    "an authority as client": (MIDDLE, [ROOT], []),
    "below a leaf": _below_a_leaf(),
    "too deep": _too_deep(),
    "outside of name constraints": _constrained(PERMITTED, names=[BAD]),
    "constrained, without names": _constrained(PERMITTED),
    "constrained, another common name": _constrained(PERMITTED, names=[GOOD], common_name="admin"),
    "constrained addresses": _constrained(ADDRESSES, names=[STRANGE_ADDRESS], common_name="8.8.8.8"),
    "constraints that are not judged": _constrained(URI, names=[GOOD, STRANGE_URI]),
}


@pytest.mark.parametrize(("leaf", "trusted", "sent"), REFUSED.values(), ids=REFUSED.keys())
def test_chains_that_do_not_hold(leaf: Holder, trusted: Sequence[Holder], sent: Sequence[Holder]) -> None:
    with pytest.raises(CertificateRefused):
        chain(leaf, trusted, sent)


def test_within_name_constraints() -> None:
    assert chain(*_constrained(PERMITTED, names=[GOOD])) == 3


def test_a_pinned_certificate_must_be_valid_and_for_clients() -> None:
    old = self_signed("old", start=NOW - timedelta(2), end=NOW - timedelta(1))
    server = ROOT.issue("a", usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
    for holder in (old, server):
        with pytest.raises(CertificateRefused):
            chain(holder, [holder])


def test_authorities_expire_too() -> None:
    with pytest.raises(CertificateRefused):
        chain(ROOT.issue("a", end=NOW + timedelta(10)), [ROOT], now=NOW + timedelta(5))


@pytest.mark.parametrize("pem", ["", "nonsense", ROOT.key_pem, ROOT.pem.replace("MI", "XX")])
def test_what_is_no_certificate_is_refused(pem: str) -> None:
    with pytest.raises(ValueError, match="failed to parse certificate"):
        Anchors.parse(pem)


def test_the_names_of_a_holder() -> None:
    text = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x03web")
    blob = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), b"\x04\x03web")
    truncated = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.6"), b"\x0c\x09web")
    attributes = [(NameOID.ORGANIZATION_NAME, "Org"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "U1")]
    attributes += [(NameOID.ORGANIZATIONAL_UNIT_NAME, "U2")]
    leaf = ROOT.issue(
        "web",
        attributes=attributes,
        names=[GOOD, x509.RFC822Name("a@b.c"), x509.UniformResourceIdentifier("spiffe://x")],
        extensions=[(text, False), (blob, False), (truncated, False)],
    )
    holder = holder_of(leaf.certificate)
    assert (holder.common_name, holder.organizations, holder.organizational_units) == ("web", ("Org",), ("U1", "U2"))
    assert (holder.dns_names, holder.emails, holder.uris) == (("a.good.example",), ("a@b.c",), ("spiffe://x",))
    assert holder.extensions == {"1.2.3.4": "web"}
    assert holder.metadata()["serial_number"] == str(leaf.certificate.serial_number)
    assert holder.metadata()["authority_key_id"].count(":") == 19


@pytest.mark.parametrize(
    "leaf",
    [
        ROOT.issue(""),
        ROOT.issue("one", attributes=[(NameOID.COMMON_NAME, "two")]),
        ROOT.issue("line\nbreak"),
    ],
)
def test_exactly_one_common_name_is_demanded(leaf: Holder) -> None:
    with pytest.raises(CertificateRefused):
        holder_of(leaf.certificate)


def test_bytes_that_are_no_certificate() -> None:
    with pytest.raises(CertificateRefused):
        read_certificate(b"\x30\x03\x02\x01\x01")
