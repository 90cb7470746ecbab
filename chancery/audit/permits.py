"""What devices may reach. The API must not become a way to write files or to connect to machines at will."""

from collections.abc import Sequence
from pathlib import Path

from chancery.kit.errors import BadInput


class FreePermits:
    """For devices that the operator wrote into the configuration file."""

    def file(self, path: str) -> Path:
        """Return any absolute path, with links resolved."""
        return _absolute(path).resolve()

    def address(self, address: str) -> str:
        """Return any address."""
        return address


class ListedPermits:
    """For devices that come through the API: what the operator listed, and nothing by default."""

    def __init__(self, directories: Sequence[Path], addresses: Sequence[str]) -> None:
        self._directories = directories
        self._addresses = addresses

    def file(self, path: str) -> Path:
        """Return the path with the links of its directory resolved, if that lies in a listed directory."""
        wanted = _absolute(path)
        real = wanted.parent.resolve() / wanted.name
        if not any(real.is_relative_to(directory.resolve()) for directory in self._directories):
            allowed = _listed("audit.directories", [str(directory) for directory in self._directories])
            raise BadInput.of(
                "options.file_path", f"is in none of the directories that the server may write to; {allowed}"
            )
        return real

    def address(self, address: str) -> str:
        """Return the address, if it is listed to the letter."""
        if address not in self._addresses:
            allowed = _listed("audit.addresses", self._addresses)
            raise BadInput.of("options.address", f"is not an address that the server may send to; {allowed}")
        return address


def _absolute(path: str) -> Path:
    wanted = Path(path)
    if not wanted.is_absolute() or not wanted.name or ".." in wanted.parts or not path.isprintable():
        raise BadInput.of("options.file_path", "must be stdout, or the absolute path of a file")
    return wanted


def _listed(setting: str, values: Sequence[str]) -> str:
    known = ", ".join(values) or "nothing"
    return f"the setting {setting} lists {known}"
