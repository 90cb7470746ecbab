"""Two nodes on one database: both record to a device that one of them enabled, on one chain."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from chancery.coherence import BOUND
from tests.support.audit_devices import events, verified
from tests.support.host_world import HostWorld, host_world


async def within_the_bound(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5 * BOUND):
        while not await check():  # noqa: ASYNC110  # the other node tells nobody when it has followed
            await asyncio.sleep(0.02)


async def test_devices_and_headers_are_followed(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    allowed = {"directories": [str(tmp_path)]}
    async with host_world(tmp_path, audit=allowed) as here, host_world(tmp_path, joins=here, audit=allowed) as there:

        async def hashes(node: HostWorld) -> str:
            _, answer = await node.call("POST", "sys/audit-hash/file", {"input": "text"})
            return str(answer.get("data"))

        async def has_device() -> bool:
            return bool((await there.call("GET", "sys/audit"))[1]["data"])

        async def has_none() -> bool:
            return not await has_device()

        async def shows_header() -> bool:
            await there.call("GET", "sys/mounts", headers={"X-Ticket": "T-77"})
            return '"x-ticket":["T-77"]' in log.read_text()

        body = {"type": "file", "options": {"file_path": str(log)}}
        assert (await here.call("POST", "sys/audit/file", body))[0] == 204
        await within_the_bound(has_device)
        assert await hashes(here) == await hashes(there)
        await here.call("POST", "sys/config/auditing/request-headers/X-Ticket", {})
        await within_the_bound(shows_header)
        assert events(log)[0] == "begin"
        assert "open" in events(log)
        verifier = verified(log)
        assert (verifier.findings, len(verifier.chains)) == ([], 1)
        await there.call("DELETE", "sys/audit/file")
        assert (await there.call("GET", "sys/audit"))[1]["data"] == {}
        size = log.stat().st_size
        await there.call("GET", "sys/mounts")
        assert log.stat().st_size == size
        await within_the_bound(has_none)
