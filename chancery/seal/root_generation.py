"""Generating a root token: enough people agree, share by share, when nobody has one any more.

The attempt lives in the memory of this process: sealing forgets it. The token is made when the last share is in, and
leaves only under the one-time password that the starter of the attempt was shown.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from chancery.kit.errors import BadInput
from chancery.seal import one_time_password
from chancery.seal.keyring import wipe
from chancery.seal.service import SealService
from chancery.seal.shares import Quorum

_OPERATION = "root generation"


@dataclass(frozen=True, slots=True)
class RootProgress:
    """Where an attempt stands. `otp` is in the answer that begins an attempt with a password made here, never again."""

    required: int
    otp_length: int
    """What a password must have; 0 in answers to shares."""
    started: bool = False
    nonce: str = ""
    progress: int = 0
    otp: str = field(default="", repr=False)
    encoded_token: str = field(default="", repr=False)
    complete: bool = False


@dataclass(slots=True)
class _Attempt:
    password: str = field(repr=False)
    quorum: Quorum


class RootGeneration:
    """One for the process. `create` makes a root token, durably, and returns its text of `token_length` bytes."""

    def __init__(self, seal: SealService, create: Callable[[], Awaitable[str]], token_length: int) -> None:
        self._seal = seal
        self._create = create
        self._token_length = token_length
        self._attempt: _Attempt | None = None
        seal.on_seal(self.cancel)

    def status(self) -> RootProgress:
        """Return where the attempt stands."""
        required, attempt = self._required(), self._attempt
        if attempt is None:
            return RootProgress(required, self._token_length)
        return RootProgress(
            required,
            self._token_length,
            started=True,
            nonce=attempt.quorum.nonce,
            progress=attempt.quorum.progress,
        )

    def begin(self, otp: str) -> RootProgress:
        """Start an attempt, with a password of the starter's or a random one. Raises BadInput."""
        if otp and len(otp.encode()) != self._token_length:
            raise BadInput(f"OTP string has incorrect length: it must have {self._token_length} characters")
        if self._attempt is not None:
            raise BadInput("root generation already in progress")
        password = otp or one_time_password.generate(self._token_length)
        self._attempt = _Attempt(password, Quorum())
        return replace(self.status(), otp="" if otp else password)

    async def update(self, nonce: str, share: bytes) -> RootProgress:
        """Take a share; the last one makes the token. Raises BadInput; with all shares forgotten if they do not fit."""
        required, attempt = self._required(), self._attempt
        if attempt is None:
            raise BadInput("no root generation in progress")
        attempt.quorum.demand(nonce, _OPERATION)
        if not attempt.quorum.enter(share):
            raise BadInput("given key has already been provided during this generation operation")
        if attempt.quorum.progress < required:
            return replace(self.status(), otp_length=0)
        entered = attempt.quorum.take()
        try:
            wipe(await self._seal.prove(entered))
        finally:
            wipe(*entered)
        if self._attempt is not attempt:
            raise BadInput("the root generation was canceled meanwhile")
        self._attempt = None
        token = await self._create()
        return RootProgress(
            required,
            otp_length=0,
            started=True,
            nonce=nonce,
            progress=required,
            encoded_token=one_time_password.encode(token, attempt.password),
            complete=True,
        )

    def cancel(self) -> None:
        """Give the attempt up. Fine when there is none."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.quorum.wipe()

    def _required(self) -> int:
        record = self._seal.record
        assert record is not None, "only an unsealed installation serves"
        return record.threshold
