"""OpenBao as the judge: the same policies, the same questions, the same capabilities; and who accepts which text."""

import json
import random
from collections.abc import Iterator

import pytest

from chancery.kit.errors import BadInput
from chancery.policy.acl import ACL
from chancery.policy.parse import parse_policy
from tests.support.server_client import ApiClient
from tests.support.server_openbao import OpenBaoServer

pytestmark = pytest.mark.slow

CAPABILITIES = ["create", "read", "update", "delete", "list", "sudo", "patch"]
SEGMENTS = ["a", "b", "ab", "c", "+", "+", ""]
ROUNDS = 80


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiClient]:
    with OpenBaoServer(tmp_path_factory.mktemp("openbao")) as server, server.client() as client:
        yield client


def _pattern(chance: random.Random) -> str:
    pattern = "/".join(chance.choice(SEGMENTS) for _ in range(chance.randint(1, 4)))
    end = chance.choice(["*", "*", "/", "", "", ""])
    return pattern if end == "*" and pattern.endswith("+") else pattern + end


def _text(chance: random.Random) -> str:
    rules = []
    for _ in range(chance.randint(1, 5)):
        capabilities = chance.sample(CAPABILITIES, chance.randint(1, 3))
        if chance.random() < 0.1:
            capabilities.append("deny")
        rules.append(f'path "{_pattern(chance)}" {{ capabilities = {json.dumps(capabilities)} }}')
    return "\n".join(rules)


def _paths(chance: random.Random) -> list[str]:
    """Return paths without a closing slash: how LIST of `x/` reads rules for `x` differs between OpenBao and Vault."""
    parts = ["a", "b", "ab", "c", "abc", "d", ""]
    found = {"/".join(chance.choice(parts) for _ in range(chance.randint(1, 5))).rstrip("/") for _ in range(80)}
    return sorted(found - {""})


def test_capabilities_are_the_same(peer: ApiClient) -> None:
    chance = random.Random(20_261_122)
    for number in range(ROUNDS):
        texts = {f"p{number}-{index}": _text(chance) for index in range(chance.randint(1, 3))}
        for name, text in texts.items():
            peer.write(f"sys/policies/acl/{name}", policy=text)
        auth = peer.write("auth/token/create", policies=list(texts), no_default_policy=True).body["auth"]
        paths = _paths(chance)
        theirs = peer.write("sys/capabilities", token=auth["client_token"], paths=paths).data
        acl = ACL.compile(parse_policy(name, text) for name, text in texts.items())
        ours = {path: sorted(acl.capabilities(path)) for path in paths}
        assert ours == {path: theirs[path] for path in paths}, texts


@pytest.mark.parametrize(
    "text",
    [
        'path "a" { capabilities = ["read"] capabilities = ["list"] }',
        'path "a" { capabilities = ["read"], }',
        'path "${x}" { capabilities = ["read"] }',
        'path a { capabilities = ["read",] }',
        'path "{{identity.entity.id}}" { capabilities = ["read"] }',
        'path "a" { capabilities = ["deny"] comment = "x" }',
        'path "" { capabilities = ["read"] }',
        'name = "x"',
        'path "a*b" { capabilities = ["read"] }',
        '# c\n// d\n/* e */ path "a" { policy = "write" }',
        '{"path": {"a": {"capabilities": ["read"]}}}',
        '{"path": [{"a": {"capabilities": ["read"]}}]}',
        'path "a" { min_wrapping_ttl = 10 max_wrapping_ttl = "1h" required_parameters = ["a"] }',
        'path "a" { allowed_parameters = { "x" = [] "y" = ["1", "2*"] } denied_parameters = { z = [] } }',
        'path "a" { capabilities = ["bogus"] }',
        'path "a" { foo = 1 }',
        'foo "x" {}',
        'path "a" {',
        'path "a" { policy = "bad" }',
        'path "a+*" { capabilities = ["read"] }',
        'path "a" { capabilities = "read" }',
        'path "{{identity.entity.id" { capabilities = ["read"] }',
        'path "a" { min_wrapping_ttl = "10s" max_wrapping_ttl = "5s" }',
        'path "a" { allowed_parameters = "x" }',
        'path "a" { allowed_parameters = { x = "y" } }',
        'path = "a"',
        'path "a" = { capabilities = ["read"] }',
        'path "a" { capabilities = ["read" "list"] }',
        'path "a" { capabilities = [read] }',
        "path 'a' {}",
        'path "a" { capabilities = [1] }',
        'path "a" { min_wrapping_ttl = "x" }',
        'path "a" { required_parameters = "a" }',
        'path "a" {} extra',
        'path "a" { capabilities = <<E\nread\nE\n}',
    ],
)
def test_both_accept_or_both_refuse(peer: ApiClient, text: str) -> None:
    theirs = peer.request("POST", "sys/policies/acl/judged", {"policy": text}).status
    try:
        parse_policy("judged", text)
    except BadInput:
        assert theirs == 400
    else:
        assert theirs == 204
