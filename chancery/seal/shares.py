"""What people hold: shares of the unseal key or of the recovery key, entered one by one until there are enough.

With a keeper nobody holds an unseal key. The recovery key takes its place where people must agree: it opens nothing by
itself, it only proves that enough of them are there.
"""

import base64
import binascii
import hmac
import uuid
from collections.abc import Sequence

from chancery.kit.errors import BadInput, Corrupted
from chancery.seal import shamir
from chancery.seal.keyring import KEY_SIZE, unwrap, wipe, wrap
from chancery.seal.records import SealRecord

MIN_SHARE_SIZE = 16
MAX_SHARE_SIZE = KEY_SIZE + 1

_ROOT_KEY = b"root key"
_RECOVERY = b"chancery recovery key"


class Quorum:
    """Shares entered under one nonce. Holds them in memory that is overwritten when they are done with."""

    def __init__(self) -> None:
        self.nonce = str(uuid.uuid4())
        self._shares: list[bytearray] = []

    def __repr__(self) -> str:
        return f"Quorum({self.progress} shares)"

    @property
    def progress(self) -> int:
        """Return how many shares are in."""
        return len(self._shares)

    def demand(self, nonce: str, operation: str) -> None:
        """Raise BadInput when the share is meant for another attempt."""
        if nonce != self.nonce:
            raise BadInput(f'incorrect nonce supplied; nonce for this {operation} operation is "{self.nonce}"')

    def enter(self, share: bytes) -> bool:
        """Take a share; False when it is in already. Raises BadInput for one that cannot be a share."""
        if len(share) < MIN_SHARE_SIZE:
            raise BadInput(f"invalid key: key is shorter than minimum {MIN_SHARE_SIZE} bytes")
        if len(share) > MAX_SHARE_SIZE:
            raise BadInput(f"invalid key: key is longer than maximum {MAX_SHARE_SIZE} bytes")
        if any([hmac.compare_digest(share, entered) for entered in self._shares]):  # noqa: C419 - all are compared
            return False
        self._shares.append(bytearray(share))
        return True

    def take(self) -> list[bytearray]:
        """Return the shares, which the caller wipes, and begin anew under the same nonce."""
        shares, self._shares = self._shares, []
        return shares

    def wipe(self) -> None:
        """Forget the shares."""
        wipe(*self.take())


def check_numbers(shares: int, threshold: int, kind: str = "seal") -> None:
    """Refuse numbers of shares that make no seal, in Vault's words. Raises BadInput."""
    problem = ""
    if shares < 1:
        problem = "shares must be at least one"
    elif threshold < 1:
        problem = "threshold must be at least one"
    elif threshold == 1 and shares > 1:
        problem = "threshold must be greater than one for multiple shares"
    elif shares > shamir.MAX_SHARES:
        problem = "shares must be less than 256"
    elif threshold > shares:
        problem = "threshold cannot be larger than shares"
    if problem:
        raise BadInput(f"invalid {kind} configuration: {problem}")


def decode_share(text: str) -> bytes:
    """Read a share as people enter it, in hex or base64. Raises BadInput, without the text."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("'key' must be a valid hex or base64 string") from None


def split(key: bytearray, shares: int, threshold: int) -> list[bytes]:
    """Return the shares of a key; a single share is the key."""
    return [bytes(key)] if shares == 1 else shamir.split(key, shares, threshold)


def join(shares: Sequence[bytearray], threshold: int) -> bytearray:
    """Return the key that the shares make, right or wrong. Raises BadInput when they cannot belong together."""
    key = bytearray(shares[0])
    if threshold > 1:
        try:
            key = shamir.combine(shares)
        except BadInput as error:
            raise BadInput(f"invalid key: failed to compute combined key: {error.message}") from None
    if len(key) != KEY_SIZE:
        wipe(key)
        raise BadInput("invalid key: the key does not have the length of the unseal key")
    return key


def wrap_root_key(unseal_key: bytearray, root_key: bytearray) -> bytes:
    """Wrap the root key under the unseal key, which Shamir splits."""
    return wrap(unseal_key, root_key, _ROOT_KEY)


def unwrap_root_key(record: SealRecord, unseal_key: bytearray) -> bytearray:
    """Open the root key with the unseal key. Raises BadInput when it does not fit."""
    try:
        return unwrap(unseal_key, record.wrapped_root_key, _ROOT_KEY)
    except Corrupted:
        raise _do_not_fit() from None


def recovery_check(recovery_key: bytearray) -> bytes:
    """Return what proves a recovery key. The key is random, so this tells nothing about it."""
    return hmac.digest(recovery_key, _RECOVERY, "sha256")


def demand_recovery_key(record: SealRecord, recovery_key: bytearray) -> None:
    """Raise BadInput unless this is the recovery key."""
    if not hmac.compare_digest(recovery_check(recovery_key), record.recovery_check):
        raise _do_not_fit()


def _do_not_fit() -> BadInput:
    return BadInput("invalid key: the shares entered do not open the seal; enter them again from the first")
