"""The life of the seal: what operators do, in order and out of order, and what a crash leaves."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from chancery.kit.clock import SystemClock
from chancery.kit.errors import BadInput, Conflict, Corrupted, Sealed
from chancery.kit.sealing import Barrier
from chancery.seal.keyring import new_key, wrap
from chancery.seal.service import SealService, decode_share
from chancery.storage.database import HostDatabase
from chancery.storage.schema import META
from tests.support.storage_open import THINGS, count, prepare, sqlite_backend


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[HostDatabase]:
    async with sqlite_backend(tmp_path) as opened:
        await prepare(opened)
        yield opened


@pytest.fixture
async def seal(database: HostDatabase) -> SealService:
    service = SealService(database, SystemClock())
    await service.load()
    return service


async def another(database: HostDatabase) -> SealService:
    service = SealService(database, SystemClock())
    await service.load()
    return service


async def test_a_new_database_is_neither_initialised_nor_open(seal: SealService) -> None:
    status = seal.status()
    assert (status.initialized, status.sealed, status.threshold, status.shares) == (False, True, 0, 0)
    with pytest.raises(Sealed):
        seal.barrier.seal(b"x", b"c")
    with pytest.raises(BadInput, match="not initialized"):
        await seal.unseal(bytes(33))


@pytest.mark.parametrize(("shares", "threshold"), [(1, 1), (5, 3), (3, 3)])
async def test_enough_shares_unseal(database: HostDatabase, seal: SealService, shares: int, threshold: int) -> None:
    keys = await seal.initialize(shares, threshold)
    assert (len(keys), {len(key) for key in keys}) == (shares, {32 if shares == 1 else 33})
    assert (seal.status().initialized, seal.status().sealed) == (True, True)
    for service in (seal, await another(database)):
        for entered, key in enumerate(keys[-threshold:], start=1):
            status = await service.unseal(key)
            assert status.sealed is (entered < threshold)
            assert status.progress == (entered if entered < threshold else 0)
            assert bool(status.nonce) is bool(status.cluster_id) is False or status.sealed is bool(status.nonce)
        assert status.cluster_name == f"chancery-cluster-{status.cluster_id[:8]}"
        assert (await service.unseal(keys[0])).sealed is False
    sealed = seal.barrier.seal(b"x", b"c")
    assert service.barrier.open(sealed, b"c") == b"x"
    assert service.barrier.derive(b"p") == seal.barrier.derive(b"p")


@pytest.mark.parametrize(
    ("shares", "threshold", "reason"),
    [
        (0, 0, "shares must be at least one"),
        (3, 0, "threshold must be at least one"),
        (2, 1, "greater than one for multiple shares"),
        (2, 3, "cannot be larger than shares"),
        (256, 3, "less than 256"),
    ],
)
async def test_impossible_numbers_are_refused(seal: SealService, shares: int, threshold: int, reason: str) -> None:
    with pytest.raises(BadInput, match=f"invalid seal configuration: .*{reason}"):
        await seal.initialize(shares, threshold)
    assert not seal.status().initialized


async def test_initialising_happens_once(database: HostDatabase, seal: SealService) -> None:
    late = await another(database)
    (key,) = await seal.initialize(1, 1)
    for service in (seal, late, await another(database)):
        with pytest.raises(BadInput, match="Vault is already initialized"):
            await service.initialize(1, 1)
    assert (await late.unseal(key)).sealed is False


async def test_two_who_initialise_at_once_cannot_both(database: HostDatabase, seal: SealService) -> None:
    service = await another(database)
    outcomes = await asyncio.gather(*(each.initialize(1, 1) for each in (seal, service)), return_exceptions=True)
    keys = [each for each in outcomes if not isinstance(each, BaseException)]
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    assert [type(each) for each in errors] == [BadInput]
    assert (await service.unseal(keys[0][0])).sealed is False


async def test_the_first_token_comes_with_the_keys_or_not_at_all(database: HostDatabase, seal: SealService) -> None:
    kept: list[Barrier] = []

    def first_token(barrier: Barrier) -> Any:
        kept.append(barrier)
        sealed, derived = barrier.seal(b"root", b"t"), barrier.derive(b"tokens")
        return lambda at: at.execute(insert(THINGS).values(id="t", label=derived.hex(), blob=sealed))

    def fails(barrier: Barrier) -> Any:
        work = first_token(barrier)

        def half(at: Connection) -> None:
            work(at)
            raise LookupError("the power went")

        return half

    with pytest.raises(LookupError):
        await seal.initialize(1, 1, fails)
    assert not (await another(database)).status().initialized
    assert (await count(database, THINGS), await count(database, META)) == (0, 0)
    (key,) = await seal.initialize(1, 1, first_token)
    await seal.unseal(key)
    row = await database.read(lambda at: at.execute(select(THINGS)).one())
    assert seal.barrier.open(row.blob, b"t") == b"root"
    assert row.label == seal.barrier.derive(b"tokens").hex()
    assert all(barrier.is_sealed for barrier in kept)


async def test_a_share_twice_counts_once(seal: SealService) -> None:
    keys = await seal.initialize(3, 2)
    first, second = await seal.unseal(keys[0]), await seal.unseal(keys[0])
    assert first == second
    assert (first.progress, len(first.nonce)) == (1, 36)
    assert (await seal.unseal(keys[2])).sealed is False


@pytest.mark.parametrize(
    "wrong", [bytes(32) + b"\x09", bytes(33), bytes(20) + b"\x09"], ids=["value", "zero", "length"]
)
async def test_wrong_shares_begin_anew(seal: SealService, wrong: bytes) -> None:
    keys = await seal.initialize(3, 2)
    await seal.unseal(keys[0])
    with pytest.raises(BadInput, match="invalid key"):
        await seal.unseal(wrong)
    assert (seal.status().progress, seal.status().nonce) == (0, "")
    await seal.unseal(keys[1])
    with pytest.raises(BadInput, match="duplicate part"):
        await seal.unseal(bytes(32) + keys[1][-1:])
    await seal.unseal(keys[0])
    assert (await seal.unseal(keys[1])).sealed is False


@pytest.mark.parametrize("size", [16, 31, 32, 33])
async def test_a_wrong_only_key_is_refused(seal: SealService, size: int) -> None:
    await seal.initialize(1, 1)
    with pytest.raises(BadInput, match="invalid key"):
        await seal.unseal(bytes(size))
    assert seal.status().sealed


async def test_a_share_of_impossible_length_changes_nothing(seal: SealService) -> None:
    keys = await seal.initialize(3, 2)
    await seal.unseal(keys[0])
    for size, reason in ((15, "shorter than minimum 16"), (34, "longer than maximum 33")):
        with pytest.raises(BadInput, match=reason):
            await seal.unseal(bytes(size))
    assert seal.status().progress == 1


async def test_reset_forgets_the_shares(seal: SealService) -> None:
    keys = await seal.initialize(3, 2)
    before = await seal.unseal(keys[0])
    status = seal.reset()
    assert (status.progress, status.nonce) == (0, "")
    assert (await seal.unseal(keys[0])).nonce != before.nonce


async def test_sealing_closes_everything(seal: SealService) -> None:
    keys = await seal.initialize(3, 2)
    for key in keys[:2]:
        await seal.unseal(key)
    root_key = seal._root_key
    assert root_key is not None
    seal.seal()
    assert root_key == bytes(32)
    status = seal.status()
    assert (status.sealed, status.cluster_id, status.progress) == (True, "", 0)
    for call in (seal.rotate(), seal.refresh()):
        with pytest.raises(Sealed):
            await call
    for key in keys[1:]:
        await seal.unseal(key)
    assert not seal.barrier.is_sealed


async def test_rotation_is_durable_and_reaches_other_processes(database: HostDatabase, seal: SealService) -> None:
    (key,) = await seal.initialize(1, 1)
    other = await another(database)
    for service in (seal, other):
        await service.unseal(key)
    old, derived = seal.barrier.seal(b"old", b"c"), seal.barrier.derive(b"p")
    assert await seal.rotate() == 2
    with pytest.raises(Conflict, match="first"):
        await other.rotate()
    await other.refresh()
    await other.refresh()
    assert await other.rotate() == 3
    fresh = await another(database)
    await fresh.unseal(key)
    for service in (seal, other, fresh):
        assert service.barrier.open(old, b"c") == b"old"
        assert service.barrier.derive(b"p") == derived
    assert fresh.barrier.open(other.barrier.seal(b"new", b"c"), b"c") == b"new"


async def test_a_keyring_of_another_installation_is_corruption(database: HostDatabase, seal: SealService) -> None:
    (key,) = await seal.initialize(1, 1)
    foreign = wrap(new_key(), bytearray(100), b"keyring")
    await database.write(lambda at: at.execute(update(META).where(META.c.key == "keyring").values(value=foreign)))
    with pytest.raises(Corrupted):
        await seal.unseal(key)
    assert seal.status().sealed
    await database.write(lambda at: at.execute(update(META).where(META.c.key == "seal").values(value=b"{}")))
    with pytest.raises(Corrupted, match="seal configuration"):
        await another(database)


async def test_no_share_and_no_key_is_stored(tmp_path: Path, seal: SealService) -> None:
    keys = await seal.initialize(3, 2)
    for key in keys[:2]:
        await seal.unseal(key)
    assert seal._root_key is not None
    stored = await asyncio.to_thread(lambda: b"".join(each.read_bytes() for each in tmp_path.glob("store.db*")))
    for secret in (*(key[:-1] for key in keys), bytes(seal._root_key)):
        assert secret not in stored
        assert base64.b64encode(secret) not in stored
        assert secret.hex().encode() not in stored


def test_shares_are_read_as_people_enter_them() -> None:
    share = bytes(range(33))
    assert decode_share(share.hex()) == decode_share(base64.b64encode(share).decode()) == share
    for wrong in ("zz!", "abc", "é", "0123 q"):
        with pytest.raises(BadInput, match="hex or base64") as caught:
            decode_share(wrong)
        assert wrong not in str(caught.value)
