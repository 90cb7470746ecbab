"""The barrier and its keyring: nothing opens elsewhere, rotation keeps what was, locking overwrites."""

import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.kit.errors import Corrupted, Sealed, Unavailable
from chancery.seal.barrier import KeyringBarrier
from chancery.seal.keyring import Keyring, new_key, unwrap, wrap
from tests.support.storage_open import NOW, open_barrier

BARRIER = open_barrier()


def copy(keyring: Keyring) -> Keyring:
    return Keyring.from_bytes(keyring.to_bytes())


@given(st.binary(max_size=300), st.binary(max_size=60), st.binary(max_size=60))
def test_a_value_opens_only_where_it_was_sealed_for(plaintext: bytes, context: bytes, other: bytes) -> None:
    sealed = BARRIER.seal(plaintext, context)
    assert BARRIER.open(sealed, context) == plaintext
    if other != context:
        with pytest.raises(Corrupted):
            BARRIER.open(sealed, other)


@given(st.binary(min_size=1, max_size=80), st.data())
def test_no_change_goes_unnoticed(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(BARRIER.seal(plaintext, b"here"))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Corrupted, Unavailable)):
        BARRIER.open(bytes(sealed), b"here")


@given(st.binary(max_size=60))
def test_no_text_is_taken_for_a_sealed_value(text: bytes) -> None:
    with pytest.raises((Corrupted, Unavailable)):
        BARRIER.open(text, b"here")


def test_equal_values_do_not_look_equal() -> None:
    assert len({BARRIER.seal(b"same", b"here") for _ in range(50)}) == 50


def test_rotation_keeps_what_was_sealed_and_what_is_derived() -> None:
    keyring = Keyring.generate(NOW)
    barrier = KeyringBarrier()
    barrier.unlock(copy(keyring))
    old, derived = barrier.seal(b"old", b"c"), barrier.derive(b"tokens")
    barrier.unlock(copy(keyring).rotated(NOW + timedelta(days=1)))
    assert barrier.open(old, b"c") == b"old"
    assert barrier.derive(b"tokens") == derived
    assert barrier.derive(b"other") != derived
    assert (barrier.key_status().term, barrier.key_status().install_time) == (2, NOW + timedelta(days=1))
    new = barrier.seal(b"new", b"c")
    assert (old[:5], new[:5]) == (b"\x01\x00\x00\x00\x01", b"\x01\x00\x00\x00\x02")
    barrier.unlock(copy(keyring))
    with pytest.raises(Unavailable, match="newer key"):
        barrier.open(new, b"c")


def test_a_key_that_was_never_there_is_corruption() -> None:
    with pytest.raises(Corrupted, match="does not have"):
        BARRIER.open(b"\x01\x00\x00\x00\x00" + bytes(40), b"c")


def test_a_locked_barrier_does_nothing_and_has_overwritten_its_keys() -> None:
    keyring = Keyring.generate(NOW)
    barrier = KeyringBarrier()
    barrier.unlock(keyring)
    sealed = barrier.seal(b"x", b"c")
    barrier.lock()
    barrier.lock()
    assert barrier.is_sealed
    assert keyring.root_secret == bytes(32)
    assert [key.material for key in keyring.keys] == [bytes(32)]
    for use in (
        lambda: barrier.seal(b"x", b"c"),
        lambda: barrier.open(sealed, b"c"),
        lambda: barrier.derive(b"p"),
        barrier.key_status,
    ):
        with pytest.raises(Sealed):
            use()


def test_deriving_beside_a_rotation_never_uses_overwritten_memory() -> None:
    keyring = Keyring.generate(NOW)
    barrier = KeyringBarrier()
    barrier.unlock(copy(keyring))
    expected = barrier.derive(b"p")
    wrong: list[bytes] = []
    done = threading.Event()

    def derive() -> None:
        while not done.is_set():
            derived = barrier.derive(b"p")
            if derived != expected:
                wrong.append(derived)

    thread = threading.Thread(target=derive)
    thread.start()
    for _ in range(2000):
        barrier.unlock(copy(keyring))
    done.set()
    thread.join()
    assert not wrong


def test_nothing_shows_its_keys() -> None:
    keyring = Keyring.generate(NOW)
    barrier = KeyringBarrier()
    barrier.unlock(keyring)
    shown = f"{keyring!r} {barrier._open!r} {vars(barrier)!r}"
    assert repr(bytes(keyring.root_secret))[2:-1] not in shown
    assert repr(bytes(keyring.active.material))[2:-1] not in shown


@given(st.integers(0, 4), st.data())
def test_a_keyring_survives_its_encoding(rotations: int, data: st.DataObject) -> None:
    keyring = Keyring.generate(NOW)
    for _ in range(rotations):
        keyring = keyring.rotated(NOW)
    encoded = keyring.to_bytes()
    assert Keyring.from_bytes(encoded) == keyring
    with pytest.raises(Corrupted):
        Keyring.from_bytes(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


def test_wrapping_is_bound_to_key_and_purpose() -> None:
    key, other = new_key(), new_key()
    wrapped = wrap(key, bytearray(b"secret"), b"purpose")
    assert unwrap(key, wrapped, b"purpose") == b"secret"
    for attempt in ((other, wrapped, b"purpose"), (key, wrapped, b"else"), (key, b"\x02" + wrapped[1:], b"purpose"),
                    (key, wrapped[:20], b"purpose"), (key, b"", b"purpose")):  # fmt: skip
        with pytest.raises(Corrupted):
            unwrap(*attempt)
