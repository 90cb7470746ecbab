"""A mount that cannot be opened: enabling it leaves nothing behind, and it keeps no other from opening."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from chancery.kit.engine import MountContext
from chancery.kit.errors import Unavailable
from chancery.kit.route import Route
from chancery.kit.storage import Schema
from chancery.plugins import Catalog
from tests.support import host_world as worlds
from tests.support.host_world import host_world


class Moody:
    """An engine that opens only in a good mood."""

    name = "moody"
    description = "for this test"
    schema: Schema | None = None

    def __init__(self) -> None:
        self.is_well = True

    def open(self, _context: MountContext) -> "Moody":
        return self

    def routes(self) -> Sequence[Route]:
        return []

    async def start(self) -> None:
        if not self.is_well:
            raise Unavailable("not today")

    async def stop(self) -> None:
        """Nothing to give back."""

    async def erase(self) -> None:
        """Nothing to erase."""


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Moody:
    engine = Moody()
    installed = worlds._CATALOG
    catalog = Catalog(
        engines={**installed.engines, "moody": engine},
        **{name: getattr(installed, name) for name in installed.__dataclass_fields__ if name != "engines"},
    )
    monkeypatch.setattr(worlds, "_CATALOG", catalog)
    return engine


async def test_a_mount_that_does_not_open_is_not_kept(tmp_path: Path, moody: Moody) -> None:
    async with host_world(tmp_path) as world:
        moody.is_well = False
        assert (await world.call("POST", "sys/mounts/m", {"type": "moody"}))[0] == 503
        moody.is_well = True
        assert (await world.call("POST", "sys/mounts/m", {"type": "moody"}))[0] == 204


async def test_one_mount_that_does_not_open_leaves_the_others_served(
    tmp_path: Path, moody: Moody, caplog: pytest.LogCaptureFixture
) -> None:
    async with host_world(tmp_path) as world:
        for path, kind in (("a", "pki"), ("m", "moody"), ("z", "pki")):
            assert (await world.call("POST", f"sys/mounts/{path}", {"type": kind}))[0] == 204
        await world.call("PUT", "sys/seal")
        moody.is_well = False
        with caplog.at_level(logging.ERROR):
            await world.call("POST", "sys/unseal", {"key": world.unseal_key.hex()})
        _, mounts = await world.call("GET", "sys/mounts")
        assert {"a/", "z/"} <= set(mounts["data"])
        assert "m/" not in mounts["data"]
        assert "m/ cannot be opened" in caplog.text
