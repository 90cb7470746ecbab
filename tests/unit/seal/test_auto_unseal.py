"""Unsealing without people."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chancery.seal import auto_unseal
from chancery.seal.auto_unseal import AutoUnseal
from chancery.seal.service import SealService
from tests.support.seal_keeper import FakeKeeper, service_of
from tests.support.storage_open import prepare, sqlite_backend


class Site:
    """A sealed installation with a keeper."""

    def __init__(self, seal: SealService, keeper: FakeKeeper) -> None:
        self.seal, self.keeper = seal, keeper
        self.opened = asyncio.Event()
        self.may_try = True
        self.auto = AutoUnseal(seal, self._unseal, lambda: self.may_try)

    async def _unseal(self) -> None:
        await self.seal.unseal_by_keeper()
        self.opened.set()

    async def until_opened(self) -> None:
        """Wait until it is unsealed."""
        async with asyncio.timeout(5):
            await self.opened.wait()


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Return a site whose keeper is there."""
    monkeypatch.setattr(auto_unseal, "FIRST_DELAY", 0.001)
    async with sqlite_backend(tmp_path) as database:
        await prepare(database)
        keeper = FakeKeeper()
        await (await service_of(database, keeper)).initialize(1, 1)
        site = Site(await service_of(database, keeper), keeper)
        yield site
        await site.auto.stop()


async def test_it_unseals(site: Site) -> None:
    site.auto.start()
    site.auto.start()
    await site.until_opened()
    assert site.keeper.calls.count("unwrap") == 2
    assert site.seal.status().unseal_error == ""


async def test_it_tries_until_the_keeper_is_back_and_says_why(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    tell = site.seal.tell

    def listen(error: str) -> None:
        said.append(error)
        tell(error)

    site.seal.tell = listen  # type: ignore[method-assign]  # listens in
    site.keeper.go_away(4)
    site.auto.start()
    await site.until_opened()
    assert said[:4] == ["the HSM is away"] * 4
    warnings = [record for record in caplog.records if "the HSM is away" in record.message]
    assert len(warnings) == 1, "the same trouble is logged once"


async def test_the_status_tells_what_is_wrong(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_unseal, "FIRST_DELAY", 60.0)
    told = asyncio.Event()
    tell = site.seal.tell

    def listen(error: str) -> None:
        tell(error)
        told.set()

    site.seal.tell = listen  # type: ignore[method-assign]  # listens in
    site.keeper.go_away()
    site.auto.start()
    await told.wait()
    assert site.seal.status().unseal_error == "the HSM is away"
    site.auto.hurry()
    await site.until_opened()
    assert site.seal.status().unseal_error == ""


async def test_unexpected_errors_do_not_end_it(site: Site) -> None:
    site.keeper.faults[len(site.keeper.calls)] = lambda: RuntimeError("a bug")
    site.auto.start()
    await site.until_opened()


async def test_it_waits_while_another_process_does_it(site: Site) -> None:
    site.may_try = False
    site.auto.start()
    for _ in range(20):
        await asyncio.sleep(0)
    assert site.keeper.calls.count("unwrap") == 1, "from initialising"
    site.may_try = True
    await site.until_opened()


async def test_there_is_nothing_to_do_without_a_keeper(tmp_path: Path) -> None:
    async with sqlite_backend(tmp_path) as database:
        await prepare(database)
        seal = await service_of(database)
        await seal.initialize(1, 1)
        auto = AutoUnseal(seal, lambda: pytest.fail("asked"))
        auto.start()
        assert auto._running is None
        await auto.stop()
