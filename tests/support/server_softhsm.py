"""A private SoftHSM token in a directory, for servers that run from a configuration file."""

import os
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
)


def softhsm_module() -> Path:
    """Return the path of SoftHSM's PKCS#11 module. Raises FileNotFoundError naming the package."""
    for candidate in map(Path, _MODULES):
        if candidate.exists():
            return candidate
    raise FileNotFoundError("no libsofthsm2.so: install the package softhsm2 (make apt)")


@dataclass(frozen=True, slots=True)
class SoftHsmToken:
    """One initialised token, reachable with `SOFTHSM2_CONF` set to `configuration`."""

    configuration: Path
    module: Path
    label: str
    pin: str = field(repr=False)

    @classmethod
    def create(cls, directory: Path, label: str) -> Self:
        """Initialise a token below the directory, which must not hold one yet."""
        store = directory / "tokens"
        store.mkdir(parents=True, mode=0o700)
        configuration = directory / "softhsm2.conf"
        configuration.write_text(
            f"directories.tokendir = {store}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
        )
        so_pin = secrets.token_hex(8)
        token = cls(configuration, softhsm_module(), label, secrets.token_hex(8))
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", f"--label={label}", f"--pin={token.pin}", f"--so-pin={so_pin}"],
            env=token.environment,
            check=True,
            capture_output=True,
        )
        return token

    @property
    def environment(self) -> dict[str, str]:
        """Return this process's environment with the token's configuration in it."""
        return {**os.environ, "SOFTHSM2_CONF": str(self.configuration)}
