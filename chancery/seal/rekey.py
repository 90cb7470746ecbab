"""Rekeying: enough people agree, share by share, to new shares of the unseal key or of the recovery key.

nothing -> (begin) -> proving -> (enough shares) -> done, or -> verifying -> (the new shares were entered) -> done.

Until verification is over the old shares stay in force, and the new key exists in this process's memory alone. A wrong
share in the middle begins the shares anew, not the attempt.
"""

import hmac
from dataclasses import dataclass
from enum import Enum

from chancery.kit.errors import BadInput
from chancery.seal import shares
from chancery.seal.keyring import new_key, wipe
from chancery.seal.records import SealRecord
from chancery.seal.service import SealService
from chancery.seal.shares import Quorum

_OPERATION = "rekey"
_VERIFICATION = "verify"


class Target(Enum):
    """What gets new shares."""

    BARRIER = "barrier"
    """The unseal key. Where a keeper holds the root key: nothing to share, a new root key only."""
    RECOVERY = "recovery"
    """The recovery key; only where a keeper holds the root key."""


@dataclass(frozen=True, slots=True)
class Order:
    """How the new key is to be shared."""

    shares: int
    threshold: int
    require_verification: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an attempt stands. Without one `started` is false, and only `required` says anything."""

    started: bool
    required: int
    nonce: str = ""
    shares: int = 0
    threshold: int = 0
    progress: int = 0
    verification_required: bool = False
    verification_nonce: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """Enough people agreed. `keys` are the new shares, kept nowhere; in force once verified if that is required."""

    nonce: str
    keys: tuple[bytes, ...]
    verification_required: bool
    verification_nonce: str

    def __repr__(self) -> str:
        return f"Completed({self.nonce})"


@dataclass(frozen=True, slots=True)
class Verification:
    """Where the verification of the new shares stands."""

    nonce: str
    shares: int
    threshold: int
    progress: int
    started: bool = True
    complete: bool = False


@dataclass(slots=True)
class _Attempt:
    order: Order
    proving: Quorum
    held: bytearray | None = None
    """The new key, while its shares are verified."""
    verifying: Quorum | None = None

    def __repr__(self) -> str:
        return f"_Attempt({self.order})"

    def wipe(self) -> None:
        """Forget everything that was entered or made."""
        for quorum in (self.proving, self.verifying):
            if quorum is not None:
                quorum.wipe()
        if self.held is not None:
            wipe(self.held)


class Rekey:
    """One target's attempt, in the memory of this process: sealing forgets it."""

    def __init__(self, seal: SealService, target: Target) -> None:
        self._seal = seal
        self._target = target
        self._attempt: _Attempt | None = None
        seal.on_seal(self.cancel)

    def status(self) -> Progress:
        """Return where the attempt stands. Raises BadInput when this installation has no such key."""
        record, attempt = self._record(), self._attempt
        if attempt is None:
            return Progress(started=False, required=record.threshold)
        order = attempt.order
        return Progress(
            started=True,
            required=record.threshold,
            nonce=attempt.proving.nonce,
            shares=order.shares,
            threshold=order.threshold,
            progress=attempt.proving.progress,
            verification_required=order.require_verification,
            verification_nonce=attempt.verifying.nonce if attempt.verifying is not None else "",
        )

    def begin(self, order: Order) -> Progress:
        """Start an attempt. Raises BadInput when one is under way, and for impossible orders."""
        if self._makes_no_shares(self._record()):
            if order.require_verification:
                raise BadInput("requiring verification not supported when rekeying the barrier key with recovery keys")
            if (order.shares, order.threshold) != (1, 1):
                raise BadInput("secret_shares and secret_threshold must be 1: the seal's keeper holds the root key")
        else:
            shares.check_numbers(order.shares, order.threshold, "rekey seal")
        if self._attempt is not None:
            raise BadInput("rekey already in progress")
        self._attempt = _Attempt(order, Quorum())
        return self.status()

    async def update(self, nonce: str, share: bytes) -> Progress | Completed:
        """Take one of the present shares. Raises BadInput; also, with all shares forgotten, when they do not fit."""
        record, attempt = self._record(), self._attempt
        if attempt is None:
            raise BadInput(f"no {self._target.value} rekey in progress")
        if attempt.verifying is not None:
            raise BadInput(
                "rekey operation already finished; verification must be performed; nonce for the verification "
                f'operation is "{attempt.verifying.nonce}"'
            )
        attempt.proving.demand(nonce, _OPERATION)
        if not attempt.proving.enter(share):
            raise BadInput("given key has already been provided during this generation operation")
        if attempt.proving.progress < record.threshold:
            return self.status()
        entered = attempt.proving.take()
        try:
            wipe(await self._seal.prove(entered))
        finally:
            wipe(*entered)
        if self._attempt is not attempt:
            raise BadInput("the rekey was canceled meanwhile")
        return await self._complete(record, attempt)

    def cancel(self) -> None:
        """Give the attempt up; the present shares stay as they are. Fine when there is none."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.wipe()

    def verification(self) -> Verification:
        """Return where the verification stands. Raises BadInput when there is no attempt."""
        self._record()
        attempt = self._attempt
        if attempt is None:
            raise BadInput("no rekey configuration found")
        order, verifying = attempt.order, attempt.verifying
        if verifying is None:
            return Verification("", order.shares, order.threshold, 0, started=False)
        return Verification(verifying.nonce, order.shares, order.threshold, verifying.progress)

    async def verify(self, nonce: str, share: bytes) -> Verification:
        """Take one of the new shares; with enough of them they are in force. Raises BadInput, and Conflict."""
        self._record()
        attempt = self._attempt
        if attempt is None:
            raise BadInput("no rekey configuration found")
        verifying, held = attempt.verifying, attempt.held
        if verifying is None or held is None:
            raise BadInput("no rekey verification in progress")
        verifying.demand(nonce, _VERIFICATION)
        if not verifying.enter(share):
            raise BadInput("given key has already been provided during this verify operation")
        if verifying.progress < attempt.order.threshold:
            return self.verification()
        entered = verifying.take()
        try:
            fits = _is_shared_by(held, entered, attempt.order)
        finally:
            wipe(*entered)
        if not fits:
            attempt.verifying = Quorum()
            raise BadInput("rekey verification failed; incorrect key shares supplied")
        await self._install(attempt, held)
        return Verification(nonce, attempt.order.shares, attempt.order.threshold, 0, complete=True)

    def restart_verification(self) -> Verification:
        """Forget the new shares entered so far, and the nonce; the new shares stay the same."""
        self.verification()
        attempt = self._attempt
        if attempt is not None and attempt.verifying is not None:
            attempt.verifying.wipe()
            attempt.verifying = Quorum()
        return self.verification()

    async def _complete(self, record: SealRecord, attempt: _Attempt) -> Completed:
        order, nonce = attempt.order, attempt.proving.nonce
        if self._makes_no_shares(record):
            self._attempt = None
            await self._seal.change_root_key()
            return Completed(nonce, (), verification_required=False, verification_nonce="")
        held = new_key()
        keys = tuple(shares.split(held, order.shares, order.threshold))
        if order.require_verification:
            attempt.held, attempt.verifying = held, Quorum()
            return Completed(nonce, keys, verification_required=True, verification_nonce=attempt.verifying.nonce)
        try:
            await self._install(attempt, held)
        finally:
            wipe(held)
        return Completed(nonce, keys, verification_required=False, verification_nonce="")

    async def _install(self, attempt: _Attempt, held: bytearray) -> None:
        """Put the new shares in force. Whatever comes of it, the attempt is over."""
        self._attempt = None
        try:
            await self._seal.change_shares(held, attempt.order.shares, attempt.order.threshold)
        finally:
            attempt.wipe()

    def _record(self) -> SealRecord:
        """Return how the installation is sealed. Raises BadInput when it has no key of this target."""
        record = self._seal.record
        assert record is not None, "only an unsealed installation serves"
        if self._target is Target.RECOVERY and not record.is_kept:
            raise BadInput("recovery rekeying not supported")
        return record

    def _makes_no_shares(self, record: SealRecord) -> bool:
        return record.is_kept and self._target is Target.BARRIER


def _is_shared_by(held: bytearray, entered: list[bytearray], order: Order) -> bool:
    """Tell whether these shares make this key."""
    try:
        joined = shares.join(entered, order.threshold)
    except BadInput:
        return False
    same = hmac.compare_digest(joined, held)
    wipe(joined)
    return same
