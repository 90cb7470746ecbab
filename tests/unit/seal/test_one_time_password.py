"""Tokens hidden under one-time passwords: as Vault hides them, and never beyond repair."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chancery.kit.errors import BadInput
from chancery.seal import one_time_password as otp

LETTERS = st.characters(min_codepoint=33, max_codepoint=126)
TOKENS = st.integers(1, 80).flatmap(
    lambda size: st.tuples(*(st.text(LETTERS, min_size=size, max_size=size) for _ in range(2)))
)


@given(TOKENS)
def test_what_is_hidden_is_found_again(pair: tuple[str, str]) -> None:
    token, password = pair
    encoded = otp.encode(token, password)
    assert not encoded.endswith("=")
    assert otp.decode(encoded, password) == token
    assert otp.decode(encoded + "=" * (-len(encoded) % 4), password) == token, "older servers pad"


@given(st.text(), st.text())
def test_decoding_anything_refuses_or_answers(encoded: str, password: str) -> None:
    with suppress(BadInput):
        assert len(otp.decode(encoded, password).encode()) == len(password.encode())


def test_a_token_of_openbao() -> None:
    """Recorded from OpenBao 2.7.2."""
    token = otp.decode("AWRGJVhcMjc3eVQ5ZA5gIisXQVgncBxLIQg", "rJ0R43yfm63h2zVgXTxiNCt3lO")
    assert token == "s.vwloKQZOgQVt6EsC91i3hxMG"
    assert otp.encode(token, "rJ0R43yfm63h2zVgXTxiNCt3lO") == "AWRGJVhcMjc3eVQ5ZA5gIisXQVgncBxLIQg"


@pytest.mark.parametrize(
    ("encoded", "password", "reason"),
    [("!!", "abc", "base64"), ("AAAA", "ab", "3 != 2"), ("////", "abc", "does not belong"), ("AAA\n", "ab", "base64")],
)
def test_what_cannot_be_decoded_is_named(encoded: str, password: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        otp.decode(encoded, password)


def test_passwords_are_as_long_as_asked_and_differ() -> None:
    made = {otp.generate(36) for _ in range(50)}
    assert len(made) == 50
    assert {len(each) for each in made} == {36}
    assert all(each.isascii() and each.isalnum() for each in made)
