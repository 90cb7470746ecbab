"""What a line shows in clear, and what only as `hmac-sha256:...` under the salt of its device.

By default every text is concealed; numbers and booleans are not, as in Vault. What mounts and engine types name as
public is shown. Secrets are shown by no setting: neither by `log_raw` nor by `audit_non_hmac_*_keys`.
"""

import re
from collections.abc import Container, Mapping
from hashlib import sha256
from typing import Any

_SECRET_NAMES = frozenset(
    {
        "access_key", "credential", "credentials", "id", "jwt", "key", "keys", "keys_base64", "nonce", "otp",
        "passphrase", "passwd", "password", "pem_bundle", "pin", "plaintext", "private_key", "recovery_keys", "secret",
        "secret_id", "secret_key", "signature", "token",
    }
)  # fmt: skip
"""Fields whose values are, or may be, secrets, whatever engine has them. `id` is the token in answers to look-ups."""

_SECRET_ENDINGS = ("_pin", "_password", "_passphrase", "_secret", "_secret_id", "_secret_key", "_private_key", "_token")
_SECRET_VALUE = re.compile(r"hv[sbr]\.[\w-]{16}|-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_NOTHING: frozenset[str] = frozenset()
_BLOCK = 64
"""Bytes in a block of SHA-256. Salts are shorter."""


class Concealment:
    """How one device conceals. `raw` and `accessors_clear` are its options log_raw and hmac_accessor=false.

    HMAC is spelled out (RFC 2104) with both halves of the key hashed ahead: a third of the time of `hmac.digest`, which
    has OpenSSL look up the algorithm with every call.
    """

    def __init__(self, salt: bytes, *, raw: bool = False, accessors_clear: bool = False) -> None:
        key = salt.ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in key))
        self._raw = raw
        self._accessors_clear = accessors_clear or raw

    def hidden(self, text: str) -> str:
        """Return the HMAC of a text, as `sys/audit-hash` answers."""
        return self.body(text.encode(errors="surrogatepass"))

    def accessor(self, text: str) -> str:
        """Return an accessor as this device shows them."""
        return text if self._accessors_clear else self.hidden(text)

    def body(self, content: bytes) -> str:
        """Return the HMAC of an answer that is not JSON."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return "hmac-sha256:" + outer.hexdigest()

    def fields(self, data: Mapping[str, Any], clear: Container[str] = _NOTHING) -> dict[str, Any]:
        """Return a copy of `data` in which everything is concealed but what is named in `clear`."""
        return {
            name: self._clear(name, value) if self._raw or name in clear else self._concealed(name, value)
            for name, value in data.items()
        }

    def _concealed(self, name: str, value: Any) -> Any:
        """Conceal every text, and numbers that stand for secrets: a PIN may well be sent as a number."""
        if isinstance(value, str):
            return self.hidden(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self.hidden(str(value)) if is_secret(name) else value
        if isinstance(value, list | tuple):
            return [self._concealed(name, item) for item in value]
        if isinstance(value, Mapping):
            return {str(key): self._concealed(str(key), item) for key, item in value.items()}
        return self.hidden(str(value))

    def _clear(self, name: str, value: Any) -> Any:
        """Show a value, except for the secrets in it."""
        if is_secret(name):
            return self._concealed(name, value)
        if isinstance(value, str):
            return self.hidden(value) if _SECRET_VALUE.search(value) else value
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, list | tuple):
            return [self._clear(name, item) for item in value]
        if isinstance(value, Mapping):
            return {str(key): self._clear(str(key), item) for key, item in value.items()}
        return self.hidden(str(value))


def is_secret(name: str) -> bool:
    """Tell whether a field of this name may hold a secret."""
    folded = name.lower()
    return folded in _SECRET_NAMES or folded.endswith(_SECRET_ENDINGS)
