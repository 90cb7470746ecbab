"""Fixtures: `world`."""

from tests.support.auth_fixtures import empty_database, world

__all__ = ["empty_database", "world"]
