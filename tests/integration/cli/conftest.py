"""One OpenBao development server for the whole session, with an engine of each kind that the comparisons need."""

from collections.abc import Iterator, Mapping

import pytest

from tests.support.cli_openbao import ROOT_TOKEN, dev_server
from tests.support.cli_programs import run_bao

ODD_VALUES = (
    '{"a": "<b>&é", "n": 1.50, "big": 123456789012345678901, "l": [1, "x", null, {"k": true}],'
    ' "m": {"b": {"z": null}, "a": ""}, "nil": null, "empty": "", "ttl": 90000, "e": 1e5, "ml": "x\\ny",'
    ' "refresh_period": "72h", "lease_duration": 3661, "b": false, "y": "yes", "num": "12", "colon": "a: b",'
    ' "lead": " x", "date": "2026-11-22", "star": "*a", "hash": "a #b", "max_ttl": -5}'
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Run the server; yields the variables by which command lines find it."""
    with dev_server(tmp_path_factory.mktemp("bao")) as address:
        variables = {"BAO_ADDR": address, "BAO_TOKEN": ROOT_TOKEN}
        for arguments in (
            ["secrets", "enable", "-max-lease-ttl=87600h", "pki"],
            ["secrets", "enable", "-path=kv1", "-version=1", "kv"],
            ["auth", "enable", "userpass"],
            ["write", "auth/userpass/users/bob", "password=pw", "token_policies=default"],
            ["write", "pki/root/generate/internal", "common_name=Root", "key_type=ec", "ttl=87600h"],
            ["write", "pki/roles/leaf", "allowed_domains=example.com", "allow_subdomains=true", "key_type=ec"],
            ["write", "kv1/list/a", "x=1"],
            ["write", "kv1/list/b", "x=1"],
            ["write", "kv1/separator", "x=a\u2028b"],
        ):
            done = run_bao(arguments, variables)
            assert done.status == 0, done.err
        done = run_bao(["write", "kv1/odd", "-"], variables, stdin=ODD_VALUES.encode())
        assert done.status == 0, done.err
        yield variables
