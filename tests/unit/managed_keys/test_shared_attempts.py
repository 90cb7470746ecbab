"""A wrong PIN is tried once by all processes of a server together, and once more each time the key is written anew."""

import asyncio
from pathlib import Path

import pytest

from chancery.kit.attempts import Attempts, OwnAttempts
from chancery.kit.engine import KmsLibrary
from chancery.workers.attempts import SharedAttempts
from managed_keys.providers.pkcs11.address import TokenAddress
from managed_keys.providers.pkcs11.ckr import Fault
from managed_keys.providers.pkcs11.messages import Failure, Find, Login
from managed_keys.providers.pkcs11.pool import SignerPool
from managed_keys.providers.pkcs11.process import Owner, SignerProcess


class Token:
    """Counts logins; refuses every PIN but the right one."""

    def __init__(self) -> None:
        self.tried: list[str] = []


class Signer:
    """A signer process that only logs in."""

    alive, ready, load = True, False, 0

    def __init__(self, token: Token) -> None:
        self._token = token
        self.unanswered: list[object] = []

    async def login(self, login: Login, _allowance: float) -> None:
        """Try the PIN."""
        await asyncio.sleep(0)
        self._token.tried.append(login.pin)
        raise Failure(Fault.PIN, "CKR_PIN_INCORRECT")

    def kill(self, _reason: str, *, hung: bool = False) -> None:
        """End."""

    def retire(self, _reason: str) -> None:
        """End."""


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Token:
    token = Token()

    async def spawn(_library: KmsLibrary, _owner: Owner) -> Signer:
        return Signer(token)

    monkeypatch.setattr(SignerProcess, "spawn", spawn)
    return token


def _pool(attempts: Attempts, pin: str = "0000") -> SignerPool:
    library = KmsLibrary("hsm", "pkcs11", Path("/module.so"))
    return SignerPool(TokenAddress(library, "label", "", pin, False), 1, attempts)


async def _refused(pool: SignerPool) -> None:
    with pytest.raises(Failure) as caught:
        await pool.find(Find(b"", "key"))
    assert caught.value.fault is Fault.PIN
    assert "CKR_PIN_INCORRECT" in caught.value.text


async def test_processes_that_log_in_at_once_try_a_wrong_pin_once(token: Token) -> None:
    attempts = SharedAttempts()
    pools = [_pool(attempts) for _ in range(4)]
    await asyncio.gather(*map(_refused, pools))
    assert token.tried == ["0000"]
    for pool in pools:
        await pool.aclose()


async def test_each_writing_anew_is_one_more_attempt_for_all_together(token: Token) -> None:
    attempts = SharedAttempts()
    for _ in range(3):
        pools = [_pool(attempts) for _ in range(3)]
        await asyncio.gather(*map(_refused, pools))
        for pool in pools:  # every process learns sooner or later that the key was written anew
            pool.crew.forgive()
            await pool.aclose()
    assert len(token.tried) == 3


async def test_a_process_that_learns_late_of_the_writing_allows_no_further_attempt(token: Token) -> None:
    attempts = SharedAttempts()
    early, late = _pool(attempts), _pool(attempts)
    await asyncio.gather(_refused(early), _refused(late))
    early.crew.forgive()
    await _refused(again := _pool(attempts))
    late.crew.forgive()
    await _refused(last := _pool(attempts))
    assert len(token.tried) == 2
    for pool in (early, late, again, last):
        await pool.aclose()


async def test_another_pin_is_another_attempt(token: Token) -> None:
    attempts = SharedAttempts()
    for pin in ("0000", "1111"):
        pool = _pool(attempts, pin)
        await _refused(pool)
        await pool.aclose()
    assert token.tried == ["0000", "1111"]


async def test_a_single_process_remembers_by_itself(token: Token) -> None:
    pool = _pool(OwnAttempts())
    await _refused(pool)
    await _refused(pool)
    assert token.tried == ["0000"]
    await pool.aclose()
