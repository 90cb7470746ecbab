"""The life of the seal: initialise, unseal share by share, seal, rotate.

Root key -> wraps the keyring. Unseal key -> wraps the root key, and is what Shamir splits (with one share, it is the
share). So new shares need a new unseal key only, and a key provider can take the place of the unseal key.
"""

import base64
import binascii
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput, Corrupted, Sealed
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, DuplicateRow
from chancery.seal import records, shamir
from chancery.seal.barrier import KeyringBarrier
from chancery.seal.keyring import KEY_SIZE, Keyring, new_key, unwrap, wipe, wrap
from chancery.seal.records import SealRecord, Work
from chancery.storage.documents import Read

MIN_SHARE_SIZE = 16
MAX_SHARE_SIZE = KEY_SIZE + 1

_ROOT_KEY = b"root key"
_KEYRING = b"keyring"


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
    migration: bool = False


@dataclass(slots=True)
class _Progress:
    """Shares entered so far."""

    nonce: str
    shares: list[bytearray]

    def wipe(self) -> None:
        wipe(*self.shares)


class SealService:
    """One for the process. Its methods run on the event loop; `barrier` is the same object for life."""

    def __init__(self, database: Database, clock: Clock, *, storage_type: str = "sqlite") -> None:
        self.barrier = KeyringBarrier()
        self._database = database
        self._clock = clock
        self._storage_type = storage_type
        self._record: SealRecord | None = None
        self._progress: _Progress | None = None
        self._root_key: bytearray | None = None
        self._wrapped_keyring = b""

    async def load(self) -> None:
        """Read how this installation is sealed, if it is one. Before anything else, and cheap."""
        self._record = await self._database.read(records.read_record)

    def status(self) -> SealStatus:
        """Return the state as of now."""
        record, sealed = self._record, self.barrier.is_sealed
        return SealStatus(
            type=record.type if record else "shamir",
            initialized=record is not None,
            sealed=sealed,
            threshold=record.threshold if record else 0,
            shares=record.shares if record else 0,
            progress=len(self._progress.shares) if self._progress else 0,
            nonce=self._progress.nonce if self._progress else "",
            storage_type=self._storage_type,
            cluster_name=record.cluster_name if record and not sealed else "",
            cluster_id=record.cluster_id if record and not sealed else "",
        )

    async def initialize(
        self, shares: int, threshold: int, also: Callable[[Barrier], Work] | None = None
    ) -> list[bytes]:
        """Make the keys of a new installation, in one transaction; returns the unseal shares, kept nowhere.

        The server stays sealed. `also` gets the new barrier, open for this call only, and returns work for the same
        transaction: this is how the first root token comes to be, or does not, together with the keys.
        Raises BadInput for impossible numbers and when there is an installation already.
        """
        check_numbers(shares, threshold)
        await self.load()
        if self._record is not None:
            raise BadInput("Vault is already initialized")
        unseal_key, root_key, keyring = new_key(), new_key(), Keyring.generate(self._clock.now())
        barrier = KeyringBarrier()
        barrier.unlock(keyring)
        plain = keyring.to_bytes()
        cluster_id = str(uuid.uuid4())
        try:
            record = SealRecord(
                type="shamir",
                shares=shares,
                threshold=threshold,
                wrapped_root_key=wrap(unseal_key, root_key, _ROOT_KEY),
                cluster_name=f"chancery-cluster-{cluster_id[:8]}",
                cluster_id=cluster_id,
            )
            wrapped = wrap(root_key, plain, _KEYRING)
            work = also(barrier) if also else None
            await self._database.write(lambda at: records.initialize(at, record, wrapped, work))
            self._record = record
            return [bytes(unseal_key)] if shares == 1 else shamir.split(unseal_key, shares, threshold)
        except DuplicateRow:
            raise BadInput("Vault is already initialized") from None
        finally:
            barrier.lock()
            wipe(unseal_key, root_key, plain)

    async def unseal(self, share: bytes) -> SealStatus:
        """Take one share; with enough of them, unlock the barrier. A share that is in already changes nothing.

        Raises BadInput for a share that cannot be one, and, with all shares forgotten, for shares that do not fit.
        """
        if self._record is None:
            await self.load()
        record = self._record
        if record is None:
            raise BadInput("Vault is not initialized")
        if not self.barrier.is_sealed:
            return self.status()
        if len(share) < MIN_SHARE_SIZE:
            raise BadInput(f"invalid key: key is shorter than minimum {MIN_SHARE_SIZE} bytes")
        if len(share) > MAX_SHARE_SIZE:
            raise BadInput(f"invalid key: key is longer than maximum {MAX_SHARE_SIZE} bytes")
        entered = self._enter(share)
        if len(entered.shares) < record.threshold:
            return self.status()
        self._progress = None
        try:
            await self._unlock(record, entered.shares)
        finally:
            entered.wipe()
        return self.status()

    def root_key(self) -> bytes:
        """Return a copy of the root key, for the workers beside this one and nobody else; nothing while sealed."""
        return bytes(self._root_key) if self._root_key is not None else b""

    async def adopt(self, root_key: bytes) -> None:
        """Unlock the barrier with the root key of a worker beside this one. Raises Corrupted when it does not fit."""
        if not self.barrier.is_sealed:
            return
        await self.load()
        wrapped = await self._database.read(records.read_keyring)
        adopted = bytearray(root_key)
        try:
            keyring = self._keyring(adopted, wrapped)
        except BaseException:
            wipe(adopted)
            raise
        self.reset()
        self._root_key = adopted
        self._follow(keyring, wrapped)

    def reset(self) -> SealStatus:
        """Forget the shares entered so far."""
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.wipe()
        return self.status()

    def seal(self) -> None:
        """Lock the barrier and overwrite what it knew. The host drops its caches after this."""
        self.barrier.lock()
        self.reset()
        root_key, self._root_key = self._root_key, None
        if root_key is not None:
            wipe(root_key)

    async def rotate(self) -> int:
        """Add a key to the keyring and encrypt with it from now on; returns its number.

        What was sealed before stays readable. Raises Sealed, and Conflict when another process was first.
        """
        root_key, before = self._open_root_key(), self._wrapped_keyring
        plain = unwrap(root_key, before, _KEYRING)
        keyring = Keyring.from_bytes(plain).rotated(self._clock.now())
        rotated = keyring.to_bytes()
        after = wrap(root_key, rotated, _KEYRING)
        wipe(plain, rotated)
        await self._database.write(lambda at: records.replace_keyring(at, before, after))
        self._follow(keyring, after)
        return keyring.active.number

    async def refresh(self, read: Read | None = None) -> None:
        """Take over a keyring that another process rotated. Cheap when nothing changed. Raises Sealed.

        `read` replaces the database's own.
        """
        self._open_root_key()
        wrapped = await (read or self._database.read)(records.read_keyring)
        if wrapped != self._wrapped_keyring:
            self._follow(self._keyring(self._open_root_key(), wrapped), wrapped)

    def _enter(self, share: bytes) -> _Progress:
        if self._progress is None:
            self._progress = _Progress(str(uuid.uuid4()), [])
        known = [hmac.compare_digest(share, entered) for entered in self._progress.shares]
        if not any(known):
            self._progress.shares.append(bytearray(share))
        return self._progress

    async def _unlock(self, record: SealRecord, shares: list[bytearray]) -> None:
        """Open root key and keyring with the shares. Raises BadInput when they do not fit."""
        root_key = _root_key(record, shares)
        try:
            wrapped = await self._database.read(records.read_keyring)
            keyring = self._keyring(root_key, wrapped)
        except BaseException:
            wipe(root_key)
            raise
        self._root_key = root_key
        self._follow(keyring, wrapped)

    def _keyring(self, root_key: bytearray, wrapped: bytes) -> Keyring:
        plain = unwrap(root_key, wrapped, _KEYRING)
        try:
            return Keyring.from_bytes(plain)
        finally:
            wipe(plain)

    def _follow(self, keyring: Keyring, wrapped: bytes) -> None:
        """Put a keyring in the place of the present one, unless the server was sealed meanwhile."""
        if self._root_key is None:
            keyring.wipe()
            raise Sealed
        self.barrier.unlock(keyring)
        self._wrapped_keyring = wrapped

    def _open_root_key(self) -> bytearray:
        if self._root_key is None:
            raise Sealed
        return self._root_key


def check_numbers(shares: int, threshold: int) -> None:
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
        raise BadInput(f"invalid seal configuration: {problem}")


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


def _root_key(record: SealRecord, shares: list[bytearray]) -> bytearray:
    unseal_key = bytearray(shares[0])
    if record.threshold > 1:
        try:
            unseal_key = shamir.combine(shares)
        except BadInput as error:
            raise BadInput(f"invalid key: failed to compute combined key: {error.message}") from None
    try:
        if len(unseal_key) != KEY_SIZE:
            raise BadInput("invalid key: the key does not have the length of the unseal key")
        return unwrap(unseal_key, record.wrapped_root_key, _ROOT_KEY)
    except Corrupted:
        raise BadInput(
            "invalid key: the shares entered do not open the seal; enter them again from the first"
        ) from None
    finally:
        wipe(unseal_key)
