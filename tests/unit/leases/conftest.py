"""Fixtures: a world of tokens, with leases beside them."""

import pytest

from tests.support.auth_fixtures import empty_database, world
from tests.support.auth_world import World
from tests.support.leases_world import LeasesWorld

__all__ = ["empty_database", "leases", "world"]


@pytest.fixture
def leases(world: World) -> LeasesWorld:
    """Open a book of leases beside the tokens."""
    return LeasesWorld(world)
