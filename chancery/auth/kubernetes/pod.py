"""The files that Kubernetes gives a pod: its service account's token and the cluster's CA."""

import asyncio
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MAX_SIZE: Final = 256 * 1024


class PodFiles:
    """Reads the files each time: Kubernetes replaces the token every hour or so."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    async def authorities(self) -> str:
        """Return the cluster's CA as PEM, empty outside a pod."""
        return await asyncio.to_thread(self._read, "ca.crt")

    async def token(self) -> str:
        """Return the token of the pod's service account, empty outside a pod."""
        return await asyncio.to_thread(self._read, "token")

    def _read(self, name: str) -> str:
        try:
            with (self._directory / name).open("rb") as file:
                return file.read(_MAX_SIZE).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""
