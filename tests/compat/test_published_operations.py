"""Vault's published API beside this server's own description of itself.

What is not served is a list that may only shrink: `python -m tests.support.compat_coverage` writes it anew.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.compat_coverage import Comparison, Described, compare, flat, grown, known_missing

pytestmark = pytest.mark.asyncio(loop_scope="module")

_WITH_SHARES = "open while `seal.unauthenticated` says so: enough shares are the credential"
_HOLDS_SHARES = "what was backed up are shares"
_DESCRIBES_MOUNTS = "tells what is mounted, which is nobody's business without a token"

OTHER_FLAGS = {
    "DELETE /sys/generate-root": _WITH_SHARES,
    "DELETE /sys/generate-root/attempt": _WITH_SHARES,
    "DELETE /sys/rekey/backup": _HOLDS_SHARES,
    "DELETE /sys/rekey/init": _WITH_SHARES,
    "DELETE /sys/rekey/recovery-key-backup": _HOLDS_SHARES,
    "DELETE /sys/rekey/verify": _WITH_SHARES,
    "GET /sys/generate-root": _WITH_SHARES,
    "GET /sys/generate-root/attempt": _WITH_SHARES,
    "GET /sys/internal/specs/openapi": _DESCRIBES_MOUNTS,
    "GET /sys/rekey/backup": _HOLDS_SHARES,
    "GET /sys/rekey/init": _WITH_SHARES,
    "GET /sys/rekey/recovery-key-backup": _HOLDS_SHARES,
    "GET /sys/rekey/verify": _WITH_SHARES,
    "POST /sys/generate-root": _WITH_SHARES,
    "POST /sys/generate-root/attempt": _WITH_SHARES,
    "POST /sys/generate-root/update": _WITH_SHARES,
    "POST /sys/internal/specs/openapi": _DESCRIBES_MOUNTS,
    "POST /sys/rekey/init": _WITH_SHARES,
    "POST /sys/rekey/update": _WITH_SHARES,
    "POST /sys/rekey/verify": _WITH_SHARES,
}
"""Operations that need a token or sudo where Vault's do not, or the other way round, with the reason."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comparison(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Comparison]:
    yield await compare(tmp_path_factory.mktemp("published"))


async def test_nothing_that_was_served_is_missing(comparison: Comparison) -> None:
    assert grown(comparison.missing(), known_missing()) == set()


async def test_the_list_of_what_is_missing_tells_the_truth(comparison: Comparison) -> None:
    stale = flat(known_missing()) - flat(comparison.missing())
    assert stale == set(), "now served: run `python -m tests.support.compat_coverage`"


async def test_who_may_call_is_as_published(comparison: Comparison) -> None:
    differing = {
        str(published): f"published {_flags(published)}, served {_flags(served)}"
        for published, served in comparison.flags()
    }
    assert differing.keys() == OTHER_FLAGS.keys(), differing


def _flags(operation: Described) -> str:
    return f"unauthenticated={operation.unauthenticated} sudo={operation.sudo}"
