"""Serial numbers: made, and written as Vault writes them."""

import re
import secrets
from typing import Final

MAX_SERIAL: Final = (1 << 159) - 1
"""The greatest positive INTEGER of 20 octets (RFC 5280 4.1.2.2)."""

_TEXT: Final = re.compile(r"[0-9a-f]{1,2}(?:([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2})*)?", re.IGNORECASE)


def new_serial() -> int:
    """Return a positive serial of exactly 20 octets with 158 random bits, so that its text has one length."""
    return 1 << 158 | secrets.randbits(158)


def format_serial(serial: int) -> str:
    """Return the serial's octets in lower-case hexadecimal with colons, two digits each: `0a:1b:...`."""
    return serial.to_bytes(max(1, (serial.bit_length() + 7) // 8), "big").hex(":")


def parse_serial(text: str) -> int:
    """Read what `format_serial` writes, with colons or hyphens and in either case.

    Accepts 20 octets with the highest bit set too, which others have issued. Raises ValueError when it is none.
    """
    stripped = text.strip()
    if len(stripped) > 80 or not _TEXT.fullmatch(stripped):
        raise ValueError("serial number must be hexadecimal octets separated by colons or hyphens, such as 0a:1b:2c")
    serial = int(stripped.replace(":", "").replace("-", ""), 16)
    if not 0 < serial < 1 << 160:
        raise ValueError("serial number must be positive and at most 20 octets long")
    return serial
