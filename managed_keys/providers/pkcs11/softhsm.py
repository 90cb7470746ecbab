"""A SoftHSM token for `chancery server --dev`: prepared below the server's private directory, once, and kept."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from chancery.kit.engine import DevAdditions, KmsLibrary

LABEL = "chancery-dev"
LIBRARY = "softhsm"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
"""Where distributions put the module. The variable SOFTHSM2_MODULE comes before them."""

_INITIALISER = "managed_keys.providers.pkcs11.tokens"
_PIN_FILE = "pin"


def find_module() -> Path | None:
    """Return the path of SoftHSM's module, or None when it is not installed."""
    candidates = (os.environ.get("SOFTHSM2_MODULE", ""), *MODULES)
    return next((Path(path) for path in candidates if path and Path(path).is_file()), None)


def initialise_token(module: Path, directory: Path, label: str, pin: str, so_pin: str) -> Mapping[str, str]:
    """Make a token store in a directory, with one token in it; leave alone what is there already.

    Return the environment that leads the module to the store. Raises CalledProcessError when the module refuses.
    """
    store = directory / "tokens"
    for path in (directory, store):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    configuration = directory / "softhsm2.conf"
    _write_private(
        configuration,
        f"directories.tokendir = {store}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
    )
    environment = {"SOFTHSM2_CONF": str(configuration)}
    order = {"library": str(module), "label": label, "pin": pin, "so_pin": so_pin}
    subprocess.run(  # noqa: S603  # our own module, its input is JSON on a pipe
        [sys.executable, "-I", "-m", _INITIALISER],
        input=json.dumps(order), text=True, env=environment, cwd="/", capture_output=True, check=True,
    )  # fmt: skip
    return environment


def prepare_dev_token(directory: Path) -> DevAdditions:
    """Prepare the token `chancery-dev` and describe it (DevSetup). Its PIN is random, and kept in a file beside it."""
    module = find_module()
    if module is None:
        return DevAdditions(banner=["no HSM for development: SoftHSM is not installed (apt-get install softhsm2)"])
    home = directory.absolute() / "softhsm"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    pin_file = home / _PIN_FILE
    if pin_file.exists():
        pin = pin_file.read_text().strip()
    else:
        pin = secrets.token_hex(8)
        _write_private(pin_file, pin + "\n")
    try:
        environment = initialise_token(module, home, LABEL, pin, so_pin=secrets.token_hex(8))
    except subprocess.CalledProcessError as error:
        return DevAdditions(banner=[f"no HSM for development: {error.stderr.strip()}"])
    library = KmsLibrary(LIBRARY, "pkcs11", module, environment)
    return DevAdditions(
        kms_libraries=[library],
        banner=[
            f"HSM for development: SoftHSM, kms_library {LIBRARY}, token label {LABEL}, PIN {pin}",
            f"  bao write sys/managed-keys/pkcs11/my-key library={LIBRARY} token_label={LABEL} pin={pin} "
            "key_label=my-key mechanism=0x1041 curve=P256 allow_generate_key=true any_mount=true",
        ],
    )


def _write_private(path: Path, text: str) -> None:
    """Write a file that no other user may read, all of it or nothing."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.chmod(0o600)
    fresh.write_text(text)
    fresh.replace(path)
