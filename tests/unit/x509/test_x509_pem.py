"""PEM: what clipboards do to it, and the formats of private keys."""

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from ca.x509 import pem
from ca.x509.pem import PemBlock
from tests.support.x509_keys import KEY_TYPES, private_key

BLOCK = pem.encode(pem.CERTIFICATE, bytes(range(100)))
OCTETS = bytes(range(100))


@given(st.lists(st.tuples(st.sampled_from((pem.CERTIFICATE, pem.CRL, pem.REQUEST)), st.binary(min_size=1)), max_size=4))
def test_blocks_are_read_back(blocks: list[tuple[str, bytes]]) -> None:
    text = pem.bundle(pem.encode(label, octets) for label, octets in blocks)
    assert pem.decode(text) == [PemBlock(label, octets) for label, octets in blocks]
    assert pem.decode(text.encode()) == pem.decode(text)


def test_shape() -> None:
    lines = BLOCK.split("\n")
    assert lines[0] == "-----BEGIN CERTIFICATE-----"
    assert lines[-1] == "-----END CERTIFICATE-----"
    assert [len(line) for line in lines[1:-1]] == [64, 64, 8]
    assert pem.bundle([BLOCK + "\n", "", BLOCK]) == f"{BLOCK}\n{BLOCK}"


@pytest.mark.parametrize(
    "text",
    [
        BLOCK.replace("\n", "\r\n"),
        BLOCK.replace("\n", ""),
        BLOCK.replace("\n", " "),
        BLOCK.replace("\n", "\\n"),
        BLOCK.replace("\n", "\\r\\n"),
        f"Subject: CN=ü\n{BLOCK}\ntrailing - text",
        f"  {BLOCK}  ",
        BLOCK.replace("\n", "\n\t"),
    ],
)
def test_what_clipboards_do(text: str) -> None:
    assert pem.decode(text) == [PemBlock(pem.CERTIFICATE, OCTETS)]
    assert pem.decode_one(text.encode(), pem.CERTIFICATE) == OCTETS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no PEM block -----BEGIN CERTIFICATE----- found"),
        (pem.encode(pem.CRL, OCTETS), "no PEM block"),
        (BLOCK[:-10], "no line -----END CERTIFICATE-----"),
        (BLOCK.replace("END CERTIFICATE", "END X509 CRL"), "no line -----END CERTIFICATE-----"),
        (BLOCK.replace("AAEC", "A!EC"), "valid base64"),
        (BLOCK.replace("AAEC", "AAE"), "valid base64"),
        ("-----BEGIN CERTIFICATE----------END CERTIFICATE-----", "is empty"),
        ("-----BEGIN CERTIFICATE", "malformed BEGIN"),
        ("-----BEGIN " + "x" * 100 + "-----", "malformed BEGIN"),
        ("-" * ((1 << 20) + 1), "must not be longer"),
    ],
)
def test_what_is_no_certificate(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pem.decode_one(text, pem.CERTIFICATE)


def test_a_block_does_not_show_what_it_holds() -> None:
    assert repr(PemBlock(pem.PRIVATE_KEY, b"secret")) == "PemBlock('PRIVATE KEY', 6 octets)"


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_private_keys(kind: str) -> None:
    key = private_key(kind)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    native, wrapped = pem.encode_private_key(pkcs8), pem.encode_private_key(pkcs8, as_pkcs8=True)
    label = {"r": "RSA PRIVATE KEY", "p": "EC PRIVATE KEY", "e": "PRIVATE KEY"}[kind[0]]
    assert native.startswith(f"-----BEGIN {label}-----\n")
    assert wrapped.startswith("-----BEGIN PRIVATE KEY-----\n")
    for text in (native, wrapped):
        loaded = load_pem_private_key(text.encode(), None)
        assert loaded.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()) == pkcs8


def test_what_is_no_private_key_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="not an unencrypted PKCS#8 key") as caught:
        pem.encode_private_key(b"secret")
    assert "secret" not in str(caught.value)
