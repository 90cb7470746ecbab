"""Who opens the root key: shares of an unseal key, or a keeper outside. By the record, and by what the settings want.

When the two differ, the installation migrates, which enough people must permit with their shares. What they hold stays
in their hands: an unseal key becomes the recovery key, and the other way round.
"""

import hmac
import uuid
from dataclasses import dataclass

from chancery.kit.errors import BackendRefused, BadInput
from chancery.kit.seal_keepers import SealKeeper
from chancery.seal import shares
from chancery.seal.keyring import wipe
from chancery.seal.records import SHAMIR, SealRecord


@dataclass(frozen=True, slots=True)
class Keepers:
    """Who keeps the root key by the settings. None: Shamir's shares do."""

    current: SealKeeper | None = None
    previous: SealKeeper | None = None
    """Who kept it before, while the installation migrates."""


class Custody:
    """The rules. Remembers nothing; keepers are its only contact with the world."""

    def __init__(self, keepers: Keepers) -> None:
        self._current = keepers.current
        self._previous = keepers.previous

    @property
    def type(self) -> str:
        """Return the type of the seal that the settings want."""
        return self._current.type if self._current is not None else SHAMIR

    @property
    def is_kept(self) -> bool:
        """Tell whether the settings want a keeper."""
        return self._current is not None

    def migrates(self, record: SealRecord) -> bool:
        """Tell whether the settings want another seal than the installation has."""
        if record.type != self.type:
            return True
        if self._current is None or self._current.recognises(record.wrapped_root_key):
            return False
        before = self._keeper_before(record)
        return before is not None and before.recognises(record.wrapped_root_key)

    def demand_direction(self, record: SealRecord, *, migrate: bool) -> None:
        """Raise BadInput when what is asked is not what the settings want."""
        if migrate is not self.migrates(record):
            raise BadInput(
                "can't perform a seal migration: the settings name the seal that the installation has"
                if migrate
                else f"the installation is sealed by {record.type} and the settings want {self.type}: unseal with "
                "'migrate' set to true to change the seal, or correct the settings"
            )
        if migrate and record.is_kept and self._keeper_before(record) is None:
            raise BadInput(
                f"the installation is sealed by {record.type}: name that seal as previous_seal in the settings, so "
                "that it can be migrated"
            )

    async def first_record(self, number: int, threshold: int, held: bytearray, root_key: bytearray) -> SealRecord:
        """Wrap the root key of a new installation. `held` is the key that people will hold the shares of."""
        cluster_id = str(uuid.uuid4())
        draft = SealRecord(
            type=SHAMIR,
            shares=number,
            threshold=threshold,
            wrapped_root_key=b"",
            cluster_name=f"chancery-cluster-{cluster_id[:8]}",
            cluster_id=cluster_id,
        )
        return await self.migrated(draft, held, root_key)

    async def root_key(self, record: SealRecord, held: bytearray, *, migrate: bool) -> bytearray:
        """Open the root key with what enough shares make. Raises BadInput when it does not fit, or as keepers do."""
        if not record.is_kept:
            return shares.unwrap_root_key(record, held)
        shares.demand_recovery_key(record, held)
        keeper = self._keeper_before(record) if migrate else self._current
        assert keeper is not None, "the direction was demanded"
        return await keeper.unwrap(record.wrapped_root_key)

    async def kept_root_key(self, record: SealRecord) -> bytearray:
        """Open the root key with the keeper alone. Raises BadInput when nobody keeps it, or as keepers do."""
        if self._current is None or not record.is_kept or self.migrates(record):
            raise BadInput("this installation is not unsealed by a keeper: enter shares")
        return await self._current.unwrap(record.wrapped_root_key)

    async def migrated(self, record: SealRecord, held: bytearray, root_key: bytearray) -> SealRecord:
        """Return the record under the seal of the settings."""
        if self._current is None:
            return _changed(
                record, type=SHAMIR, wrapped_root_key=shares.wrap_root_key(held, root_key), recovery_check=b""
            )
        check = shares.recovery_check(held)
        return _changed(record, type=self.type, wrapped_root_key=await self._wrapped(root_key), recovery_check=check)

    async def with_root_key(self, record: SealRecord, root_key: bytearray) -> SealRecord:
        """Return the record of a kept installation with another root key."""
        return _changed(record, wrapped_root_key=await self._wrapped(root_key))

    def _keeper_before(self, record: SealRecord) -> SealKeeper | None:
        previous = self._previous
        return previous if previous is not None and previous.type == record.type else None

    async def _wrapped(self, root_key: bytearray) -> bytes:
        """Have the keeper wrap the root key, and look whether it gives it back: nobody else has a copy."""
        keeper = self._current
        assert keeper is not None, "only a keeper wraps"
        wrapped = await keeper.wrap(root_key)
        returned = await keeper.unwrap(wrapped)
        same = hmac.compare_digest(returned, root_key)
        wipe(returned)
        if not same:
            raise BackendRefused(f"seal {keeper.type}: what was wrapped came back as something else; nothing changed")
        return wrapped


def _changed(record: SealRecord, **changes: object) -> SealRecord:
    return SealRecord.model_validate(record.model_dump() | changes)
