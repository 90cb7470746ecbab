"""Rekeying: what enough people can do, what fewer cannot, and what a failure at each step leaves behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chancery.kit.errors import BadInput, Conflict, Sealed, Unavailable
from chancery.seal.rekey import Completed, Order, Progress, Rekey, Target
from chancery.seal.service import SealService
from chancery.storage.database import HostDatabase
from tests.support.seal_keeper import CrashingDatabase, FakeKeeper, service_of, unsealed
from tests.support.storage_open import BACKENDS, prepare


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HostDatabase]:
    async with BACKENDS[request.param](tmp_path) as opened:
        await prepare(opened)
        yield opened


class Site:
    """An unsealed installation of three shares, two of which are needed."""

    def __init__(self, database: HostDatabase, seal: SealService, keys: list[bytes], keeper: FakeKeeper | None) -> None:
        self.database, self.seal, self.keys, self.keeper = database, seal, keys, keeper
        self.sealed = seal.barrier.seal(b"x", b"c")

    @classmethod
    async def made(cls, database: HostDatabase, keeper: FakeKeeper | None = None) -> "Site":
        """Initialise and unseal."""
        seal = await service_of(database, keeper)
        keys = await seal.initialize(3, 2)
        await unsealed(seal, *keys[:2])
        return cls(database, seal, keys, keeper)

    async def opens_with(self, *keys: bytes) -> bool:
        """Tell whether these shares unseal another process."""
        other = await service_of(self.database, self.keeper)
        try:
            await unsealed(other, *keys)
        except BadInput:
            return False
        return other.barrier.open(self.sealed, b"c") == b"x"


@pytest.fixture(params=["shamir", "keeper"])
async def site(request: pytest.FixtureRequest, database: HostDatabase) -> Site:
    """Return a site of either kind."""
    return await Site.made(database, FakeKeeper() if request.param == "keeper" else None)


def rekey_of(site: Site) -> Rekey:
    """Return the attempts at what people hold shares of."""
    return Rekey(site.seal, Target.RECOVERY if site.keeper else Target.BARRIER)


async def agreed(rekey: Rekey, keys: list[bytes]) -> Completed:
    """Enter enough of the present shares."""
    nonce = rekey.status().nonce
    assert isinstance(await rekey.update(nonce, keys[0]), Progress)
    completed = await rekey.update(nonce, keys[2])
    assert isinstance(completed, Completed)
    return completed


async def test_new_shares_take_the_place_of_the_old(site: Site) -> None:
    rekey = rekey_of(site)
    assert rekey.status() == Progress(started=False, required=2)
    began = rekey.begin(Order(5, 3))
    assert (began.started, began.shares, began.threshold, began.progress, began.required) == (True, 5, 3, 0, 2)
    completed = await agreed(rekey, site.keys)
    assert (len(completed.keys), completed.nonce, completed.verification_required) == (5, began.nonce, False)
    assert not rekey.status().started
    assert await site.opens_with(*completed.keys[1:4])
    assert not await site.opens_with(*site.keys)
    status = site.seal.status()
    assert (status.shares, status.threshold, status.sealed) == (5, 3, False)
    assert site.seal.barrier.open(site.sealed, b"c") == b"x", "what serves goes on serving"
    assert await site.seal.rotate() == 2


async def test_with_verification_the_new_shares_wait(site: Site) -> None:
    rekey = rekey_of(site)
    with pytest.raises(BadInput, match="no rekey configuration found"):
        rekey.verification()
    rekey.begin(Order(2, 2, require_verification=True))
    assert not rekey.verification().started
    with pytest.raises(BadInput, match="no rekey verification in progress"):
        await rekey.verify("", bytes(33))
    completed = await agreed(rekey, site.keys)
    assert completed.verification_required
    with pytest.raises(BadInput, match=f'already finished.*"{completed.verification_nonce}"'):
        await rekey.update(completed.nonce, site.keys[1])
    assert await site.opens_with(*site.keys[:2]), "until then the old shares count"

    nonce = completed.verification_nonce
    assert rekey.status().verification_nonce == nonce
    with pytest.raises(BadInput, match=f'nonce for this verify operation is "{nonce}"'):
        await rekey.verify(completed.nonce, completed.keys[0])
    assert (await rekey.verify(nonce, completed.keys[0])).progress == 1
    with pytest.raises(BadInput, match="already been provided"):
        await rekey.verify(nonce, completed.keys[0])
    with pytest.raises(BadInput, match="incorrect key shares supplied"):
        await rekey.verify(nonce, site.keys[0])
    again = rekey.verification()
    assert (again.progress, again.nonce != nonce) == (0, True)
    restarted = rekey.restart_verification()
    assert restarted.nonce != again.nonce
    await rekey.verify(restarted.nonce, completed.keys[1])
    verified = await rekey.verify(restarted.nonce, completed.keys[0])
    assert verified.complete
    assert await site.opens_with(*completed.keys)
    assert not await site.opens_with(*site.keys[:2])


async def test_wrong_shares_begin_the_shares_anew_not_the_attempt(site: Site) -> None:
    rekey = rekey_of(site)
    with pytest.raises(BadInput, match=r"no (barrier|recovery) rekey in progress"):
        await rekey.update("", site.keys[0])
    nonce = rekey.begin(Order(1, 1)).nonce
    with pytest.raises(BadInput, match=f'incorrect nonce supplied.*"{nonce}"'):
        await rekey.update("x", site.keys[0])
    await rekey.update(nonce, site.keys[0])
    with pytest.raises(BadInput, match="already been provided"):
        await rekey.update(nonce, site.keys[0])
    with pytest.raises(BadInput, match="invalid key"):
        await rekey.update(nonce, bytes(32) + b"\x05")
    assert (rekey.status().nonce, rekey.status().progress) == (nonce, 0)
    with pytest.raises(BadInput, match="rekey already in progress"):
        rekey.begin(Order(1, 1))
    completed = await agreed(rekey, site.keys)
    assert await site.opens_with(*completed.keys)


async def test_cancelling_and_sealing_forget_everything(site: Site) -> None:
    rekey = rekey_of(site)
    rekey.cancel()
    rekey.begin(Order(2, 2, require_verification=True))
    await agreed(rekey, site.keys)
    attempt = rekey._attempt
    assert attempt is not None
    assert attempt.held is not None
    held = attempt.held
    site.seal.seal()
    assert held == bytes(32)
    assert not rekey.status().started
    assert await site.opens_with(*site.keys[1:])


@pytest.mark.parametrize(("shares", "threshold"), [(0, 0), (2, 1), (2, 3), (256, 2)])
async def test_impossible_orders_are_refused(site: Site, shares: int, threshold: int) -> None:
    with pytest.raises(BadInput, match="invalid rekey seal configuration"):
        rekey_of(site).begin(Order(shares, threshold))


async def test_old_shares_with_an_old_copy_open_nothing_new(database: HostDatabase) -> None:
    site = await Site.made(database)
    old = site.seal._state
    assert old is not None
    rekey = rekey_of(site)
    rekey.begin(Order(1, 1))
    await agreed(rekey, site.keys)
    new = site.seal._state
    assert new is not None
    assert (old.keyring != new.keyring, old.record.wrapped_root_key != new.record.wrapped_root_key) == (True, True)


async def test_with_a_keeper_the_root_key_is_replaced_without_shares(database: HostDatabase) -> None:
    site = await Site.made(database, FakeKeeper())
    rekey = Rekey(site.seal, Target.BARRIER)
    with pytest.raises(BadInput, match="must be 1"):
        rekey.begin(Order(5, 3))
    with pytest.raises(BadInput, match="requiring verification not supported"):
        rekey.begin(Order(1, 1, require_verification=True))
    rekey.begin(Order(1, 1))
    before = site.seal.root_key()
    completed = await agreed(rekey, site.keys)
    assert completed.keys == ()
    assert site.seal.root_key() != before
    assert await site.opens_with(*site.keys[:2]), "the recovery shares stay"


async def test_there_is_no_recovery_key_without_a_keeper(database: HostDatabase) -> None:
    rekey = Rekey((await Site.made(database)).seal, Target.RECOVERY)
    for call in (rekey.status, lambda: rekey.begin(Order(1, 1)), rekey.verification):
        with pytest.raises(BadInput, match="recovery rekeying not supported"):
            call()


@pytest.mark.parametrize("step", ["before-commit", "after-commit"])
async def test_a_rekey_that_is_cut_short_leaves_one_seal_or_the_other(site: Site, step: str) -> None:
    crashing = CrashingDatabase(site.database, "")
    seal = await service_of(crashing, site.keeper)
    await unsealed(seal, *site.keys[:2])
    rekey = Rekey(seal, Target.RECOVERY if site.keeper else Target.BARRIER)
    rekey.begin(Order(2, 2, require_verification=True))
    completed = await agreed(rekey, site.keys)
    nonce = completed.verification_nonce
    await rekey.verify(nonce, completed.keys[0])
    crashing.step = step
    with pytest.raises(Unavailable, match="the power went"):
        await rekey.verify(nonce, completed.keys[1])
    assert await site.opens_with(*completed.keys) is (step == "after-commit")
    assert await site.opens_with(*site.keys[:2]) is (step == "before-commit")
    crashing.step = ""
    await seal.refresh()
    assert seal.barrier.open(site.sealed, b"c") == b"x", "the process that does not know goes on in either case"
    assert await seal.rotate() == 2


async def test_a_keeper_that_fails_changes_nothing(database: HostDatabase) -> None:
    keeper = FakeKeeper()
    site = await Site.made(database, keeper)
    for number in range(2):
        rekey = Rekey(site.seal, Target.BARRIER)
        rekey.begin(Order(1, 1))
        keeper.faults[len(keeper.calls) + number] = lambda: Unavailable("the HSM is away")
        with pytest.raises(Unavailable):
            await agreed(rekey, site.keys)
        assert not rekey.status().started
        assert await site.opens_with(*site.keys[:2])


async def test_other_processes_follow(site: Site) -> None:
    other = await unsealed(await service_of(site.database, site.keeper), *site.keys[:2])
    third = await unsealed(await service_of(site.database, site.keeper), *site.keys[:2])
    keys = site.keys
    for round_number in (2, 3):
        rekey = rekey_of(site)
        rekey.begin(Order(3, 2))
        keys = list((await agreed(rekey, keys)).keys)
        await other.refresh()
        assert other.root_key() == site.seal.root_key()
        assert other.status().shares == 3
        await site.seal.rotate()
        await other.refresh()
        assert other.barrier.key_status().term == round_number
        sealed = site.seal.barrier.seal(b"new", b"c")
        assert other.barrier.open(sealed, b"c") == b"new"
    assert other.status().sealed is False
    if (
        site.keeper is None
    ):  # two changes at once are too much for a process that saw neither: the root key is lost to it
        lost: list[str] = []
        third.on_lost = lambda: lost.append("lost")
        with pytest.raises(Sealed):
            await third.refresh()
        assert (third.barrier.is_sealed, lost) == (True, ["lost"])
        assert not (await unsealed(third, *keys[:2])).barrier.is_sealed
    else:
        await third.refresh()
        assert third.barrier.key_status().term == 3


async def test_a_process_that_missed_only_a_rekey_follows(database: HostDatabase) -> None:
    site = await Site.made(database)
    other = await unsealed(await service_of(database), *site.keys[:2])
    keys = site.keys
    for _ in range(2):
        rekey = rekey_of(site)
        rekey.begin(Order(3, 2))
        keys = list((await agreed(rekey, keys)).keys)
    await other.refresh()
    assert other.root_key() == site.seal.root_key()


async def test_of_two_who_rekey_at_once_one_succeeds(database: HostDatabase) -> None:
    site = await Site.made(database)
    other = await unsealed(await service_of(database), *site.keys[:2])
    mine, theirs = rekey_of(site), Rekey(other, Target.BARRIER)
    for rekey in (mine, theirs):
        rekey.begin(Order(1, 1))
        await rekey.update(rekey.status().nonce, site.keys[0])
    done = await mine.update(mine.status().nonce, site.keys[1])
    assert isinstance(done, Completed)
    with pytest.raises((BadInput, Conflict)):
        await theirs.update(theirs.status().nonce, site.keys[1])
    assert await site.opens_with(*done.keys)


async def test_nothing_shows_in_representations(site: Site) -> None:
    rekey = rekey_of(site)
    rekey.begin(Order(2, 2, require_verification=True))
    completed = await agreed(rekey, site.keys)
    shown = repr((completed, rekey._attempt, vars(rekey)))
    for key in (*completed.keys, *site.keys):
        assert repr(key)[2:-1] not in shown
        assert key.hex() not in shown
