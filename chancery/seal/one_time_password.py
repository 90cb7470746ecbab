"""How a new root token travels back over an open line: XORed with a one-time password of its own length.

The starter of the attempt alone was shown the password; whoever enters the last share sees only the encoded token.
Encoded as base64 without padding, as Vault does it.
"""

import base64
import binascii
import secrets
import string

from chancery.kit.errors import BadInput

_LETTERS = string.ascii_letters + string.digits


def generate(length: int) -> str:
    """Return a random password: letters and digits, of this length."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def encode(token: str, password: str) -> str:
    """Hide a token. Both have the same length in bytes. Raises BadInput otherwise."""
    return base64.b64encode(_xor(token.encode(), password.encode())).rstrip(b"=").decode()


def decode(encoded: str, password: str) -> str:
    """Return the token. Padding is accepted, as older servers wrote it. Raises BadInput, naming what is wrong."""
    try:
        hidden = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput.of("encoded_token", "error decoding base64'd token: it is not base64") from None
    try:
        return _xor(hidden, password.encode()).decode()
    except UnicodeDecodeError:
        raise BadInput.of("otp", "the password does not belong to this token") from None


def _xor(token: bytes, password: bytes) -> bytes:
    if len(token) != len(password):
        raise BadInput(
            f"error xoring token: token and one-time password differ in length: {len(token)} != {len(password)}"
        )
    return bytes(left ^ right for left, right in zip(token, password, strict=True))
