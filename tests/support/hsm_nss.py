"""A key database of NSS softokn as a second, independent PKCS#11 module."""

import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from chancery.kit.engine import KmsLibrary
from tests.support.hsm_token import SoftToken

_MODULES = (
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
    "/usr/lib64/libsoftokn3.so",
)


def make_nss_token(directory: Path) -> SoftToken:
    """Make an empty key database with a password."""
    module = next((Path(path) for path in _MODULES if Path(path).is_file()), None)
    if module is None or shutil.which("certutil") is None:
        pytest.fail("NSS is not installed: apt-get install libnss3 libnss3-tools")
    pin = secrets.token_hex(8)
    password = directory / "password"
    password.write_text(pin)
    subprocess.run(["certutil", "-N", "-d", f"sql:{directory}", "-f", str(password)], check=True, capture_output=True)
    initialization = f"configdir='sql:{directory}' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
    library = KmsLibrary("nss", "pkcs11", module, initialization=initialization)
    return SoftToken(library, "NSS Certificate DB", pin, directory)
