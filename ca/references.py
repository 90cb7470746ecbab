"""How clients refer to issuers, keys and roles: by name, by id, or as the default one."""

import re
from typing import Final

from chancery.kit.errors import BadInput

DEFAULT: Final = "default"
"""The reference that stands for whatever the configuration calls the default."""

CONFIG: Final = "config"
"""Name of the one document of a kind that holds settings."""

NAME: Final = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)
"""What roles, issuers and keys may be called."""

_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def check_name(name: str, kind: str) -> None:
    """Raise BadInput unless this may name an issuer or a key. The empty name is fine: it is none."""
    field = f"{kind}_name"
    if not name:
        return
    if name.lower() == DEFAULT:
        raise BadInput(f"reserved keyword 'default' can not be used as {kind} name")
    if len(name) > 255 or not NAME.fullmatch(name):
        raise BadInput(f"{kind} name contained invalid characters; {field} may have letters, digits, _, - and .")
    if _UUID.fullmatch(name):
        raise BadInput(f"{kind} name can not be a UUID: it would be taken for the id of another {kind}")


def is_identity(reference: str) -> bool:
    """Tell whether a reference is an id rather than a name."""
    return _UUID.fullmatch(reference) is not None
