"""The guard that every key wears."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chancery.kit.errors import BackendRefused, BadInput, Unavailable
from chancery.telemetry.cells import Cells
from managed_keys import guard
from managed_keys.guard import GuardedKey, Measures
from managed_keys.keys import SignatureScheme
from managed_keys.schemes import schemes_of
from managed_keys.software import sign
from managed_keys.verification import public_key_of

SCHEME = SignatureScheme.ECDSA_SHA256


class Key:
    """A key whose behaviour the test chooses."""

    verifies = False
    keeps_deadline = False

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public_key = public_key_of(self.private.public_key())
        self.schemes = schemes_of(self.public_key)
        self.error: BaseException | None = None
        self.hangs = False

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign, fail or hang."""
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        return sign(self.private, message, scheme)


async def test_good_signatures_pass() -> None:
    assert await GuardedKey(Key(), "k").sign(b"m", SCHEME)


async def test_bad_signatures_do_not() -> None:
    key = Key()
    guarded = GuardedKey(key, "k", Measures((cells := Cells()).meter(), "k", "root"))
    key.private = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(BackendRefused, match="does not verify"):
        await guarded.sign(b"m", SCHEME)
    counted = {series.name: values for series, values in cells.totals().items()}
    assert counted["chancery_managed_key_sign_errors_total"] == [1]
    assert sum(counted["chancery_managed_key_sign_duration_seconds"][:-1]) == 1


async def test_schemes_that_the_key_lacks_are_refused_before_anyone_is_asked() -> None:
    key = Key()
    key.schemes = frozenset()
    with pytest.raises(BadInput, match=r"k cannot make ecdsa-sha256 signatures: its mechanism does not sign"):
        await GuardedKey(key, "k").sign(b"m", SCHEME)
    with pytest.raises(BadInput, match=r"cannot make ed25519 .*: it signs with ecdsa-sha1, "):
        await GuardedKey(Key(), "k").sign(b"m", SignatureScheme.ED25519)


async def test_the_deadline_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "DEADLINE", 0.01)
    key = Key()
    key.hangs = True
    with pytest.raises(Unavailable, match=r"no signature within 0\.01 s"):
        await GuardedKey(key, "k").sign(b"m", SCHEME)


async def test_unexpected_errors_are_translated_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    key = Key()
    key.error = KeyError("secret detail")
    with pytest.raises(BackendRefused) as caught:
        await GuardedKey(key, "k").sign(b"m", SCHEME)
    assert "secret detail" not in caught.value.message
    assert "secret detail" in caplog.text


async def test_cancellation_passes() -> None:
    key = Key()
    key.error = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await GuardedKey(key, "k").sign(b"m", SCHEME)
