"""What holds for every test: a private home, no address or token of the developer's, and no deadline per example."""

import os
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

settings.register_profile("chancery", deadline=None, print_blob=True)
settings.load_profile("chancery")

_OURS = ("CHANCERY_ADDR", "CHANCERY_TOKEN", "CHANCERY_NAMESPACE", "VAULT_", "BAO_", "SOFTHSM2_CONF")
"""Beginnings of variables that would lead a test to somebody's real server or token."""


@pytest.fixture(scope="session", autouse=True)
def _stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run as somebody who has never used this machine: `bao login` in a test must not touch a real ~/.vault-token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in [name for name in os.environ if name.startswith(_OURS)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_blocking() -> Iterator[None]:
    """Fail whatever part of the product blocks an event loop: file, socket or database work belongs on a thread."""
    with blockbuster_ctx(scanned_modules=["chancery", "managed_keys", "ca"]):
        yield
