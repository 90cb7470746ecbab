"""What outsiders say: OpenSSL and pkilint, about every kind of key under every signature scheme."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ca.x509 import pem
from ca.x509.algorithms import SCHEMES
from ca.x509.certificate import assemble
from ca.x509.crl import RevocationReason, RevokedEntry, build_crl_tbs
from ca.x509.extensions import AuthorityUrls, NameConstraints, Subtrees
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.public_keys import spki_of
from ca.x509.request import RequestSpec, assemble_request, build_request_tbs
from ca.x509.spec import CertificateSpec
from ca.x509.template import TemplateCache
from ca.x509.usages import CA_KEY_USAGES, KeyUsage
from managed_keys.keys import SignatureScheme
from tests.support.x509_keys import KEY_TYPES, issuer, key_for, sign
from tests.support.x509_specs import leaf_spec

pytestmark = pytest.mark.slow

ALL_SCHEMES = sorted(SCHEMES, key=str)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
BIN = Path(sys.executable).parent


def run(*command: str | Path) -> str:
    """Run a tool and return what it says. Fails with its output when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lint(tool: str, path: Path, *more: str) -> None:
    """Fail when pkilint finds an error in a document."""
    findings = run(BIN / tool, "lint", *more, "-s", "ERROR", path)
    assert not findings.strip(), findings


def issue(spec: CertificateSpec, scheme: SignatureScheme, path: Path) -> Path:
    """Write a certificate as PEM."""
    tbs = TemplateCache().build(spec, issuer(scheme), scheme)
    path.write_text(pem.encode(pem.CERTIFICATE, assemble(tbs, scheme, sign(tbs, scheme))) + "\n")
    return path


def root_spec(scheme: SignatureScheme) -> CertificateSpec:
    """Return the self-signed certificate of `issuer(scheme)`."""
    return replace(
        leaf_spec(),
        subject=issuer(scheme).name_der,
        spki=spki_of(key_for(scheme).public_key()),
        sans=SubjectAlternativeNames(),
        is_ca=True,
        key_usages=CA_KEY_USAGES,
        ext_key_usages=(),
        urls=AuthorityUrls(),
    )


def suitable(kind: str) -> CertificateSpec:
    """Return a leaf whose key usages suit its key."""
    usages = {KeyUsage.DIGITAL_SIGNATURE} | ({KeyUsage.KEY_ENCIPHERMENT} if kind.startswith("rsa") else set())
    return replace(leaf_spec(key=kind), key_usages=frozenset(usages))


@pytest.mark.parametrize("scheme", ALL_SCHEMES)
def test_openssl_verifies_chains(scheme: SignatureScheme, tmp_path: Path) -> None:
    root = issue(root_spec(scheme), scheme, tmp_path / "root.pem")
    for kind in KEY_TYPES:
        leaf = issue(suitable(kind), scheme, tmp_path / f"{kind}.pem")
        moment = str(int(NOW.timestamp()))
        run("openssl", "verify", "-x509_strict", "-attime", moment, "-purpose", "sslserver", "-CAfile", root, leaf)
        assert "X509v3 Subject Alternative Name" in run("openssl", "x509", "-in", leaf, "-noout", "-text")


@pytest.mark.parametrize("scheme", ALL_SCHEMES)
def test_pkilint_has_nothing_to_say_about_issuers(scheme: SignatureScheme, tmp_path: Path) -> None:
    lint("lint_pkix_cert", issue(root_spec(scheme), scheme, tmp_path / "root.pem"))


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_pkilint_has_nothing_to_say_about_leaves(kind: str, tmp_path: Path) -> None:
    lint("lint_pkix_cert", issue(suitable(kind), SignatureScheme.ECDSA_SHA256, tmp_path / "leaf.pem"))


def test_pkilint_has_nothing_to_say_about_unusual_certificates(tmp_path: Path) -> None:
    constrained = replace(
        root_spec(SignatureScheme.ECDSA_SHA384),
        path_length=1,
        name_constraints=NameConstraints(Subtrees(dns=("example.com",)), Subtrees(dns=("bad.example.com",))),
    )
    unnamed = replace(suitable("p-256"), subject=DistinguishedName(), basic_constraints_valid_for_non_ca=True)
    for number, spec in enumerate((constrained, unnamed)):
        lint("lint_pkix_cert", issue(spec, SignatureScheme.ECDSA_SHA384, tmp_path / f"{number}.pem"))


def test_the_judges_do_judge(tmp_path: Path) -> None:
    wrong = replace(suitable("p-256"), key_usages=CA_KEY_USAGES, basic_constraints_valid_for_non_ca=True)
    path = issue(wrong, SignatureScheme.ECDSA_SHA256, tmp_path / "wrong.pem")
    with pytest.raises(AssertionError, match="ERROR"):
        lint("lint_pkix_cert", path)


@pytest.mark.parametrize("scheme", ALL_SCHEMES)
def test_crls(scheme: SignatureScheme, tmp_path: Path) -> None:
    root = issue(root_spec(scheme), scheme, tmp_path / "root.pem")
    tbs = build_crl_tbs(
        issuer(scheme),
        scheme,
        number=3,
        this_update=NOW,
        next_update=NOW.replace(day=4),
        revoked=[RevokedEntry(5, NOW), RevokedEntry(6, NOW, RevocationReason.SUPERSEDED)],
    )
    path = tmp_path / "crl.pem"
    path.write_text(pem.encode(pem.CRL, assemble(tbs, scheme, sign(tbs, scheme))) + "\n")
    assert "Superseded" in run("openssl", "crl", "-in", path, "-noout", "-text", "-CAfile", root, "-verify")
    lint("lint_crl", path, "-t", "CRL", "-p", "PKIX")


@pytest.mark.parametrize("scheme", ALL_SCHEMES)
def test_requests(scheme: SignatureScheme, tmp_path: Path) -> None:
    spec = RequestSpec(
        subject=DistinguishedName(common_name="Intermediate"),
        spki=spki_of(key_for(scheme).public_key()),
        key_usages=CA_KEY_USAGES,
        ask_for_ca=True,
    )
    tbs = build_request_tbs(spec)
    path = tmp_path / "request.pem"
    path.write_text(pem.encode(pem.REQUEST, assemble_request(tbs, scheme, sign(tbs, scheme))) + "\n")
    assert "CA:TRUE" in run("openssl", "req", "-in", path, "-noout", "-text", "-verify")
