"""Locking names out after too many failed logins: counted in memory, the lock itself durable and known everywhere.

Names of nobody are treated like any other, so that a lock tells nothing. Each process counts for itself: with several
workers a name has that many times the failures before it is locked. Locks are bounded by the rate at which a method
judges secrets, and are removed once they are over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chancery.kit.engine import Mount, UserLockout
from chancery.kit.errors import Denied
from chancery.kit.sealing import Barrier, keyed_name
from chancery.kit.storage import Collection, Documents, Stored

DEFAULT_THRESHOLD = 5
DEFAULT_DURATION = 15 * 60
DEFAULT_COUNTER_RESET = 15 * 60

_LOCKED_BY_DEFAULT = frozenset({"userpass"})
"""Other methods lock only where a mount is tuned to: a random secret cannot be guessed, and whoever knows a role id
could otherwise keep its machines out."""
_MAX_COUNTED = 100_000


class Lock(Stored):
    """A name that is locked out. People type passwords where names belong: the document is named by a keyed hash."""

    mount_accessor: str
    alias: str
    until: datetime


@dataclass(frozen=True, slots=True, order=True)
class Locked:
    """A name that is locked out at present."""

    mount_accessor: str
    alias: str


@dataclass(slots=True)
class _Failures:
    count: int
    last: datetime


class LockRecords:
    """The locks of one namespace."""

    def __init__(self, documents: Documents, barrier: Barrier) -> None:
        self._locks: Collection[Lock] = documents.collection("lock", Lock)
        self._barrier = barrier

    async def is_locked(self, accessor: str, alias: str, now: datetime) -> bool:
        """Tell whether a name is locked out."""
        document = await self._locks.get(self._name(accessor, alias))
        return document is not None and document.value.until > now

    async def lock(self, accessor: str, alias: str, until: datetime, now: datetime) -> None:
        """Lock a name, durably, and clear away what is over."""
        await self._locks.put(self._name(accessor, alias), Lock(mount_accessor=accessor, alias=alias, until=until))
        for document in await self._locks.all():
            if document.value.until <= now:
                await self._locks.delete(document.name)

    async def unlock(self, accessor: str, alias: str) -> None:
        """Unlock a name; an open one is fine."""
        await self._locks.delete(self._name(accessor, alias))

    async def locked(self, now: datetime) -> list[Locked]:
        """Return every name that is locked out, in order."""
        locks = [document.value for document in await self._locks.all() if document.value.until > now]
        return sorted(Locked(lock.mount_accessor, lock.alias) for lock in locks)

    def _name(self, accessor: str, alias: str) -> str:
        return keyed_name(self._barrier, b"login-lock", f"{accessor}/{alias}")


class MountLockouts:
    """`Lockouts` of the kit, for one auth mount."""

    def __init__(self, records: LockRecords, mount: Callable[[], Mount]) -> None:
        """`mount` returns the mount as it is tuned now."""
        self._records = records
        self._mount = mount
        self._failures: dict[str, _Failures] = {}

    async def demand_open(self, alias: str, now: datetime) -> None:
        """Raise Denied while a name is locked out."""
        if self._rule() is not None and await self._records.is_locked(self._mount().accessor, alias, now):
            raise Denied

    async def failed(self, alias: str, now: datetime) -> None:
        """Count a failure. Raises Denied when it is the one that locks the name out."""
        rule = self._rule()
        if rule is None:
            return
        known = self._failures.pop(alias, None)
        is_stale = known is None or now - known.last >= timedelta(seconds=rule.counter_reset or DEFAULT_COUNTER_RESET)
        count = 1 if known is None or is_stale else known.count + 1
        if count < (rule.threshold or DEFAULT_THRESHOLD):
            self._remember(alias, _Failures(count, now))
            return
        until = now + timedelta(seconds=rule.duration or DEFAULT_DURATION)
        await self._records.lock(self._mount().accessor, alias, until, now)
        raise Denied

    def succeeded(self, alias: str) -> None:
        """Forget the failures of a name."""
        self._failures.pop(alias, None)

    def _rule(self) -> UserLockout | None:
        mount = self._mount()
        tuned = mount.config.user_lockout
        if tuned is None:
            return UserLockout() if mount.type in _LOCKED_BY_DEFAULT else None
        return None if tuned.disable else tuned

    def _remember(self, alias: str, failures: _Failures) -> None:
        if len(self._failures) >= _MAX_COUNTED:
            del self._failures[next(iter(self._failures))]
        self._failures[alias] = failures
