"""Keepers and shares: initialising, unsealing, migrating; and what a failure at each step leaves behind."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from chancery.kit.clock import SystemClock
from chancery.kit.errors import BackendRefused, BadInput, ChanceryError, Corrupted, Unavailable
from chancery.kit.seal_keepers import SealKeeper
from chancery.kit.storage import Database
from chancery.seal import records
from chancery.seal.service import SealService
from chancery.storage.database import HostDatabase
from chancery.storage.schema import META
from tests.support.seal_keeper import CrashingDatabase, FakeKeeper, service_of, unsealed
from tests.support.storage_open import BACKENDS, count, prepare


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HostDatabase]:
    async with BACKENDS[request.param](tmp_path) as opened:
        await prepare(opened)
        yield opened


async def test_a_keeper_unseals_and_people_hold_recovery_shares(database: HostDatabase) -> None:
    keeper = FakeKeeper()
    seal = await service_of(database, keeper)
    assert (seal.status().type, seal.status().recovery_seal, seal.opens_by_itself) == ("fake", True, False)
    keys = await seal.initialize(3, 2)
    assert keeper.calls == ["wrap", "unwrap"], "what was wrapped is looked at before anything is stored"
    status = await seal.unseal_by_keeper()
    assert (status.sealed, status.shares, status.threshold, status.recovery_seal) == (False, 3, 2, True)
    sealed = seal.barrier.seal(b"x", b"c")

    other = await service_of(database, keeper)
    assert other.opens_by_itself
    assert (await other.unseal(keys[0])).progress == 1
    assert not (await other.unseal(keys[2])).sealed, "recovery shares unseal too, through the keeper"
    assert other.barrier.open(sealed, b"c") == b"x"


async def test_recovery_shares_alone_open_nothing(database: HostDatabase) -> None:
    keeper = FakeKeeper()
    seal = await service_of(database, keeper)
    (key,) = await seal.initialize(1, 1)
    keeper.go_away()
    with pytest.raises(Unavailable):
        await seal.unseal(key)
    assert seal.barrier.is_sealed
    with pytest.raises(BadInput, match="invalid key"):
        await seal.unseal(bytes(32))
    assert keeper.calls.count("unwrap") == 2, "wrong shares do not reach the keeper"
    assert not (await seal.unseal(key)).sealed


@pytest.mark.parametrize("fault", [0, 1], ids=["wrap", "unwrap"])
async def test_initialising_is_all_or_nothing(database: HostDatabase, fault: int) -> None:
    keeper = FakeKeeper()
    keeper.faults[fault] = lambda: Unavailable("the HSM is away")
    seal = await service_of(database, keeper)
    with pytest.raises(Unavailable):
        await seal.initialize(1, 1)
    assert await count(database, META) == 0
    assert await seal.initialize(1, 1)


async def test_a_keeper_that_gives_back_something_else_is_not_trusted(database: HostDatabase) -> None:
    keeper = FakeKeeper()
    keeper.mangles = True
    seal = await service_of(database, keeper)
    with pytest.raises(BackendRefused, match="something else"):
        await seal.initialize(1, 1)
    assert await count(database, META) == 0


async def test_impossible_recovery_shares_are_refused(database: HostDatabase) -> None:
    seal = await service_of(database, FakeKeeper())
    with pytest.raises(BadInput, match="invalid recovery configuration: shares must be at least one"):
        await seal.initialize(0, 0)


SHAMIR, HSM, OTHER = "shamir", "hsm", "other"
MIGRATIONS = [(SHAMIR, HSM), (HSM, SHAMIR), (HSM, OTHER)]


class Site:
    """One installation whose settings change from one seal to another."""

    def __init__(self, database: Database, before: str, after: str) -> None:
        self.database = database
        self.keepers = {name: FakeKeeper(name) for name in (HSM, OTHER)}
        self.before, self.after = self.keepers.get(before), self.keepers.get(after)

    async def initialized(self) -> tuple[list[bytes], bytes]:
        """Return the shares, and something sealed."""
        seal = await service_of(self.database, self.before)
        keys = await seal.initialize(3, 2)
        await unsealed(seal, *keys[:2])
        return keys, seal.barrier.seal(b"x", b"c")

    async def restarted(self, *, previous: bool = True) -> SealService:
        """Return a process with the new settings."""
        return await service_of(self.database, self.after, self.before if previous else None)


def rises(error: Exception) -> Callable[[], Exception]:
    return lambda: error


@pytest.mark.parametrize(("before", "after"), MIGRATIONS)
async def test_seals_migrate(database: HostDatabase, before: str, after: str) -> None:
    site = Site(database, before, after)
    keys, sealed = await site.initialized()
    seal = await site.restarted()
    assert seal.status().migration
    assert not seal.opens_by_itself
    with pytest.raises(BadInput, match="'migrate' set to true"):
        await seal.unseal(keys[0])
    await unsealed(seal, *keys[1:], migrate=True)
    assert (seal.status().migration, seal.status().recovery_seal) == (False, after != SHAMIR)
    assert seal.barrier.open(sealed, b"c") == b"x"
    assert seal.record is not None
    assert (seal.record.shares, seal.record.threshold) == (3, 2)

    for previous in (True, False):
        late = await site.restarted(previous=previous)
        assert not late.status().migration
        with pytest.raises(BadInput, match="can't perform a seal migration"):
            await late.unseal(keys[0], migrate=True)
        if after != SHAMIR:
            assert not (await late.unseal_by_keeper()).sealed
        else:
            with pytest.raises(BadInput, match="not unsealed by a keeper"):
                await late.unseal_by_keeper()
            await unsealed(late, *keys[:2])
        assert late.barrier.open(sealed, b"c") == b"x"


@pytest.mark.parametrize(("before", "after"), MIGRATIONS)
async def test_a_migrated_installation_does_not_open_the_old_way(
    database: HostDatabase, before: str, after: str
) -> None:
    site = Site(database, before, after)
    keys, _ = await site.initialized()
    old = await database.read(records.read_state)
    await unsealed(await site.restarted(), *keys[:2], migrate=True)
    new = await database.read(records.read_state)
    assert old is not None
    assert new is not None
    assert old.keyring != new.keyring, "the keyring is wrapped under another root key"
    mixed = new.record.model_copy(
        update={name: getattr(old.record, name) for name in ("type", "wrapped_root_key", "recovery_check")}
    )
    await _store_record(database, mixed)
    seal = await service_of(database, site.before)
    with pytest.raises(Corrupted):
        await unsealed(seal, *keys[:2])


@pytest.mark.parametrize(("before", "after"), [(HSM, SHAMIR), (HSM, OTHER)])
async def test_the_keeper_before_must_be_named(database: HostDatabase, before: str, after: str) -> None:
    site = Site(database, before, after)
    keys, _ = await site.initialized()
    seal = await site.restarted(previous=False)
    if after == OTHER:  # nothing says that another key is meant: it is asked, and does not know the root key
        with pytest.raises(Corrupted):
            await seal.unseal_by_keeper()
    else:
        with pytest.raises(BadInput, match="previous_seal"):
            await seal.unseal(keys[0], migrate=True)


@pytest.mark.parametrize(("before", "after"), MIGRATIONS)
async def test_wrong_shares_migrate_nothing(database: HostDatabase, before: str, after: str) -> None:
    site = Site(database, before, after)
    keys, _ = await site.initialized()
    state = await database.read(records.read_state)
    seal = await site.restarted()
    await seal.unseal(keys[0], migrate=True)
    with pytest.raises(BadInput, match="invalid key"):
        await seal.unseal(bytes(32) + b"\x07", migrate=True)
    assert await database.read(records.read_state) == state
    await unsealed(seal, *keys[:2], migrate=True)


STEPS = ["unwrap-old", "wrap-new", "look-at-it", "before-commit", "after-commit"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("before", "after"), MIGRATIONS)
async def test_a_migration_that_is_cut_short_goes_on(
    database: HostDatabase, before: str, after: str, step: str
) -> None:
    site = Site(database, before, after)
    keys, sealed = await site.initialized()
    crashing = CrashingDatabase(database, step)
    seal = await service_of(crashing, site.after, site.before)
    hurt = {"unwrap-old": (site.before, 0), "wrap-new": (site.after, 0), "look-at-it": (site.after, 1)}.get(step)
    if hurt is not None:
        keeper, number = hurt
        if keeper is None:
            return  # shares need nobody outside
        keeper.faults[len(keeper.calls) + number] = rises(Unavailable("the power went"))
    await seal.unseal(keys[0], migrate=True)
    with pytest.raises(Unavailable, match="the power went"):
        await seal.unseal(keys[1], migrate=True)
    assert seal.barrier.is_sealed

    late = await site.restarted()
    assert late.status().migration is (step != "after-commit")
    if late.status().migration:
        await unsealed(late, *keys[1:], migrate=True)
    elif after == SHAMIR:
        await unsealed(late, *keys[1:])
    else:
        await late.unseal_by_keeper()
    assert late.barrier.open(sealed, b"c") == b"x"


async def test_the_record_of_the_first_release_is_read(database: HostDatabase) -> None:
    seal = await service_of(database)
    keys = await seal.initialize(1, 1)
    assert seal.record is not None
    old = seal.record.model_dump_json(exclude={"recovery_check"}).encode()
    await database.write(lambda at: at.execute(update(META).where(META.c.key == "seal").values(value=old)))
    service = await unsealed(await service_of(database), *keys)
    assert await service.rotate() == 2


async def _store_record(database: Database, record: records.SealRecord) -> None:
    value = records.stored(record)
    await database.write(lambda at: at.execute(update(META).where(META.c.key == "seal").values(value=value)))


async def test_settings_and_installation_must_agree(database: HostDatabase) -> None:
    keeper: SealKeeper = FakeKeeper()
    seal = SealService(database, SystemClock())
    with pytest.raises(BadInput, match="not initialized"):
        await seal.unseal_by_keeper()
    keys = await seal.initialize(1, 1)
    other = await service_of(database, keeper)
    with pytest.raises(ChanceryError, match="sealed by shamir and the settings want fake"):
        await other.unseal(keys[0])
    with pytest.raises(BadInput, match="not unsealed by a keeper"):
        await other.unseal_by_keeper()
