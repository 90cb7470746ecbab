"""A world a test, over a copy of one empty database. A `conftest.py` imports what it offers."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.auth_world import World, open_world, prepare_database


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the template once."""
    path = tmp_path_factory.mktemp("auth") / "empty.db"
    asyncio.run(prepare_database(path))
    return path


@pytest.fixture
async def world(tmp_path: Path, empty_database: Path) -> AsyncIterator[World]:
    """Open a world with a root token and the default policy."""
    path = tmp_path / "auth.db"
    await asyncio.to_thread(shutil.copy, empty_database, path)
    async with open_world(path) as opened:
        yield opened
