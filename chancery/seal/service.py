"""The life of the seal: initialise, unseal, seal, rotate, and change what it is sealed with.

Root key -> wraps the keyring. What wraps the root key is the unseal key, which Shamir splits (with one share, it is the
share), or a keeper outside. So new shares, and another kind of seal, never touch what the keyring sealed.

Whenever the root key gets a new wrapping, it is replaced as well: old shares with an old copy of the database open
nothing that is written later. All of that is one transaction, so that a crash leaves the seal before or the one after.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, Corrupted, Sealed
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, DuplicateRow
from chancery.seal import records, shares
from chancery.seal.barrier import KeyringBarrier
from chancery.seal.custody import Custody, Keepers
from chancery.seal.keyring import Keyring, new_key, unwrap, wipe, wrap
from chancery.seal.records import SealRecord, SealState, Work
from chancery.seal.shares import Quorum, check_numbers, decode_share
from chancery.storage.documents import Read

__all__ = ["Keepers", "SealService", "SealStatus", "check_numbers", "decode_share"]

_KEYRING = b"keyring"
_SUCCESSOR = b"root key"

_log = logging.getLogger(__name__)

Wrapping = Callable[[bytearray], Awaitable[SealRecord]]
"""Wraps a new root key, and returns the record that goes with it."""


@dataclass(frozen=True, slots=True)
class SealStatus:
    """What `sys/seal-status` tells. Cluster name and id are empty while sealed, the nonce unless shares are in."""

    type: str
    initialized: bool
    sealed: bool
    threshold: int
    shares: int
    progress: int
    nonce: str
    storage_type: str
    cluster_name: str = ""
    cluster_id: str = ""
    recovery_seal: bool = False
    """The root key is kept outside; shares are those of the recovery key."""
    migration: bool = False
    """The settings want another seal than the installation has: unseal with `migrate`."""
    unseal_error: str = ""
    """Why unsealing through the keeper fails at present."""


class SealService:
    """One for the process. Its methods run on the event loop; `barrier` is the same object for life."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        storage_type: str = "sqlite",
        keepers: Keepers | None = None,
    ) -> None:
        self.barrier = KeyringBarrier()
        self._custody = Custody(keepers or Keepers())
        self._database = database
        self._clock = clock
        self._storage_type = storage_type
        self._state: SealState | None = None
        self._quorum: Quorum | None = None
        self._root_key: bytearray | None = None
        self._unseal_error = ""
        self._sealings: list[Callable[[], None]] = []
        self.on_changed: Callable[[], None] = lambda: None
        """Called once a change of keyring or root key is durable, for the workers beside this one to follow."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when this process had to seal itself, because it could not follow what another one did to the seal."""

    async def load(self) -> None:
        """Read how this installation is sealed, if it is one. Before anything else, and cheap."""
        self._state = await self._database.read(records.read_state)

    def on_seal(self, forget: Callable[[], None]) -> None:
        """Have something forgotten whenever the seal closes."""
        self._sealings.append(forget)

    @property
    def record(self) -> SealRecord | None:
        """Return how this installation is sealed; None before initialisation."""
        return self._state.record if self._state is not None else None

    @property
    def opens_by_itself(self) -> bool:
        """Tell whether the keeper alone can unseal."""
        record = self.record
        return record is not None and record.is_kept and not self._custody.migrates(record)

    def status(self) -> SealStatus:
        """Return the state as of now."""
        record, sealed = self.record, self.barrier.is_sealed
        status = SealStatus(
            type=record.type if record else self._custody.type,
            initialized=record is not None,
            sealed=sealed,
            threshold=record.threshold if record else 0,
            shares=record.shares if record else 0,
            progress=self._quorum.progress if self._quorum else 0,
            nonce=self._quorum.nonce if self._quorum else "",
            storage_type=self._storage_type,
            recovery_seal=record.is_kept if record else self._custody.is_kept,
            migration=record is not None and sealed and self._custody.migrates(record),
            unseal_error=self._unseal_error if sealed else "",
        )
        if record is None or sealed:
            return status
        return replace(status, cluster_name=record.cluster_name, cluster_id=record.cluster_id)

    async def initialize(
        self, number: int, threshold: int, also: Callable[[Barrier], Work] | None = None
    ) -> list[bytes]:
        """Make the keys of a new installation, in one transaction; returns the shares, kept nowhere.

        They are shares of the unseal key or, with a keeper, of the recovery key. The server stays sealed. `also` gets
        the new barrier, open for this call only, and returns work for the same transaction: this is how the first root
        token comes to be, or does not, together with the keys.
        Raises BadInput for impossible numbers and when there is an installation already.
        """
        check_numbers(number, threshold, "recovery" if self._custody.is_kept else "seal")
        await self.load()
        if self._state is not None:
            raise BadInput("Vault is already initialized")
        held_key, root_key, keyring = new_key(), new_key(), Keyring.generate(self._clock.now())
        barrier = KeyringBarrier()
        barrier.unlock(keyring)
        plain = keyring.to_bytes()
        try:
            record = await self._custody.first_record(number, threshold, held_key, root_key)
            state = SealState(record, records.stored(record), wrap(root_key, plain, _KEYRING), None)
            work = also(barrier) if also else None
            await self._database.write(lambda at: records.initialize(at, state, work))
            self._state = state
            return shares.split(held_key, number, threshold)
        except DuplicateRow:
            raise BadInput("Vault is already initialized") from None
        finally:
            barrier.lock()
            wipe(held_key, root_key, plain)

    async def unseal(self, share: bytes, *, migrate: bool = False) -> SealStatus:
        """Take one share; with enough of them, unlock the barrier. A share that is in already changes nothing.

        Shares of a recovery key prove that enough people are there, and the keeper unseals. With `migrate` they also
        permit the change to the seal of the settings.
        Raises BadInput for a share that cannot be one, and, with all shares forgotten, for shares that do not fit.
        """
        if self._quorum is None:
            await self.load()
        state = self._state
        if state is None:
            raise BadInput("Vault is not initialized")
        if not self.barrier.is_sealed:
            return self.status()
        self._custody.demand_direction(state.record, migrate=migrate)
        quorum = self._quorum or Quorum()
        quorum.enter(share)
        self._quorum = quorum
        if quorum.progress < state.record.threshold:
            return self.status()
        self._quorum = None
        entered = quorum.take()
        try:
            await self._open(entered, migrate=migrate)
        finally:
            wipe(*entered)
        return self.status()

    async def unseal_by_keeper(self) -> SealStatus:
        """Unlock the barrier with the keeper alone, or tell in the status why not.

        Raises Unavailable, BackendRefused and Corrupted as the keeper does, and BadInput when nobody keeps the key.
        """
        await self.load()
        if not self.barrier.is_sealed:
            return self.status()
        state = self._state
        if state is None:
            raise BadInput("Vault is not initialized")
        root_key = await self._custody.kept_root_key(state.record)
        if self.barrier.is_sealed:
            self._unlock(root_key, state)
        else:  # shares were entered meanwhile
            wipe(root_key)
        return self.status()

    def tell(self, error: str) -> None:
        """Say in the status why the keeper does not unseal at present; empty when nothing is wrong."""
        self._unseal_error = error

    def root_key(self) -> bytes:
        """Return a copy of the root key, for the workers beside this one and nobody else; nothing while sealed."""
        return bytes(self._root_key) if self._root_key is not None else b""

    async def adopt(self, root_key: bytes) -> None:
        """Unlock the barrier with the root key of a worker beside this one. Raises Corrupted when it does not fit."""
        if not self.barrier.is_sealed:
            return
        await self.load()
        if self._state is None:
            raise Corrupted("the database of this installation is empty")
        self._unlock(bytearray(root_key), self._state)

    def reset(self) -> SealStatus:
        """Forget the shares entered so far."""
        quorum, self._quorum = self._quorum, None
        if quorum is not None:
            quorum.wipe()
        return self.status()

    def seal(self) -> None:
        """Lock the barrier and overwrite what it knew. The host drops its caches after this."""
        self.barrier.lock()
        self.reset()
        root_key, self._root_key = self._root_key, None
        if root_key is not None:
            wipe(root_key)
        for forget in self._sealings:
            forget()

    async def rotate(self) -> int:
        """Add a key to the keyring and encrypt with it from now on; returns its number.

        What was sealed before stays readable. Raises Sealed, and Conflict when another process was first.
        """
        root_key, before = self._open_root_key(), self._known_state()
        plain = unwrap(root_key, before.keyring, _KEYRING)
        keyring = Keyring.from_bytes(plain).rotated(self._clock.now())
        rotated = keyring.to_bytes()
        after = wrap(root_key, rotated, _KEYRING)
        wipe(plain, rotated)
        await self._database.write(lambda at: records.replace_keyring(at, before.keyring, after))
        self.on_changed()
        self._follow(keyring, replace(before, keyring=after))
        return keyring.active.number

    async def refresh(self, read: Read | None = None) -> None:
        """Take over what another process did to the seal: a rotated keyring, another root key, other shares.

        Cheap when nothing changed. `read` replaces the database's own. Raises Sealed; also after sealing this process,
        when the root key was replaced so early that this process cannot follow.
        """
        self._open_root_key()
        state = await (read or self._database.read)(records.read_state)
        root_key, known = self._open_root_key(), self._known_state()
        if state is None or state == known:
            return
        if state.keyring == known.keyring:
            self._state = state
            return
        try:
            keyring = _open_keyring(root_key, state.keyring)
        except Corrupted:
            self._succeed(state)
        else:
            self._follow(keyring, state)

    async def prove(self, entered: Sequence[bytearray]) -> bytearray:
        """Return the unseal or recovery key that the shares make; the caller wipes it. Raises BadInput and Sealed."""
        await self.refresh()
        record = self._known_state().record
        key = shares.join(entered, record.threshold)
        try:
            if record.is_kept:
                shares.demand_recovery_key(record, key)
            else:
                root_key = shares.unwrap_root_key(record, key)
                fits = hmac.compare_digest(root_key, self._open_root_key())
                wipe(root_key)
                if not fits:
                    raise Corrupted("the stored root key is not the one that this process was unsealed with")
        except BaseException:
            wipe(key)
            raise
        return key

    async def change_shares(self, held_key: bytearray, number: int, threshold: int) -> None:
        """Let a new unseal key open the root key, or a new recovery key prove that people agree.

        A new unseal key comes with a new root key. Raises Conflict when another process changed the seal meanwhile.
        """
        before = self._known_state()
        record = before.record.model_copy(update={"shares": number, "threshold": threshold})
        if record.is_kept:
            record = record.model_copy(update={"recovery_check": shares.recovery_check(held_key)})
            after = replace(before, record=record, stored_record=records.stored(record))
            await self._database.write(lambda at: records.replace_state(at, before, after))
            self._state = after
            return

        async def wrapping(root_key: bytearray) -> SealRecord:
            return record.model_copy(update={"wrapped_root_key": shares.wrap_root_key(held_key, root_key)})

        await self._change_root_key(before, wrapping)

    async def change_root_key(self) -> None:
        """Make a new root key and have the keeper wrap it. Raises as the keeper does, and Conflict."""
        before = self._known_state()
        await self._change_root_key(before, lambda root_key: self._custody.with_root_key(before.record, root_key))

    async def _open(self, entered: Sequence[bytearray], *, migrate: bool) -> None:
        """Unlock the barrier with enough shares, changing the seal on the way if that is wanted."""
        state = await self._database.read(records.read_state)
        if state is None:
            raise Corrupted("the database of this installation is empty")
        self._state, record = state, state.record
        self._custody.demand_direction(record, migrate=migrate)
        held = shares.join(entered, record.threshold)
        try:
            root_key = await self._custody.root_key(record, held, migrate=migrate)
            if migrate:
                present = root_key
                root_key, state = await self._replaced(
                    present, state, lambda root_key: self._custody.migrated(record, held, root_key)
                )
                wipe(present)
                _log.info("the seal was migrated from %s to %s", record.type, self._custody.type)
        finally:
            wipe(held)
        self._unlock(root_key, state)

    async def _change_root_key(self, before: SealState, wrapping: Wrapping) -> None:
        """Replace the root key of an open installation, and go on with the new one."""
        successor, after = await self._replaced(self._open_root_key(), before, wrapping)
        present = self._root_key
        if present is None:  # sealed meanwhile
            wipe(successor)
            raise Sealed
        wipe(present)
        self._root_key = successor
        self._follow(_open_keyring(successor, after.keyring), after)

    async def _replaced(
        self, root_key: bytearray, before: SealState, wrapping: Wrapping
    ) -> tuple[bytearray, SealState]:
        """Make a new root key, have it wrapped, wrap the keyring under it, and store all that in one transaction."""
        successor, keyring, barrier = new_key(), _open_keyring(root_key, before.keyring), KeyringBarrier()
        barrier.unlock(keyring)
        plain = keyring.to_bytes()
        try:
            bequest, wrapped = barrier.seal(bytes(successor), _SUCCESSOR), wrap(successor, plain, _KEYRING)
            record = await wrapping(successor)
            after = SealState(record, records.stored(record), wrapped, bequest)
            await self._database.write(lambda at: records.replace_state(at, before, after))
            self.on_changed()
        except BaseException:
            wipe(successor)
            raise
        finally:
            barrier.lock()
            wipe(plain)
        return successor, after

    def _succeed(self, state: SealState) -> None:
        """Take over a root key that another process made. Seals and raises Sealed when it cannot be opened."""
        try:
            if state.root_key is None:
                raise Corrupted("no successor of the root key is stored")
            successor = bytearray(self.barrier.open(state.root_key, _SUCCESSOR))
            keyring = _open_keyring(successor, state.keyring)
        except Exception as error:
            _log.error("another process replaced the root key, and this one cannot follow: sealing (%s)", error)
            self.seal()
            self.on_lost()
            raise Sealed from error
        before, self._root_key = self._root_key, successor
        if before is not None:
            wipe(before)
        self._follow(keyring, state)

    def _unlock(self, root_key: bytearray, state: SealState) -> None:
        """Open the keyring and the barrier. The root key is ours from now on; it is wiped when it does not fit."""
        try:
            keyring = _open_keyring(root_key, state.keyring)
        except BaseException:
            wipe(root_key)
            raise
        self.reset()
        self._root_key = root_key
        self._unseal_error = ""
        self._follow(keyring, state)

    def _follow(self, keyring: Keyring, state: SealState) -> None:
        """Put a keyring in the place of the present one, unless the server was sealed meanwhile."""
        if self._root_key is None:
            keyring.wipe()
            raise Sealed
        self.barrier.unlock(keyring)
        self._state = state

    def _open_root_key(self) -> bytearray:
        if self._root_key is None:
            raise Sealed
        return self._root_key

    def _known_state(self) -> SealState:
        assert self._state is not None, "an unsealed installation has a seal"
        return self._state


def _open_keyring(root_key: bytearray, wrapped: bytes) -> Keyring:
    plain = unwrap(root_key, wrapped, _KEYRING)
    try:
        return Keyring.from_bytes(plain)
    finally:
        wipe(plain)
