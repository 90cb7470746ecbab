"""Outside judges: OpenSSL and pkilint on what the engine issues with every kind of key."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ca_harness import openssl, pki_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KINDS = [("rsa", 2048, {}), ("rsa", 3072, {"use_pss": True}), ("ec", 256, {}), ("ec", 384, {}), ("ec", 521, {})]


@pytest.mark.parametrize(("key_type", "bits", "signing"), [*KINDS, ("ed25519", 0, {})])
async def test_every_kind_of_key_passes(tmp_path: Path, key_type: str, bits: int, signing: dict[str, bool]) -> None:
    async with pki_in(tmp_path) as pki:
        await pki.write(
            "config/urls",
            issuing_certificates="http://ca.example.com/ca",
            crl_distribution_points="http://ca.example.com/crl",
            ocsp_servers="http://ca.example.com/ocsp",
        )
        key = {"key_type": key_type, "key_bits": bits}
        root = await pki.root(common_name="Judged Root", organization="Chancery tests", country="DE", **key, **signing)
        await pki.write("roles/r", allow_any_name=True, policy_identifiers="1.3.6.1.4.1.99999.1", **key, **signing)
        leaf = await pki.write("issue/r", common_name="a.example.com", alt_names="b.example.com", ip_sans="10.0.0.1")
        revoked = await pki.write("issue/r", common_name="c.example.com")
        await pki.write("revoke", serial_number=revoked["serial_number"])
        crl = await pki.raw("crl/pem")
    files = {"root": root["certificate"], "leaf": leaf["certificate"], "revoked": revoked["certificate"]}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "crl").write_bytes(crl)
    trust = ("-attime", "1906545600", "-x509_strict", "-CAfile", str(tmp_path / "root"))
    openssl("verify", *trust, str(tmp_path / "root"))
    checked = (*trust, "-crl_check", "-CRLfile", str(tmp_path / "crl"))
    openssl("verify", *checked, str(tmp_path / "leaf"))
    with pytest.raises(AssertionError, match="certificate revoked"):
        openssl("verify", *checked, str(tmp_path / "revoked"))
    for name in ("root", "leaf"):
        lint("lint_pkix_cert", tmp_path / name)
    lint("lint_crl", tmp_path / "crl", "-t", "CRL", "-p", "PKIX")


def lint(program: str, path: Path, *arguments: str) -> None:
    """Run a pkilint program, which exits with the number of findings at or above a severity."""
    command = [str(Path(sys.executable).with_name(program)), "lint", "-s", "ERROR", *arguments, str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
