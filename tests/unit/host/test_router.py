"""Route patterns: literals, captures, rests, and which one wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.kit.params import NoParams
from chancery.kit.request import Answer, Request
from chancery.kit.route import Route, endpoint
from chancery.routing.router import Router


async def _nothing(_request: Request, _params: NoParams) -> Answer:
    """Answer nothing."""
    return None


def _route(pattern: str) -> Route:
    return Route(pattern=pattern, read=endpoint(_nothing, NoParams))


PATTERNS = [
    "ca",
    "ca/pem",
    "roles",
    "roles/{name}",
    "issuer/{ref}/sign/{role}",
    "issuer/{ref}/json",
    "mounts",
    "mounts/{path...}",
    "mounts/{path...}/tune",
    "keys/{name}/config",
    "keys/generate/{kind}",
]


@pytest.fixture(scope="module")
def router() -> Router:
    return Router([_route(pattern) for pattern in PATTERNS])


@pytest.mark.parametrize(
    ("path", "pattern", "captures"),
    [
        ("ca", "ca", {}),
        ("ca/", "ca", {}),
        ("ca/pem", "ca/pem", {}),
        ("roles/", "roles", {}),
        ("roles/web", "roles/{name}", {"name": "web"}),
        ("issuer/default/sign/web", "issuer/{ref}/sign/{role}", {"ref": "default", "role": "web"}),
        ("issuer/json/json", "issuer/{ref}/json", {"ref": "json"}),
        ("mounts/pki", "mounts/{path...}", {"path": "pki"}),
        ("mounts/a/b/c", "mounts/{path...}", {"path": "a/b/c"}),
        ("mounts/a/b/tune", "mounts/{path...}/tune", {"path": "a/b"}),
        ("mounts/tune", "mounts/{path...}", {"path": "tune"}),
        ("keys/generate/config", "keys/generate/{kind}", {"kind": "config"}),
        ("keys/other/config", "keys/{name}/config", {"name": "other"}),
    ],
)
def test_finds_the_most_literal_route(router: Router, path: str, pattern: str, captures: dict[str, str]) -> None:
    match = router.match(path)
    assert match is not None
    assert match.route.pattern == pattern
    assert dict(match.captures) == captures


@pytest.mark.parametrize("path", ["", "nope", "roles/a/b", "issuer/x", "issuer//json", "ca/der", "mounts//", "roles//"])
def test_unknown_paths_match_nothing_or_their_list(router: Router, path: str) -> None:
    match = router.match(path)
    assert match is None or match.route.pattern in {"roles", "mounts"}


def test_two_routes_cannot_share_a_pattern() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Router([_route("a/{x}"), _route("a/{x}")])


@given(st.text(alphabet="abc/{}.", max_size=20))
def test_any_text_is_matched_without_error(path: str) -> None:
    router = Router([_route(pattern) for pattern in PATTERNS])
    match = router.match(path)
    assert match is None or match.route.pattern in PATTERNS
