"""Two nodes on one database: what happens to the seal on one, the other follows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chancery.coherence import BOUND
from tests.support.host_world import HostWorld, host_world
from tests.support.storage_open import postgres_url_of


class Nodes(NamedTuple):
    """`here` changes things, `there` follows."""

    here: HostWorld
    there: HostWorld


def _sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'chancery.db'}"


@pytest.fixture(
    params=[
        pytest.param(_sqlite_url, id="sqlite"),
        pytest.param(postgres_url_of, id="postgresql", marks=pytest.mark.slow),
    ]
)
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Nodes]:
    storage = {"url": await asyncio.to_thread(request.param, tmp_path)}
    async with (
        host_world(tmp_path, storage=storage) as here,
        host_world(tmp_path, joins=here, storage=storage) as there,
    ):
        yield Nodes(here, there)


async def within_the_bound(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what must happen by itself, not longer than is promised; a busy machine gets some grace."""
    async with asyncio.timeout(3 * BOUND):
        while not await check():  # noqa: ASYNC110  # the other node tells nobody when it has followed
            await asyncio.sleep(0.02)


async def rekeyed(node: HostWorld, *keys: str) -> list[str]:
    """Make two new shares."""
    order = {"secret_shares": 2, "secret_threshold": 2}
    _, began = await node.call("PUT", "sys/rekey/init", order)
    done: dict[str, Any] = {}
    for key in keys:
        _, done = await node.call("PUT", "sys/rekey/update", {"key": key, "nonce": began["nonce"]})
    return [str(key) for key in done["keys"]]


async def test_rotations_and_new_shares_are_followed(nodes: Nodes) -> None:
    here, there = nodes
    keys = [here.unseal_key.hex()]
    for term in (2, 3):
        keys = await rekeyed(here, *keys)

        async def has_new_shares() -> bool:
            return there.host.root_key() == here.host.root_key()

        await within_the_bound(has_new_shares)
        assert (await there.call("GET", "sys/seal-status"))[1]["n"] == 2
        assert (await here.call("PUT", "sys/rotate"))[0] == 204

        async def has_rotated(term: int = term) -> bool:
            return bool((await there.call("GET", "sys/key-status"))[1]["term"] == term)

        await within_the_bound(has_rotated)
        policy = {"policy": f'path "p{term}" {{ capabilities = ["read"] }}'}
        assert (await here.call("PUT", f"sys/policies/acl/p{term}", policy))[0] == 204
        assert (await there.call("GET", f"sys/policies/acl/p{term}"))[1]["data"]["policy"] == policy["policy"]

    assert (await there.call("PUT", "sys/rotate"))[0] == 204, "it knows all that it takes to rotate"
    assert (await there.call("PUT", "sys/seal"))[0] == 204
    for key in keys:
        _, status = await there.call("PUT", "sys/unseal", {"key": key})
    assert status["sealed"] is False
    assert (await there.call("GET", "sys/policies/acl/p3"))[0] == 200


async def test_rotating_on_both_at_once_gives_two_keys_or_a_clear_refusal(nodes: Nodes) -> None:
    outcomes = await asyncio.gather(*(node.call("PUT", "sys/rotate") for node in nodes))
    done = [status for status, _ in outcomes if status == 204]
    assert {status for status, _ in outcomes} <= {204, 409}

    async def all_have_them() -> bool:
        terms = [(await node.call("GET", "sys/key-status"))[1]["term"] for node in nodes]
        return terms == [1 + len(done)] * 2

    await within_the_bound(all_have_them)
