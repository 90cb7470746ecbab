"""Chains among issuers, found by names and signatures."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.chains import chains
from ca.x509.certificate import ParsedCertificate

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject: str, key: Key, issuer: str, by: Key, *, days: int = 100) -> ParsedCertificate:
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return ParsedCertificate.parse(builder.sign(by, hashes.SHA256()).public_bytes(Encoding.DER))


def keys(count: int) -> list[Key]:
    return [ec.generate_private_key(ec.SECP256R1()) for _ in range(count)]


def test_a_chain_ends_at_its_root() -> None:
    root, middle, last = keys(3)
    known = {
        "last": certificate("Last", last, "Middle", middle),
        "middle": certificate("Middle", middle, "Root", root),
        "root": certificate("Root", root, "Root", root),
    }
    assert chains(known, {}) == {
        "last": ["last", "middle", "root"],
        "middle": ["middle", "root"],
        "root": ["root"],
    }


def test_a_name_alone_makes_no_parent() -> None:
    root, other, leaf = keys(3)
    known = {
        "impostor": certificate("Root", other, "Root", other),
        "leaf": certificate("Leaf", leaf, "Root", root),
    }
    assert chains(known, {})["leaf"] == ["leaf"]


def test_of_two_parents_the_one_that_lives_longer_counts() -> None:
    root, leaf = keys(2)
    known = {
        "a": certificate("Root", root, "Root", root, days=10),
        "b": certificate("Root", root, "Root", root, days=20),
        "leaf": certificate("Leaf", leaf, "Root", root),
    }
    assert chains(known, {})["leaf"] == ["leaf", "b"]


def test_cross_signed_issuers_do_not_go_round_in_circles() -> None:
    one, two = keys(2)
    known = {"one": certificate("One", one, "Two", two), "two": certificate("Two", two, "One", one)}
    assert chains(known, {}) == {"one": ["one", "two"], "two": ["two", "one"]}


def test_a_manual_chain_counts_without_what_is_gone() -> None:
    (root,) = keys(1)
    known = {"root": certificate("Root", root, "Root", root)}
    assert chains(known, {"root": ["root", "gone"]}) == {"root": ["root"]}
