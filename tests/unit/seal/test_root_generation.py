"""Root tokens from shares."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chancery.kit.errors import BadInput
from chancery.seal import one_time_password
from chancery.seal.root_generation import RootGeneration
from chancery.seal.service import SealService
from tests.support.seal_keeper import FakeKeeper, service_of, unsealed
from tests.support.storage_open import prepare, sqlite_backend

TOKEN = "hvs.0123456789"


class Site:
    """An unsealed installation with the attempts at root tokens, and the tokens that were made."""

    def __init__(self, seal: SealService, keys: list[bytes]) -> None:
        self.keys = keys
        self.made: list[str] = []
        self.seal = seal
        self.generation = RootGeneration(seal, self._create, len(TOKEN))

    async def _create(self) -> str:
        self.made.append(TOKEN)
        return TOKEN


@pytest.fixture(params=["shamir", "keeper"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Return a site whose shares are those of an unseal key or of a recovery key."""
    async with sqlite_backend(tmp_path) as database:
        await prepare(database)
        seal = await service_of(database, FakeKeeper() if request.param == "keeper" else None)
        keys = await seal.initialize(3, 2)
        yield Site(await unsealed(seal, *keys[:2]), keys)


@pytest.mark.parametrize("own", ["", "abcdefghijklmn"])
async def test_enough_shares_make_a_token(site: Site, own: str) -> None:
    generation = site.generation
    assert (generation.status().started, generation.status().otp_length, generation.status().required) == (
        False, len(TOKEN), 2,
    )  # fmt: skip
    began = generation.begin(own)
    password = own or began.otp
    assert bool(began.otp) is not bool(own), "a password of the starter's own is not repeated"
    assert generation.status().otp == ""
    progress = await generation.update(began.nonce, site.keys[2])
    assert (progress.progress, progress.complete, progress.encoded_token, site.made) == (1, False, "", [])
    done = await generation.update(began.nonce, site.keys[0])
    assert (done.complete, done.progress, done.otp) == (True, 2, "")
    assert one_time_password.decode(done.encoded_token, password) == TOKEN
    assert site.made == [TOKEN]
    assert not generation.status().started
    for secret in (password, done.encoded_token):
        assert secret not in repr((began, done, vars(generation)))


async def test_what_goes_wrong_is_said_and_makes_no_token(site: Site) -> None:
    generation = site.generation
    with pytest.raises(BadInput, match="no root generation in progress"):
        await generation.update("", site.keys[0])
    with pytest.raises(BadInput, match="incorrect length: it must have 14 characters"):
        generation.begin("short")
    nonce = generation.begin("").nonce
    with pytest.raises(BadInput, match="root generation already in progress"):
        generation.begin("")
    with pytest.raises(BadInput, match=f'root generation operation is "{nonce}"'):
        await generation.update("x", site.keys[0])
    with pytest.raises(BadInput, match="shorter than minimum 16"):
        await generation.update(nonce, b"x")
    await generation.update(nonce, site.keys[0])
    with pytest.raises(BadInput, match="already been provided"):
        await generation.update(nonce, site.keys[0])
    with pytest.raises(BadInput, match="invalid key"):
        await generation.update(nonce, bytes(32) + b"\x09")
    assert (generation.status().progress, generation.status().nonce, site.made) == (0, nonce, [])


async def test_cancelling_and_sealing_end_it(site: Site) -> None:
    generation = site.generation
    nonce = generation.begin("").nonce
    await generation.update(nonce, site.keys[0])
    generation.cancel()
    generation.cancel()
    assert not generation.status().started
    generation.begin("")
    site.seal.seal()
    assert not generation.status().started
