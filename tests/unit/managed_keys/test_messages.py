"""The wire between server and signer."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from managed_keys.keys import KeyAlgorithm, SignatureScheme
from managed_keys.providers.pkcs11.ckr import Fault, Remedy
from managed_keys.providers.pkcs11.messages import (
    MAX_FRAME,
    Failure,
    Find,
    Forget,
    FoundKey,
    Frames,
    Generate,
    Introduce,
    Kind,
    Login,
    Record,
    TokenFacts,
    answer,
    failed_answer,
    read_sign_request,
    request,
    sign_request,
)

RECORDS: list[Record] = [
    Login("/usr/lib/x.so", "", "tökén", "", "1234", True, False),
    TokenFacts("label", "serial", "model", (1, 0x1041, 2**63)),
    Introduce(7, b"\x00\x01", "label", b"spki", 2**64 - 1),
    Forget(7),
    Find(b"", "label"),
    Generate(b"\x01", "label", KeyAlgorithm.ED25519, 0, False),
    FoundKey(b"\x01", "", b"spki"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_survive_the_wire(record: Record) -> None:
    read = type(record).decode(record.encode())
    assert read == record
    for field in dataclasses.fields(record):  # type: ignore[arg-type]  # every Record is a dataclass
        assert type(getattr(read, field.name)) is type(getattr(record, field.name))


def test_a_login_does_not_show_its_pin() -> None:
    assert "1234" not in repr(RECORDS[0])


@given(
    number=st.integers(0, 2**32 - 1),
    scheme=st.sampled_from(SignatureScheme),
    message=st.binary(max_size=300),
)
def test_sign_requests_survive_the_wire(number: int, scheme: SignatureScheme, message: bytes) -> None:
    ((kind, body),) = Frames().feed(sign_request(number, scheme, message))
    assert kind == Kind.SIGN
    assert read_sign_request(body) == (number, scheme, message)


@given(
    bodies=st.lists(st.binary(max_size=40), max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_frames_come_whole_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(answer(body) for body in bodies)
    frames, seen = Frames(), []
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(places):
        seen += list(frames.feed(stream[start:end]))
    assert seen == [(0, body) for body in bodies]


def test_a_large_message_in_small_pieces() -> None:
    message = bytes(range(256)) * 40_000
    stream, frames = sign_request(1, SignatureScheme.ED25519, message), Frames()
    seen = [frame for start in range(0, len(stream), 65_536) for frame in frames.feed(stream[start : start + 65_536])]
    assert read_sign_request(seen[0][1])[2] == message


def test_an_impossible_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        list(Frames().feed((MAX_FRAME + 1).to_bytes(4, "big") + b"\x01"))
    with pytest.raises(ValueError, match="a frame of 0"):
        list(Frames().feed(bytes(5)))


def test_failures_survive_the_wire() -> None:
    ((failed, body),) = Frames().feed(failed_answer(Failure(Fault.PIN, "nö", remedy=Remedy.RESTART, code=0xA0)))
    failure = Failure.decode(body)
    assert failed
    assert (failure.fault, failure.text, failure.remedy, failure.code) == (Fault.PIN, "nö", Remedy.RESTART, 0xA0)


def test_control_requests_carry_their_kind() -> None:
    ((kind, body),) = Frames().feed(request(Find(b"\x01", "x")))
    assert (kind, Find.decode(body)) == (Kind.FIND, Find(b"\x01", "x"))
